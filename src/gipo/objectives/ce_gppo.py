"""CE-GPPO: samples beyond the clip keep a bounded gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gipo.objectives.base import Objective, ratio, require
from gipo.objectives.registry import register
from gipo.objectives.samples import Samples

if TYPE_CHECKING:
    from torch import Tensor


@register("ce_gppo")
@dataclass(frozen=True)
class CEGPPO(Objective):
    """PPO-Clip whose clipped samples keep the gradient of the edge, scaled by ``beta`` (arXiv 2509.20712v5, eq. 8-10).

    The paper has ``beta_low`` 0.5 and 0.75; GIPO's authors took 0.5 [H]. CE-GPPO's code clips dually on top.
    """

    eps: float = 0.2
    """From 0.001 to 0.999."""
    beta_low: float = 0.5
    """Of samples below the clip range, from 0 to 1e3."""
    beta_high: float = 1.0
    """Of samples above the clip range, from 0 to 1e3."""

    def __post_init__(self) -> None:
        require(self, "eps", 1e-3, 0.999)
        require(self, "beta_low", 0, 1e3)
        require(self, "beta_high", 0, 1e3)

    def multiplier_of(self, samples: Samples) -> Tensor:
        """``beta_low (1 - eps)`` or ``beta_high (1 + eps)`` where PPO-Clip's samples are dead, else ``rho``."""
        rho, advantage = ratio(samples.log_ratio), samples.advantage
        found = samples.for_all(rho)
        found = found.masked_fill((advantage < 0) & (rho < 1 - self.eps), self.beta_low * (1 - self.eps))
        return found.masked_fill((advantage > 0) & (rho > 1 + self.eps), self.beta_high * (1 + self.eps))
