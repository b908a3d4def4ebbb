"""No-Clip: plain importance sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gipo.objectives.base import Objective, ratio, spread, with_gradient
from gipo.objectives.registry import register
from gipo.objectives.samples import Samples

if TYPE_CHECKING:
    from torch import Tensor


@register("no_clip")
@dataclass(frozen=True)
class NoClip(Objective):
    """Plain importance sampling, ``-rho A``."""

    def loss_of(self, samples: Samples) -> Tensor:
        """``-rho A``."""
        return -with_gradient(ratio(samples.log_ratio), samples.log_ratio) * samples.advantage

    def multiplier_of(self, samples: Samples) -> Tensor:
        """``rho``."""
        return spread(ratio(samples.log_ratio), samples.advantage)
