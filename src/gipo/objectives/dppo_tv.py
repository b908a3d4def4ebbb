"""DPPO: a trust region on the probability itself, not on its ratio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gipo.objectives.base import Objective, bounded, require, wide
from gipo.objectives.registry import register
from gipo.objectives.samples import Samples

if TYPE_CHECKING:
    from torch import Tensor


@register("dppo_tv")
@dataclass(frozen=True)
class DPPOTV(Objective):
    """Divergence PPO with binary total variation, ``-rho A`` inside the trust region (arXiv 2602.04879v3, eq. 12-13).

    The region is ``pi - mu <= high`` where ``A > 0``, and ``pi - mu >= -low`` elsewhere. The ratio is not truncated, as
    the paper advises (section 5.4) and prime-rl does; its scaling study and verl truncate it.
    """

    low: float = 0.2
    """From 0 to 1."""
    high: float = 0.2
    """From 0 to 1."""

    def __post_init__(self) -> None:
        require(self, "low", 0, 1)
        require(self, "high", 0, 1)

    def multiplier_of(self, samples: Samples) -> Tensor:
        """``rho``, but 0 where the probability has gone too far to the side of the advantage."""
        log_ratio, log_mu = bounded(samples.log_ratio), wide(samples.need("log_mu", self))
        step = (log_ratio + log_mu).exp() - log_mu.exp()
        outside = ((samples.advantage > 0) & (step > self.high)) | ((samples.advantage <= 0) & (step < -self.low))
        return samples.for_all(log_ratio.exp()).masked_fill(outside, 0)
