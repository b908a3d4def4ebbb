"""Bias-variance fronts: sets of points (bias, variance), both to be small, shape [K, 2]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SLACK = 1e-3
"""Tolerance of a comparison, in the unit of the points; above the error of interpolating the study's sweeps."""


@dataclass(frozen=True)
class Front:
    """Bias and variance that a method attains as its setting varies.

    Attributes:
        points: bias and variance, shape [K, 2], in any order.
        connected: whether the method also attains what lies between neighbouring points (a continuous knob), in
            contrast to these points alone (a clipping threshold jumps from sample to sample).
    """

    points: NDArray[np.float64]
    connected: bool

    def least_bias(self, variance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Smallest bias attained with no more than the given variance; infinite where none is; any shape."""
        points = self.points[np.argsort(self.points[:, 1])]
        least = np.minimum.accumulate(points[:, 0])
        if self.connected:
            return np.interp(variance, points[:, 1], least, left=np.inf)
        affordable = np.searchsorted(points[:, 1], variance, side="right")
        return np.append(np.inf, least)[affordable]

    def covers(self, other: Front) -> bool:
        """Whether each point of ``other`` is weakly dominated: no more bias at no more variance here, up to `SLACK`."""
        bias, variance = other.points.T
        return bool((self.least_bias(variance + SLACK) <= bias + SLACK).all())

    def dominates(self, other: Front) -> bool:
        """The relation "better" of Zitzler et al. (2003): ``self`` covers ``other``, ``other`` does not cover ``self``.

        It does not ask that each point be beaten strictly: two fronts may share an end.
        """
        return self.covers(other) and not other.covers(self)


def nondominated(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mask of the points, shape [K, 2], than which no other is smaller in one axis and as small in the other."""
    as_small = (points <= points[:, None]).all(axis=-1)
    smaller = (points < points[:, None]).any(axis=-1)
    return np.asarray(~(as_small & smaller).any(axis=-1))
