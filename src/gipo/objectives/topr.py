"""TOPR: good samples count as they are, bad ones by their truncated ratio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gipo.objectives.base import WeightedLogProbability, ratio
from gipo.objectives.registry import register
from gipo.objectives.samples import Samples

if TYPE_CHECKING:
    from torch import Tensor


@register("topr")
@dataclass(frozen=True)
class TOPR(WeightedLogProbability):
    """Tapered off-policy REINFORCE, ``-sg(m) A log pi`` with ``m`` = 1 where ``A > 0``, else ``min(rho, 1)``.

    Source: arXiv 2503.14286v2, where good is the sign of the return and the ratio one of whole trajectories; ROLL's
    ``agentic_actor_pg_worker.py`` has a ratio of each token, as here, and the sign of the score.
    """

    def multiplier_of(self, samples: Samples) -> Tensor:
        """1 where ``A > 0``, else ``min(rho, 1)``."""
        weight = samples.for_all(ratio(samples.log_ratio).clamp(max=1))
        return weight.masked_fill(samples.advantage > 0, 1)
