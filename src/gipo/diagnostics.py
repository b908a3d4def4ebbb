"""Statistics of how much a batch of replayed samples contributes to the update (section 5, appendix C.4).

Inputs are one batch in any shape. What has fewer dimensions or entries broadcasts as in
`gipo.objectives.Objective.loss`: with ``log_ratio`` [B, D], advantages and version gaps of the steps are [B, 1]. A
mask, bool or 0 and 1, says which elements count; what the others hold, NaN included, does not matter. All results are
0-d float tensors, and nothing waits for a device. A mean or share of no elements is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

TAU = 1e-3
"""Threshold of *suppressed* (multiplier) and *near-zero* (contribution) samples [P, C]."""


def staleness(gap: Tensor, old_gap: float, mask: Tensor | None = None) -> dict[str, Tensor]:
    """Version gaps of the batch and the share of old samples (Table 1).

    Args:
        gap: learner updates since each step was collected.
        old_gap: K, the gap from which a sample is old, in updates.
        mask: which elements count; all, if it is None. With gaps [B, 1] and a mask [B, T] each of its elements has one.
    """
    (gap,), mask = _aligned([gap], mask)
    low, median, high = quantiles(gap.float(), (0.05, 0.5, 0.95), mask)
    return {
        "gap_mean": _mean(gap.float(), mask),
        "gap_q05": low,
        "gap_q50": median,
        "gap_q95": high,
        "old_frac": _share(gap >= old_gap, mask),
    }


def ratio_tails(log_ratio: Tensor, eps: float = 0.2, mask: Tensor | None = None) -> dict[str, Tensor]:
    """D0.95 = 95th percentile of ``abs(log rho)``, percentiles of ``rho``, share outside ``[1 - eps, 1 + eps]``."""
    (log_ratio,), mask = _aligned([log_ratio.float()], mask)
    low, median, high = quantiles(log_ratio, (0.05, 0.5, 0.95), mask).exp()
    return {
        "d95": quantiles(log_ratio.abs(), (0.95,), mask)[0],
        "rho_q05": low,
        "rho_q50": median,
        "rho_q95": high,
        "outside_clip": _share((log_ratio.exp() - 1).abs() > eps, mask),
    }


def utilisation(
    multiplier: Tensor, log_ratio: Tensor, advantage: Tensor, gap: Tensor, old_gap: float, mask: Tensor | None = None
) -> dict[str, Tensor]:
    """How much of the batch still moves the policy, and how much of that is old.

    With the contribution proxy ``c = |m A|``: *dead* m = 0, *suppressed* 0 < m < tau, *near-zero* c < tau;
    OldShare = sum of c over old / sum of c (eq. 45); ESS_Eff_Old = (sum m)^2 / sum m^2 / N over old (eq. 46-47).
    The authors' code counts otherwise: near-zero m < tau, suppressed m / rho < tau, dead ones among both [C].

    Args:
        multiplier: ``m``, `gipo.objectives.Objective.multiplier` of the batch.
        log_ratio: ``log rho``, in the shape of ``m``.
        advantage: advantages as the loss has them; broadcasts to ``m``.
        gap: version gap in updates; broadcasts to ``m``.
        old_gap: K in updates.
        mask: which elements count, broadcasts to ``m``; all, if it is None.

    Returns:
        Shares in [0, 1]; those over old samples are NaN where the batch has none.
    """
    (multiplier, log_ratio, advantage, gap), mask = _aligned([multiplier, log_ratio, advantage, gap], mask)
    contribution = (multiplier * advantage).abs()
    old = gap >= old_gap if mask is None else (gap >= old_gap) & mask
    old_multiplier = multiplier * old
    near_zero, small = contribution < TAU, multiplier.abs() < TAU
    return {
        "dead": _share(multiplier == 0, mask),
        "suppressed": _share((multiplier > 0) & (multiplier < TAU), mask),
        "near_zero": _share(near_zero, mask),
        "near_zero_old": _share(near_zero, old),
        "near_zero_code": _share(small, mask),
        "near_zero_old_code": _share(small, old),
        "suppressed_code": _share(multiplier.abs() < TAU * log_ratio.exp(), mask),
        "old_share": torch.where(old.any(), (contribution * old).sum() / contribution.sum(), torch.nan),
        "ess_eff_old": old_multiplier.sum().square() / old_multiplier.square().sum() / old.sum(),
    }


def explained_variance(values: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
    """``1 - Var(target - value) / Var(target)``; NaN where the targets do not vary."""
    (values, targets), mask = _aligned([values, targets], mask)
    variance = _variance(targets, mask)
    return torch.where(variance > 0, 1 - _variance(targets - values, mask) / variance, torch.nan)


MOST_IN_FLOAT32 = 2**24
"""Elements up to which float32 tells their positions apart; `torch.quantile` takes no more."""


def quantiles(values: Tensor, shares: Sequence[float], mask: Tensor | None = None) -> Tensor:
    """Quantiles of any number of elements, interpolated as in `torch.quantile`, whose results are the same bits.

    Args:
        values: float32, any shape.
        shares: in [0, 1].
        mask: which elements count, bool in the shape of ``values``; all, if it is None.

    Returns:
        One for each share, float32; NaN if one of the elements is NaN, or none counts.
    """
    count = values.numel() if mask is None else mask.sum()
    ordered = (values if mask is None else values.masked_fill(~mask, math.inf)).flatten().sort().values
    positions = torch.float32 if values.numel() <= MOST_IN_FLOAT32 else torch.float64
    rank = torch.stack([values.new_full((), share, dtype=positions) for share in shares]) * (count - 1)
    below, above = (ordered.gather(0, end.long().clamp(min=0)) for end in (rank, rank.ceil()))
    found = below.lerp(above, rank.frac().to(values.dtype))
    undefined = ordered[-1].isnan() if mask is None else ordered[-1].isnan() | (count == 0)
    return found.masked_fill(undefined, math.nan)


def _aligned(tensors: Sequence[Tensor], mask: Tensor | None) -> tuple[Sequence[Tensor], Tensor | None]:
    """Tensors and mask in the shape that all broadcast to; the tensors are 0 where an element does not count."""
    if mask is None:
        return torch.broadcast_tensors(*tensors), None
    *tensors, mask = torch.broadcast_tensors(*tensors, mask.bool())
    return [tensor.masked_fill(~mask, 0) for tensor in tensors], mask


def _mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of the elements that count."""
    return values.mean() if mask is None else values.sum() / mask.sum()


def _share(holds: Tensor, mask: Tensor | None) -> Tensor:
    """Share of the elements that count for which something holds."""
    return holds.float().mean() if mask is None else (holds & mask).sum() / mask.sum()


def _variance(values: Tensor, mask: Tensor | None) -> Tensor:
    """Sample variance of the elements that count."""
    if mask is None:
        return values.var()
    deviation = (values - _mean(values, mask)).where(mask, 0)
    return deviation.square().sum() / (mask.sum() - 1)
