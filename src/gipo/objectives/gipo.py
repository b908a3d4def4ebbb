"""GIPO: a trust weight that falls with the square of the log-ratio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gipo.errors import GipoError
from gipo.objectives.base import Objective, bounded, by_sign, require
from gipo.objectives.registry import register
from gipo.objectives.samples import Samples

if TYPE_CHECKING:
    from torch import Tensor

KERNELS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "gaussian": lambda log_ratio, sigma: -0.5 * (log_ratio / sigma).square(),
    "laplacian": lambda log_ratio, sigma: -(log_ratio / sigma).abs(),
    "cauchy": lambda log_ratio, sigma: -(log_ratio / sigma).square().log1p(),
}
"""``log omega(rho; sigma)`` by kernel: eq. 5 of the paper and the two other kernels of the released code [C]."""


@register("gipo")
@dataclass(frozen=True)
class GIPO(Objective):
    """Gaussian importance sampling, ``-omega rho A`` with ``omega`` held constant (eq. 4-7).

    ``sigma_pos`` applies where ``A > 0``, ``sigma_neg`` where ``A <= 0``; written GIPO (sigma_pos, sigma_neg).
    Defaults of the released code [C]. ``omega rho`` is computed as one exponential, ``exp(log omega + log rho)``.
    """

    sigma_pos: float = 1.0
    """``sigma`` where ``A > 0``, from 0.001 to 1e6."""
    sigma_neg: float = 0.5
    """``sigma`` where ``A <= 0``, from 0.001 to 1e6."""
    kernel: Literal["gaussian", "laplacian", "cauchy"] = "gaussian"

    def __post_init__(self) -> None:
        require(self, "sigma_pos", 1e-3, 1e6)
        require(self, "sigma_neg", 1e-3, 1e6)
        if self.kernel not in KERNELS:
            raise GipoError(f"gipo: kernel = {self.kernel!r}, expected one of {', '.join(KERNELS)}")

    def weight(self, log_ratio: Tensor, advantage: Tensor) -> Tensor:
        """Trust weight ``omega(rho; sigma)`` in [0, 1], without gradient (eq. 4-5)."""
        return self._log_weight(log_ratio, advantage).exp()

    def multiplier_of(self, samples: Samples) -> Tensor:
        """``omega rho`` (eq. 7)."""
        return (self._log_weight(samples.log_ratio, samples.advantage) + bounded(samples.log_ratio)).exp()

    def _log_weight(self, log_ratio: Tensor, advantage: Tensor) -> Tensor:
        sigma = by_sign(advantage, self.sigma_pos, self.sigma_neg)
        return KERNELS[self.kernel](bounded(log_ratio), sigma)
