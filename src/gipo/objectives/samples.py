"""The input of an objective."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from gipo.errors import GipoError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Samples:
    """A batch as an objective sees it.

    The last axis runs over the dimensions of one action, or the tokens of one sequence. Shapes broadcast, to one that
    ``log_ratio`` and ``advantage`` have together.
    """

    log_ratio: Tensor
    """``log pi(a|s) - log mu(a|s)`` of each dimension, not their sum [C]; with gradient."""
    advantage: Tensor
    """``A``, a constant of the optimisation."""
    log_mu: Tensor | None = None
    """``log mu(a|s)`` of each dimension, where mu is the policy that acted."""
    gap: Tensor | None = None
    """Learner updates since the sample was collected."""
    mask: Tensor | None = None
    """0 where there is no sample, as padding, and 1 elsewhere. Other numbers are weights in the batch's statistics."""

    def __post_init__(self) -> None:
        shape = self.shape
        for name in ("log_mu", "gap", "mask"):
            if getattr(self, name) is not None and self._shape(shape, name) != shape:
                raise self._refused(name, shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all samples."""
        return self._shape(self.log_ratio.shape, "advantage")

    def need(self, name: str, who: object) -> Tensor:
        """An optional tensor.

        Args:
            name: of its attribute.
            who: the objective that needs it.

        Raises:
            GipoError: it was not given.
        """
        if (tensor := getattr(self, name)) is None:
            raise GipoError(f"{type(who).__name__} needs {name}: loss(log_ratio, advantage, {name}=...)")
        return cast("Tensor", tensor)

    def without_padding(self) -> Samples:
        """The same with 0 wherever there is no sample, whatever stands there."""
        if self.mask is None:
            return self
        tensors = {name: tensor for name, tensor in vars(self).items() if name != "mask" and tensor is not None}
        return replace(self, **{name: zeroed(tensor, self.mask == 0) for name, tensor in tensors.items()})

    def masked(self, values: Tensor) -> Tensor:
        """Values of the samples with 0 wherever there is no sample."""
        return values if self.mask is None else zeroed(values, self.mask == 0)

    def advantage_of_actions(self, who: object) -> Tensor:
        """The advantage, where an action has one for all its dimensions, [..., 1] or 0-d.

        Raises:
            GipoError: its dimensions have advantages of their own.
        """
        if self.advantage.ndim and self.advantage.shape[-1] > 1:
            found = list(self.advantage.shape)
            raise GipoError(f"{type(who).__name__} takes one advantage for an action: shape [..., 1], not {found}")
        return self.advantage

    def sum(self, values: Tensor) -> Tensor:
        """Sum over the last axis, which stays with size 1, of what is not masked."""
        return (values if self.mask is None else values * (self.mask != 0)).sum(-1, keepdim=True)

    def mean(self, values: Tensor) -> Tensor:
        """Mean over the last axis, which stays with size 1, of what is not masked; 0 where all is."""
        if self.mask is None:
            return values.mean(-1, keepdim=True)
        counts = (self.mask != 0).to(values.dtype).broadcast_to(values.shape).sum(-1, keepdim=True)
        return self.sum(values) / counts.clamp(min=1)

    def for_all(self, values: Tensor) -> Tensor:
        """Values in the shape of all samples; those of an action, [..., 1], for each of its dimensions."""
        return values.broadcast_to(self.shape)

    def _shape(self, shape: tuple[int, ...], name: str) -> tuple[int, ...]:
        """Common shape of one and that of a tensor."""
        try:
            return np.broadcast_shapes(shape, tuple(getattr(self, name).shape))
        except ValueError:
            raise self._refused(name, shape) from None

    def _refused(self, name: str, shape: tuple[int, ...]) -> GipoError:
        found = list(getattr(self, name).shape)
        return GipoError(f"{name} has shape {found}, which does not broadcast to that of the samples, {list(shape)}")


def zeroed(values: Tensor, gone: Tensor) -> Tensor:
    """Values with 0 where they are gone; of one value for several elements, where all of them are."""
    if not values.ndim or values.shape[-1] == 1:
        gone = gone.all(-1, keepdim=True)
    return values.broadcast_to(np.broadcast_shapes(tuple(values.shape), tuple(gone.shape))).masked_fill(gone, 0)
