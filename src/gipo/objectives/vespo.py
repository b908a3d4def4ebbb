"""VESPO: a weight of the whole action's ratio that falls on both sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gipo.objectives.base import WeightedLogProbability, bounded, require, wide
from gipo.objectives.registry import register
from gipo.objectives.samples import Samples

if TYPE_CHECKING:
    from torch import Tensor


@register("vespo")
@dataclass(frozen=True)
class VESPO(WeightedLogProbability):
    """``-sg(phi(w)) A log pi`` with ``w = prod over d of rho_d`` and ``phi(w) = w^k exp(lam (1 - w))``.

    Source: arXiv 2602.10693v3, eq. 20, with the constants of its section 4.1.
    """

    k_pos: float = 2.0
    """``k`` where ``A >= 0``, from 0.001 to 1e3."""
    lam_pos: float = 3.0
    """``lam`` where ``A >= 0``, from 0.001 to 1e3."""
    k_neg: float = 3.0
    """``k`` where ``A < 0``, from 0.001 to 1e3."""
    lam_neg: float = 2.0
    """``lam`` where ``A < 0``, from 0.001 to 1e3."""

    def __post_init__(self) -> None:
        for name in ("k_pos", "lam_pos", "k_neg", "lam_neg"):
            require(self, name, 1e-3, 1e3)

    def multiplier_of(self, samples: Samples) -> Tensor:
        """``phi(w)``, the same for every dimension of an action."""
        log_w = bounded(samples.sum(wide(samples.log_ratio)))
        w, positive = log_w.exp(), samples.advantage_of_actions(self) >= 0
        by_sign = (self.lam_pos + self.k_pos * log_w - self.lam_pos * w).where(
            positive, self.lam_neg + self.k_neg * log_w - self.lam_neg * w
        )
        return samples.for_all(by_sign.exp())
