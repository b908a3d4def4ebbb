"""Soft clip: a trust weight that falls with a power of the ratio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gipo.objectives.base import Objective, bounded, require
from gipo.objectives.registry import register
from gipo.objectives.samples import Samples

if TYPE_CHECKING:
    from torch import Tensor


@register("soft_clip")
@dataclass(frozen=True)
class SoftClip(Objective):
    """Polynomial trust weight, ``-max(rho, 1 / rho)^-alpha rho A`` with the weight held constant (as in SCAPPO).

    Not a method of the GIPO paper. The same as GIPO's Laplacian kernel with ``sigma = 1 / alpha``; the trust falls with
    a power of the ratio where the Gaussian's falls faster than any. ``alpha`` has no default.
    """

    alpha: float
    """From 0.001 to 1000."""

    def __post_init__(self) -> None:
        require(self, "alpha", 1e-3, 1e3)

    def multiplier_of(self, samples: Samples) -> Tensor:
        """``max(rho, 1 / rho)^-alpha rho``, as one exponential."""
        x = bounded(samples.log_ratio)
        return samples.for_all((x - self.alpha * x.abs()).exp())
