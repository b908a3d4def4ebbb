"""GMPO: the geometric mean of an action's clipped ratios."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gipo.objectives.base import Objective, bounded, require, wide, with_gradient
from gipo.objectives.registry import register
from gipo.objectives.samples import Samples

if TYPE_CHECKING:
    from torch import Tensor


@register("gmpo")
@dataclass(frozen=True)
class GMPO(Objective):
    """Geometric-mean policy optimisation, ``-exp(mean over d of q_d) A`` (arXiv 2507.20673).

    ``q`` is ``min(log rho, width)`` where ``A > 0``, and ``max(log rho, -width)`` elsewhere.
    """

    width: float = 0.4
    """From 0.001 to 30."""

    def __post_init__(self) -> None:
        require(self, "width", 1e-3, 30)

    def loss_of(self, samples: Samples) -> Tensor:
        """The same for every dimension of an action."""
        mean, clamped = self._mean(samples)
        x = wide(samples.log_ratio)
        flow = samples.mean((x - x.detach()).masked_fill(clamped, 0))
        return samples.for_all(-with_gradient(mean, flow) * samples.advantage_of_actions(self))

    def multiplier_of(self, samples: Samples) -> Tensor:
        """``exp(mean of q)``, but 0 for the dimensions that are clamped."""
        mean, clamped = self._mean(samples)
        return samples.for_all(mean).masked_fill(clamped, 0)

    def _mean(self, samples: Samples) -> tuple[Tensor, Tensor]:
        """Geometric mean of each action, and which of its dimensions are clamped."""
        x, positive = bounded(samples.log_ratio), samples.advantage_of_actions(self) > 0
        clamped = (positive & (x > self.width)) | (~positive & (x < -self.width))
        return samples.mean(x.where(~clamped, x.clamp(-self.width, self.width))).exp(), clamped
