"""Decoupled PPO: clipped around a proximal policy, corrected for the one that acted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gipo.objectives.base import Objective, beyond, bounded, require, with_gradient
from gipo.objectives.registry import register
from gipo.objectives.samples import Samples

if TYPE_CHECKING:
    from torch import Tensor


@register("decoupled_ppo")
@dataclass(frozen=True)
class DecoupledPPO(Objective):
    """``-w min(r A, clip(r, 1 - eps, 1 + eps) A)`` with ``r = pi / prox`` and ``w = prox / mu`` (arXiv 2110.00641).

    The proximal policy is not stored but lies between the two others, the nearer to ``pi`` the staler the sample:
    ``log prox = log mu + (gap - 1) / gap (log pi - log mu)``, and ``mu`` at a gap of 0 (A-3PO, arXiv 2512.06547v2, and
    ``losses.py`` of RLinf). So the clip is PPO's on ``rho``, with its range to the power of the gap.
    """

    eps: float = 0.2
    """From 0.001 to 0.999."""

    def __post_init__(self) -> None:
        require(self, "eps", 1e-3, 0.999)

    def loss_of(self, samples: Samples) -> Tensor:
        """The minimum is the clipped ratio where the sample is dead and the plain one elsewhere."""
        step, weight = self._ratios(samples)
        clipped = weight * step.clamp(1 - self.eps, 1 + self.eps)
        alive = with_gradient(weight * step, samples.log_ratio)
        return -clipped.where(self._dead(step, samples), alive) * samples.advantage

    def multiplier_of(self, samples: Samples) -> Tensor:
        """``w r = rho``, but 0 for dead samples."""
        step, weight = self._ratios(samples)
        return samples.for_all(step * weight).masked_fill(self._dead(step, samples), 0)

    def _ratios(self, samples: Samples) -> tuple[Tensor, Tensor]:
        """``r`` and ``w``."""
        log_ratio = bounded(samples.log_ratio)
        gap = samples.need("gap", self).to(log_ratio.dtype)
        share = (gap - 1).clamp(min=0) / gap.clamp(min=1)
        return ((1 - share) * log_ratio).exp(), (share * log_ratio).exp()

    def _dead(self, step: Tensor, samples: Samples) -> Tensor:
        return beyond(step, samples.advantage, 1 - self.eps, 1 + self.eps)
