"""PPO-Clip: samples beyond the clip range are dead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gipo.objectives.base import Objective, by_sign, ratio, require, with_gradient
from gipo.objectives.registry import register
from gipo.objectives.samples import Samples

if TYPE_CHECKING:
    from torch import Tensor


@register("ppo_clip")
@dataclass(frozen=True)
class PPOClip(Objective):
    """PPO's clipped surrogate, ``-min(rho A, clip(rho, 1 - eps, 1 + eps) A)`` (eq. 3)."""

    eps: float = 0.2
    """From 0.001 to 0.999."""
    eps_high: float | None = None
    """In place of ``eps`` above 1, from 0.001 to 1e6; clip-higher is 0.28 (DAPO, arXiv 2503.14476)."""
    dual: float | None = None
    """Where ``A < 0``, samples above this ratio are dead too, from 1 to 1e6 (dual clip, arXiv 1912.09729)."""

    def __post_init__(self) -> None:
        require(self, "eps", 1e-3, 0.999)
        if self.eps_high is not None:
            require(self, "eps_high", 1e-3, 1e6)
        if self.dual is not None:
            require(self, "dual", 1, 1e6)

    def loss_of(self, samples: Samples) -> Tensor:
        """Eq. 3, negated; the minimum is the clipped ratio where the sample is dead and the plain one elsewhere."""
        rho = ratio(samples.log_ratio)
        clipped = rho.clamp(min=1 - self.eps).minimum(self._highest(samples))
        alive = with_gradient(rho, samples.log_ratio)
        return -clipped.where(self._dead(rho, samples), alive) * samples.advantage

    def multiplier_of(self, samples: Samples) -> Tensor:
        """``rho``, but 0 for dead samples."""
        rho = ratio(samples.log_ratio)
        return samples.for_all(rho).masked_fill(self._dead(rho, samples), 0)

    def _dead(self, rho: Tensor, samples: Samples) -> Tensor:
        """``A > 0`` and ``rho > 1 + eps``, or ``A < 0`` and ``rho < 1 - eps``."""
        beyond = (samples.advantage != 0) & (rho > self._highest(samples))
        return beyond | ((samples.advantage < 0) & (rho < 1 - self.eps))

    def _highest(self, samples: Samples) -> Tensor:
        """Largest ratio of a sample that is not dead."""
        above = self.eps if self.eps_high is None else self.eps_high
        return by_sign(samples.advantage, 1 + above, float("inf") if self.dual is None else self.dual)
