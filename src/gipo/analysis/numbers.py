"""Measured numbers in words: the one place where an estimate and its interval are rounded."""

from __future__ import annotations

import math


def words(value: float, low: float = math.nan, high: float = math.nan) -> str:
    """Estimate and interval, if it has a width, such as ``0.312 [0.105, 0.520]``; empty where the estimate is NaN.

    All three have the decimals that give the largest of them three digits, four at most; numbers that are all below
    0.0005 are written as ``1.2e-05``.
    """
    if math.isnan(value):
        return ""
    shown = [value, low, high] if low < high else [value]
    largest = max((abs(number) for number in shown if math.isfinite(number)), default=0.0)
    estimate, *interval = (_rounded(number, largest) for number in shown)
    return f"{estimate} [{', '.join(interval)}]" if interval else estimate


def _rounded(number: float, largest: float) -> str:
    """A number beside others, the largest of which is given."""
    if not math.isfinite(number):
        return str(number)
    if 0 < largest < 5e-4:
        return f"{number:.1e}"
    decimals = 2 - math.floor(math.log10(largest)) if largest else 0
    text = f"{number:,.{min(max(decimals, 0), 4)}f}"
    return text.replace("-", "\N{MINUS SIGN}") if float(text.replace(",", "")) else text.lstrip("-")
