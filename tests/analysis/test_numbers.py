"""A number has the same digits wherever it is shown."""

import math

import pytest

from gipo.analysis import numbers


@pytest.mark.parametrize(
    ("value", "low", "high", "words"),
    [
        (0.4, 0.1, 0.7, "0.400 [0.100, 0.700]"),
        (-0.05, -0.2, 0.1, "−0.050 [−0.200, 0.100]"),
        (0.8844, 0.8844, 0.8844, "0.884"),
        (0.0427, 0.0421, 0.0433, "0.0427 [0.0421, 0.0433]"),
        (9.84, 9.8, 9.88, "9.84 [9.80, 9.88]"),
        (43677, 40000, 47000, "43,677 [40,000, 47,000]"),
        (0.0, 0.0, 0.0, "0"),
        (-0.0001, -0.2, 0.2, "0.000 [−0.200, 0.200]"),
        (1e-15, 1e-15, 1e-15, "1.0e-15"),
        (0.3, math.nan, math.nan, "0.300"),
        (0.3, -math.inf, 0.5, "0.300 [-inf, 0.500]"),
        (math.nan, math.nan, math.nan, ""),
    ],
)
def test_numbers_have_the_digits_that_matter(value: float, low: float, high: float, words: str) -> None:
    assert numbers.words(value, low, high) == words
