"""Statistics of how much a batch of replayed samples contributes to the update (section 5, appendix C.4).

Inputs are one sampled batch, per action dimension: ``log_ratio`` and ``multiplier`` [B, D]; per step: ``advantage`` and
``gap`` [B], the version gap in learner updates. All results are 0-d float tensors, so that nothing waits for a device.
"""

from __future__ import annotations

import torch
from torch import Tensor

TAU = 1e-3
"""Threshold of *suppressed* (multiplier) and *near-zero* (contribution) samples [P, C]."""


def staleness(gap: Tensor, old_gap: float) -> dict[str, Tensor]:
    """Version gaps of the batch and the share of old samples (Table 1).

    Args:
        gap: learner updates since each step was collected, [B].
        old_gap: K, the gap from which a sample is old, in updates.
    """
    quantiles = torch.quantile(gap.float(), gap.new_tensor([0.05, 0.5, 0.95], dtype=torch.float32))
    return {
        "gap_mean": gap.float().mean(),
        "gap_q05": quantiles[0],
        "gap_q50": quantiles[1],
        "gap_q95": quantiles[2],
        "old_frac": (gap >= old_gap).float().mean(),
    }


def ratio_tails(log_ratio: Tensor, eps: float = 0.2) -> dict[str, Tensor]:
    """D0.95 = 95th percentile of ``abs(log rho)``, percentiles of ``rho``, share outside ``[1 - eps, 1 + eps]``."""
    flat = log_ratio.float().flatten()
    rho_quantiles = torch.quantile(flat, flat.new_tensor([0.05, 0.5, 0.95])).exp()
    return {
        "d95": torch.quantile(flat.abs(), 0.95),
        "rho_q05": rho_quantiles[0],
        "rho_q50": rho_quantiles[1],
        "rho_q95": rho_quantiles[2],
        "outside_clip": ((flat.exp() - 1).abs() > eps).float().mean(),
    }


def utilisation(
    multiplier: Tensor, log_ratio: Tensor, advantage: Tensor, gap: Tensor, old_gap: float
) -> dict[str, Tensor]:
    """How much of the batch still moves the policy, and how much of that is old.

    With the contribution proxy ``c = |m A|``: *dead* m = 0, *suppressed* 0 < m < tau, *near-zero* c < tau;
    OldShare = sum of c over old / sum of c (eq. 45); ESS_Eff_Old = (sum m)^2 / sum m^2 / N over old (eq. 46-47).
    The authors' code counts otherwise: near-zero m < tau, suppressed m / rho < tau, dead ones among both [C].

    Args:
        multiplier: ``m``, [B, D].
        log_ratio: ``log rho``, [B, D].
        advantage: normalised advantage of the step, [B].
        gap: version gap in updates, [B].
        old_gap: K in updates.

    Returns:
        Shares in [0, 1]; those over old samples are NaN where the batch has none.
    """
    contribution = (multiplier * advantage[:, None]).abs()
    old = (gap >= old_gap)[:, None].expand_as(multiplier)
    old_multiplier = multiplier * old
    near_zero, small = contribution < TAU, multiplier.abs() < TAU
    return {
        "dead": (multiplier == 0).float().mean(),
        "suppressed": ((multiplier > 0) & (multiplier < TAU)).float().mean(),
        "near_zero": near_zero.float().mean(),
        "near_zero_old": (near_zero & old).sum() / old.sum(),
        "near_zero_code": small.float().mean(),
        "near_zero_old_code": (small & old).sum() / old.sum(),
        "suppressed_code": (multiplier.abs() < TAU * log_ratio.exp()).float().mean(),
        "old_share": torch.where(old.any(), (contribution * old).sum() / contribution.sum(), torch.nan),
        "ess_eff_old": old_multiplier.sum().square() / old_multiplier.square().sum() / old.sum(),
    }


def explained_variance(values: Tensor, targets: Tensor) -> Tensor:
    """``1 - Var(target - value) / Var(target)``; NaN where the targets do not vary."""
    variance = targets.var()
    return torch.where(variance > 0, 1 - (targets - values).var() / variance, torch.nan)
