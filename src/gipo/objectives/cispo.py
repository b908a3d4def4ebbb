"""CISPO: a clipped importance weight on the log-probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gipo.objectives.base import WeightedLogProbability, ratio, require
from gipo.objectives.registry import register
from gipo.objectives.samples import Samples

if TYPE_CHECKING:
    from torch import Tensor


@register("cispo")
@dataclass(frozen=True)
class CISPO(WeightedLogProbability):
    """Clipped importance weight, ``-sg(clip(rho, 1 - eps_low, 1 + eps_high)) A log pi`` (MiniMax-M1, arXiv 2506.13585).

    Not a method of the GIPO paper. As in its own paper there is no lower bound by default; ``eps_high`` has no default.
    With 1 it is truncated importance sampling as in verl's ``rollout_corr_helper.py``, with 0.2 AcceRL's CISPO [H].
    """

    eps_high: float
    """From 0.001 to 1e6."""
    eps_low: float = 1.0
    """From 0.001 to 1; at 1 the weight is not clipped from below."""

    def __post_init__(self) -> None:
        require(self, "eps_high", 1e-3, 1e6)
        require(self, "eps_low", 1e-3, 1)

    def multiplier_of(self, samples: Samples) -> Tensor:
        """``clip(rho, 1 - eps_low, 1 + eps_high)``."""
        return samples.for_all(ratio(samples.log_ratio).clamp(1 - self.eps_low, 1 + self.eps_high))
