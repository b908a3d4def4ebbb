"""SPO: a quadratic penalty on the ratio in place of the clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gipo.objectives.base import Objective, require, wide
from gipo.objectives.registry import register
from gipo.objectives.samples import Samples

if TYPE_CHECKING:
    from torch import Tensor


@register("spo")
@dataclass(frozen=True)
class SPO(Objective):
    """Simple policy optimisation, ``-(rho A - |A| (rho - 1)^2 / (2 eps))`` (arXiv 2401.16025).

    Its multiplier is negative where the ratio has gone beyond ``eps`` to the side of the advantage: such samples are
    pulled back. The authors' ratio is that of the joint action, here of each dimension; ``joint_ratio`` in a scale
    makes it theirs. Ratios count as at most ``e^15``: the square of the multiplier grows with their fourth power.
    """

    eps: float = 0.2
    """From 0.001 to 1e6."""

    def __post_init__(self) -> None:
        require(self, "eps", 1e-3, 1e6)

    def loss_of(self, samples: Samples) -> Tensor:
        """The value, with a straight line through it as its gradient."""
        rho, advantage = self._ratio(samples), samples.advantage
        value = rho * advantage - advantage.abs() * (rho - 1).square() / (2 * self.eps)
        x = wide(samples.log_ratio)
        return -(value + self.multiplier_of(samples) * advantage * (x - x.detach()))

    def multiplier_of(self, samples: Samples) -> Tensor:
        """``rho (1 - sign(A) (rho - 1) / eps)``."""
        rho = self._ratio(samples)
        return rho * (1 - samples.advantage.sign() * (rho - 1) / self.eps)

    def _ratio(self, samples: Samples) -> Tensor:
        return wide(samples.log_ratio.detach()).clamp(-15, 15).exp()
