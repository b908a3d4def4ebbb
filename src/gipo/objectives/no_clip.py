"""No-Clip: plain importance sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gipo.objectives.base import Objective, ratio
from gipo.objectives.registry import register
from gipo.objectives.samples import Samples

if TYPE_CHECKING:
    from torch import Tensor


@register("no_clip")
@dataclass(frozen=True)
class NoClip(Objective):
    """Plain importance sampling, ``-rho A``."""

    def multiplier_of(self, samples: Samples) -> Tensor:
        """``rho``."""
        return samples.for_all(ratio(samples.log_ratio))
