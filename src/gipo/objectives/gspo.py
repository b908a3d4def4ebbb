"""GSPO: PPO-Clip on the geometric mean of an action's ratios."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gipo.objectives.base import Objective, beyond, bounded, require, wide, with_gradient
from gipo.objectives.registry import register
from gipo.objectives.samples import Samples

if TYPE_CHECKING:
    from torch import Tensor


@register("gspo")
@dataclass(frozen=True)
class GSPO(Objective):
    """Group sequence policy optimisation: PPO-Clip on ``s = exp(mean over d of log rho_d)`` (arXiv 2507.18071v2).

    The range is that of its section 5.1, for sequences of thousands of tokens, whose mean hardly moves. Of the few
    dimensions of an action it leaves next to nothing.
    """

    eps_low: float = 3e-4
    """From 1e-6 to 0.999."""
    eps_high: float = 4e-4
    """From 1e-6 to 1e6."""

    def __post_init__(self) -> None:
        require(self, "eps_low", 1e-6, 0.999)
        require(self, "eps_high", 1e-6, 1e6)

    def loss_of(self, samples: Samples) -> Tensor:
        """``-min(s A, clip(s) A)``, the same for every dimension of an action."""
        s = self._ratio(samples)
        clipped = s.clamp(1 - self.eps_low, 1 + self.eps_high)
        alive = with_gradient(s, samples.mean(wide(samples.log_ratio)))
        return samples.for_all(-clipped.where(self._dead(s, samples), alive) * samples.advantage)

    def multiplier_of(self, samples: Samples) -> Tensor:
        """``s``, but 0 for dead actions."""
        s = self._ratio(samples)
        return samples.for_all(s.masked_fill(self._dead(s, samples), 0))

    def _ratio(self, samples: Samples) -> Tensor:
        return samples.mean(bounded(samples.log_ratio)).exp()

    def _dead(self, s: Tensor, samples: Samples) -> Tensor:
        return beyond(s, samples.advantage_of_actions(self), 1 - self.eps_low, 1 + self.eps_high)
