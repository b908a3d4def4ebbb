"""A line of the check, and how its numbers are measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import torch

from gipo.config import Section

CPU = torch.device("cpu")
Outcome = Literal["passed", "failed", "skipped"]
SIGNS: dict[Outcome, str] = {"passed": "ok  ", "failed": "FAIL", "skipped": "skip"}


class Finding(Section):
    """Something that was looked at, and its number where one was measured."""

    outcome: Outcome
    what: str
    """The thing that was looked at; or the fault, with the remedy; or the part that was skipped, with the reason."""
    value: float | None = None
    unit: str | None = None

    def __str__(self) -> str:
        number = "" if self.value is None else f": {self.value:.4g} {self.unit or ''}"
        return f"{SIGNS[self.outcome]}  {self.what}{number}".rstrip()


def passed(what: str, value: float | None = None, unit: str | None = None) -> Finding:
    """It is as it should be."""
    return Finding(outcome="passed", what=what, value=value, unit=unit)


def failed(what: str) -> Finding:
    """It is not; says what to do."""
    return Finding(outcome="failed", what=what)


def skipped(what: str) -> Finding:
    """It was not tried; says why."""
    return Finding(outcome="skipped", what=what)


def gpu() -> torch.device | None:
    """The first GPU that PyTorch sees."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else None


def seconds(call: Callable[[], object], device: torch.device, at_least: float = 1.0, warm_up: int = 4) -> float:
    """Mean wall seconds of a call in a row of calls that takes ``at_least`` seconds; a GPU is waited for at its end."""
    for _ in range(warm_up):
        call()
    finish(device)
    start, calls, end = time.perf_counter(), 0, 0.0
    while end - start < at_least:
        for _ in range(1 + calls):  # twice as many each time, so that a GPU is seldom waited for
            call()
        finish(device)
        calls, end = 1 + 2 * calls, time.perf_counter()
    return (end - start) / calls


def finish(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second in large matrix products: what the device can do."""
    side = 8192 if device.type == "cuda" else 2048
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return 2 * side**3 / seconds(lambda: left @ right, device)
