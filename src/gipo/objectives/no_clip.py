"""No-Clip: plain importance sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gipo.objectives.base import Objective, ratio, spread, with_gradient
from gipo.objectives.registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("no_clip")
@dataclass(frozen=True)
class NoClip(Objective):
    """Plain importance sampling, ``-rho A``."""

    def loss(self, log_ratio: Tensor, advantage: Tensor) -> Tensor:
        """``-rho A``."""
        return -with_gradient(ratio(log_ratio), log_ratio) * advantage

    def multiplier(self, log_ratio: Tensor, advantage: Tensor) -> Tensor:
        """``rho``."""
        return spread(ratio(log_ratio), advantage)
