"""PPO-Clip: samples beyond the clip range are dead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gipo.objectives.base import Objective, ratio, require, spread, with_gradient
from gipo.objectives.registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("ppo_clip")
@dataclass(frozen=True)
class PPOClip(Objective):
    """PPO's clipped surrogate, ``-min(rho A, clip(rho, 1 - eps, 1 + eps) A)`` (eq. 3)."""

    eps: float = 0.2
    """From 0.001 to 0.999."""

    def __post_init__(self) -> None:
        require(self, "eps", 1e-3, 0.999)

    def loss(self, log_ratio: Tensor, advantage: Tensor) -> Tensor:
        """Eq. 3, negated; the minimum is the clipped ratio where the sample is dead and the plain one elsewhere."""
        rho = ratio(log_ratio)
        clipped = rho.clamp(1 - self.eps, 1 + self.eps)
        return -clipped.where(self._dead(rho, advantage), with_gradient(rho, log_ratio)) * advantage

    def multiplier(self, log_ratio: Tensor, advantage: Tensor) -> Tensor:
        """``rho``, but 0 for dead samples."""
        rho = ratio(log_ratio)
        return spread(rho, advantage).masked_fill(self._dead(rho, advantage), 0)

    def _dead(self, rho: Tensor, advantage: Tensor) -> Tensor:
        """``A > 0`` and ``rho > 1 + eps``, or ``A < 0`` and ``rho < 1 - eps``."""
        return ((advantage > 0) & (rho > 1 + self.eps)) | ((advantage < 0) & (rho < 1 - self.eps))
