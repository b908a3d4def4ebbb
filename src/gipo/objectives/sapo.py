"""SAPO: a soft gate in place of the clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gipo.objectives.base import Objective, by_sign, ratio, require, with_gradient
from gipo.objectives.registry import register
from gipo.objectives.samples import Samples

if TYPE_CHECKING:
    from torch import Tensor


@register("sapo")
@dataclass(frozen=True)
class SAPO(Objective):
    """Soft adaptive gate, ``-g A`` with ``g = (4 / tau) sigmoid(tau (rho - 1))``; defaults of the authors' runs [C]."""

    tau_pos: float = 1.0
    """``tau`` where ``A > 0``, from 0.001 to 1e6."""
    tau_neg: float = 2.0
    """``tau`` where ``A <= 0``, from 0.001 to 1e6."""

    def __post_init__(self) -> None:
        require(self, "tau_pos", 1e-3, 1e6)
        require(self, "tau_neg", 1e-3, 1e6)

    def loss_of(self, samples: Samples) -> Tensor:
        """``-g A``."""
        tau = by_sign(samples.advantage, self.tau_pos, self.tau_neg)
        rho = with_gradient(ratio(samples.log_ratio), samples.log_ratio)
        return -(4 / tau) * (tau * (rho - 1)).sigmoid() * samples.advantage

    def multiplier_of(self, samples: Samples) -> Tensor:
        """``4 p (1 - p) rho`` with ``p = sigmoid(tau (rho - 1))``."""
        rho = ratio(samples.log_ratio)
        gate = by_sign(samples.advantage, self.tau_pos, self.tau_neg) * (rho - 1)
        return 4 * gate.sigmoid() * (-gate).sigmoid() * rho
