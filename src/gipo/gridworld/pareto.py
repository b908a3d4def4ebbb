"""Bias-variance fronts: sets of points (bias, variance), both to be small, shape [K, 2]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gipo.theory import Array

ROUNDING = 1e-12
"""Difference of two biases or variances of the study that is rounding."""
TIE = 0.01
"""Share of the largest bias up to which two fronts count as level: the width of a line in figure 4."""


@dataclass(frozen=True)
class Margin:
    """How far a front is behind and ahead of another, in least bias at equal variance.

    Attributes:
        excess: the most by which its bias is larger; negative where it is smaller everywhere.
        excess_variance: variance at which that is.
        gain: the most by which its bias is smaller; negative where it is larger everywhere.
        gain_variance: variance at which that is.
    """

    excess: float
    excess_variance: float
    gain: float
    gain_variance: float


@dataclass(frozen=True)
class Front:
    """Bias and variance that a method attains as its setting varies.

    Attributes:
        points: bias and variance, shape [K, 2], in any order.
        connected: whether the method also attains what lies between neighbouring points (a continuous knob), in
            contrast to these points alone (a clipping threshold jumps from sample to sample).
        largest_bias: that of the estimator that is always 0, which costs no variance: where a method has no other, it
            has this one.
    """

    points: Array
    connected: bool
    largest_bias: float

    def least_bias(self, variance: Array) -> Array:
        """Smallest bias with no more than the given variances, which are 0 or more and of any shape."""
        points = self.points[np.argsort(self.points[:, 1])]
        least = np.minimum.accumulate(points[:, 0])
        affordable = np.searchsorted(points[:, 1], variance + ROUNDING, side="right")
        attained = np.append(np.inf, least)[affordable]
        if self.connected:
            attained = np.where(affordable, np.interp(variance, points[:, 1], least), np.inf)
        return np.minimum(attained, self.largest_bias)

    def margin(self, other: Front) -> Margin:
        """Compare the least biases at the variances of all points of both, between which neither turns."""
        variance = np.concatenate([self.points[:, 1], other.points[:, 1]])
        one, another = self.least_bias(variance), other.least_bias(variance)
        behind, ahead = (one - another).argmax(), (another - one).argmax()
        return Margin(
            excess=float(one[behind] - another[behind]),
            excess_variance=float(variance[behind]),
            gain=float(another[ahead] - one[ahead]),
            gain_variance=float(variance[ahead]),
        )


def nondominated(points: Array) -> NDArray[np.bool_]:
    """Mask of the points, shape [K, 2], than which no other is smaller in one axis and as small in the other."""
    as_small = (points <= points[:, None]).all(axis=-1)
    smaller = (points < points[:, None]).any(axis=-1)
    return np.asarray(~(as_small & smaller).any(axis=-1))
