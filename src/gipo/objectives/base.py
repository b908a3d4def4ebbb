"""The interface of an objective, and the arithmetic that all objectives share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from gipo.errors import GipoError

if TYPE_CHECKING:  # whoever checks a config, as the workflow does at every start, need not wait for torch
    from torch import Tensor

LOG_RATIO_BOUND = 30.0
"""Ratios count as at least ``e^-30`` and at most ``e^30``, about 1e13: the rho_min and rho_max of eq. 4 [P].

The paper does not state the bounds. These are reconstructed [R]: squares of multipliers and of gradients, summed over
any batch, stay finite in float32. Nothing changes for a sample with ``abs(log rho) <= 30``. Beyond it, a sample counts
as one at the bound, in every objective.
"""


class Objective(ABC):
    """A policy objective; subclasses are frozen dataclasses whose fields are the method's settings."""

    @abstractmethod
    def loss(self, log_ratio: Tensor, advantage: Tensor) -> Tensor:
        """Per-element loss, differentiable in ``log_ratio``.

        Args:
            log_ratio: ``log pi(a|s) - log mu(a|s)``, any shape; of one action dimension, not their sum [C].
            advantage: ``A``, broadcastable to ``log_ratio``; a constant of the optimisation.

        Returns:
            Loss of the broadcast shape, float32 or wider.
        """

    @abstractmethod
    def multiplier(self, log_ratio: Tensor, advantage: Tensor) -> Tensor:
        """Scalar ``m >= 0`` in front of ``A * grad log pi`` (appendix C.4), without gradient; shapes as in `loss`."""


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


def spread(multiplier: Tensor, advantage: Tensor) -> Tensor:
    """The multiplier in the shape that it and the advantage broadcast to."""
    return multiplier.broadcast_to((multiplier * advantage).shape)


def require(objective: Objective, name: str, least: float, most: float) -> None:
    """Raise a `GipoError` unless a parameter is a number from ``least`` to ``most``."""
    value = getattr(objective, name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        wanted = f"expected a number from {least:g} to {most:g}"
        raise GipoError(f"{type(objective).__name__}: {name} = {value!r}, {wanted}")
