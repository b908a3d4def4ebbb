"""The interface of an objective, and the arithmetic that all objectives share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from gipo.errors import GipoError
from gipo.objectives.samples import Samples

if TYPE_CHECKING:  # whoever checks a config, as the workflow does at every start, need not wait for torch
    from torch import Tensor

LOG_RATIO_BOUND = 30.0
"""Ratios count as at least ``e^-30`` and at most ``e^30``, about 1e13: the rho_min and rho_max of eq. 4 [P].

The paper does not state the bounds. These are reconstructed [R]: squares of multipliers and of gradients, summed over
any batch, stay finite in float32. Nothing changes for a sample with ``abs(log rho) <= 30``. Beyond it, a sample counts
as one at the bound, in every objective.
"""


class Objective(ABC):
    """A policy objective; subclasses are frozen dataclasses whose fields are the method's settings.

    A subclass defines `multiplier_of`, and `loss_of` where its loss is another number of the same gradient; `loss` and
    `multiplier` are how they are called.
    """

    def loss(
        self,
        log_ratio: Tensor,
        advantage: Tensor,
        *,
        log_mu: Tensor | None = None,
        gap: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Per-element loss, differentiable in ``log_ratio``.

        Args:
            log_ratio: ``log pi(a|s) - log mu(a|s)``, any shape; of one action dimension, not their sum [C].
            advantage: ``A``, broadcastable to ``log_ratio``; a constant of the optimisation.
            log_mu: see `Samples`, as the other two; few objectives need them.
            gap: learner updates since the sample was collected.
            mask: 0 where there is no sample.

        Returns:
            Loss of the broadcast shape, float32 or wider; 0 where masked, whatever stands there.

        Raises:
            GipoError: the shapes do not fit, or the objective needs what was not given.
        """
        samples = Samples(log_ratio, advantage, log_mu, gap, mask).without_padding()
        return samples.masked(self.loss_of(samples))

    def multiplier(
        self,
        log_ratio: Tensor,
        advantage: Tensor,
        *,
        log_mu: Tensor | None = None,
        gap: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Scalar ``m`` in front of ``A grad log pi`` (appendix C.4), without gradient; otherwise as `loss`.

        The sum of all losses has the gradient ``-m A`` in each element of ``log pi``.
        """
        samples = Samples(log_ratio.detach(), advantage, log_mu, gap, mask).without_padding()
        return samples.masked(self.multiplier_of(samples))

    def loss_of(self, samples: Samples) -> Tensor:
        """Loss of each sample, in the shape of all of them: ``-m A`` unless a subclass says otherwise."""
        return -with_gradient(self.multiplier_of(samples), samples.log_ratio) * samples.advantage

    @abstractmethod
    def multiplier_of(self, samples: Samples) -> Tensor:
        """Multiplier of each sample, in the shape of all of them."""


class WeightedLogProbability(Objective):
    """An objective whose loss is ``-sg(m) A log pi``, here with ``log rho``: they differ by a constant, ``log mu``."""

    def loss_of(self, samples: Samples) -> Tensor:
        """``-m A log rho`` with ``m`` held constant."""
        return -self.multiplier_of(samples) * wide(samples.log_ratio) * samples.advantage


def wide(x: Tensor) -> Tensor:
    """Half precision as float32, wider types as they are."""
    return x.float() if x.itemsize < 4 else x


def bounded(log_ratio: Tensor) -> Tensor:
    """``log rho`` within the bounds of `LOG_RATIO_BOUND`, without gradient."""
    return wide(log_ratio.detach()).clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND)


def ratio(log_ratio: Tensor) -> Tensor:
    """Importance ratio ``rho`` within its bounds, without gradient."""
    return bounded(log_ratio).exp()


def with_gradient(multiple: Tensor, log_ratio: Tensor) -> Tensor:
    """A constant multiple of ``rho`` as a function of ``log_ratio``: it is its own derivative, as ``rho`` is.

    Args:
        multiple: ``c rho`` without gradient, where ``c`` is a constant of the optimisation; finite.
        log_ratio: ``log rho``, with gradient.

    Returns:
        The same values, whose gradient is finite where autograd of ``c * log_ratio.exp()`` would be ``0 * inf``.
    """
    x = wide(log_ratio)
    return multiple * (1 + (x - x.detach()))


def by_sign(advantage: Tensor, positive: float, negative: float) -> Tensor:
    """``positive`` where ``A > 0``, ``negative`` where ``A <= 0``."""
    values = wide(advantage)
    return values.new_full(values.shape, negative).masked_fill(advantage > 0, positive)


def beyond(ratio: Tensor, advantage: Tensor, low: float, high: float) -> Tensor:
    """Where ``A > 0`` and a ratio is above ``high``, or ``A < 0`` and it is below ``low``."""
    return ((advantage > 0) & (ratio > high)) | ((advantage < 0) & (ratio < low))


def require(objective: Objective, name: str, least: float, most: float) -> None:
    """Raise a `GipoError` unless a parameter is a number from ``least`` to ``most``."""
    value = getattr(objective, name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        wanted = f"expected a number from {least:g} to {most:g}"
        raise GipoError(f"{type(objective).__name__}: {name} = {value!r}, {wanted}")
