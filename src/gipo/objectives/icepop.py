"""IcePop: samples outside a band of ratios are dead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gipo.objectives.base import Objective, ratio, require
from gipo.objectives.registry import register
from gipo.objectives.samples import Samples

if TYPE_CHECKING:
    from torch import Tensor


@register("icepop")
@dataclass(frozen=True)
class IcePop(Objective):
    """Masked importance sampling, ``-rho 1[low <= rho <= high] A`` (IcePop, arXiv 2510.18855v2, section 2.3.4).

    There the ratio is between the same policy in training and in inference, and PPO's clip comes on top. Here it is the
    ratio to a stale policy, as in verl's ``bypass_mode`` with its loss ``reinforce``.
    """

    low: float = 0.5
    """From 0 to 1."""
    high: float = 5.0
    """From 1 to 1e6."""

    def __post_init__(self) -> None:
        require(self, "low", 0, 1)
        require(self, "high", 1, 1e6)

    def multiplier_of(self, samples: Samples) -> Tensor:
        """``rho``, but 0 outside the band, on either side and for either sign of the advantage."""
        rho = ratio(samples.log_ratio)
        return samples.for_all(rho.masked_fill((rho < self.low) | (rho > self.high), 0))
