"""M2PO: how many harmful samples are dead follows from the second moment of the batch's log-ratios."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gipo.errors import GipoError
from gipo.objectives.base import Objective, bounded, require, with_gradient
from gipo.objectives.registry import register
from gipo.objectives.samples import Samples

if TYPE_CHECKING:
    from torch import Tensor


@register("m2po")
@dataclass(frozen=True)
class M2PO(Objective):
    """Second-moment trust policy optimisation (arXiv 2510.01161v2).

    Harmful are samples with ``A > 0`` and ``rho > 1``, or ``A < 0`` and ``rho < 1``: their ratio has gone to the side
    of the advantage already. The farthest of them are dead, as many as needed to bring the mean of ``(log rho)^2`` over
    the harmful of the batch down to the budget. Paper and code bring it down in two ways, see `rule`.
    """

    budget: float = 0.04
    """Mean of ``(log rho)^2`` over harmful samples, from 1e-6 to 1e3."""
    rule: Literal["mask", "clip"] = "mask"
    """``mask``: dead samples are taken out, in the mean too (algorithm 1). ``clip``: they count in the mean as if they
    were at the farthest living sample, and more samples are dead (the authors' code, ``core_algos.py`` of M2PO at
    af54a3e, without the floors of its clip range, which its training scripts do not set)."""

    def __post_init__(self) -> None:
        require(self, "budget", 1e-6, 1e3)
        if self.rule not in ("mask", "clip"):
            raise GipoError(f"m2po: rule = {self.rule!r}, expected mask or clip")

    def loss_of(self, samples: Samples) -> Tensor:
        """``-rho A``; of dead samples 0, or by the rule ``clip`` with the ratio at the edge."""
        log_ratio = bounded(samples.log_ratio)
        dead, limit = self._dead(samples)
        edge = (log_ratio.sign() * limit.sqrt()).exp() if self.rule == "clip" else log_ratio.new_zeros(())
        return -edge.where(dead, with_gradient(log_ratio.exp(), samples.log_ratio)) * samples.advantage

    def multiplier_of(self, samples: Samples) -> Tensor:
        """``rho``, but 0 for dead samples."""
        return samples.for_all(bounded(samples.log_ratio).exp()).masked_fill(self._dead(samples)[0], 0)

    def _dead(self, samples: Samples) -> tuple[Tensor, Tensor]:
        """Which samples are dead, and the largest ``(log rho)^2`` of a living harmful one, 0-d."""
        log_ratio = samples.for_all(bounded(samples.log_ratio))
        advantage = samples.for_all(samples.advantage)
        square = log_ratio.square()
        harmful = ((advantage > 0) & (log_ratio > 0)) | ((advantage < 0) & (log_ratio < 0))
        weight = harmful.to(square.dtype) if samples.mask is None else harmful * samples.mask
        order = square.flatten().argsort()
        square_by_size, weight = square.flatten()[order], weight.expand(samples.shape).flatten()[order]
        reached, total = weight.cumsum(0), weight.sum()
        moment = (weight * square_by_size).cumsum(0)
        if self.rule == "clip":
            moment, reached = moment + square_by_size * (total - reached), total
        is_within = (moment <= self.budget * reached) & (weight > 0)
        limit = square_by_size.masked_fill(~is_within, 0).max()
        return harmful & (square > limit), limit
