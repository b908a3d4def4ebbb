"""Timing of things to be compared: in turn, in one process and one thread, so that what disturbs one disturbs all."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping

import pandas as pd
import torch

from machine import describe


def devices() -> list[torch.device]:
    """The CPU, and the GPU if there is one."""
    return [torch.device("cpu"), *([torch.device("cuda")] if torch.cuda.is_available() else [])]


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def in_turn(
    calls: Mapping[str, Callable[[], object]],
    rounds: int,
    repeats: int = 1,
    warm_up: int = 0,
    device: torch.device | None = None,
) -> pd.DataFrame:
    """Seconds per call: one row per round, in which each call is timed over so many repeats, one column per call."""

    def seconds(call: Callable[[], object]) -> float:
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        if device is not None and device.type == "cuda":
            torch.cuda.synchronize(device)
        return (time.perf_counter() - start) / repeats

    for call in calls.values():
        for _ in range(warm_up):
            call()
        if device is not None and device.type == "cuda":
            torch.cuda.synchronize(device)
    return pd.DataFrame([{name: seconds(call) for name, call in calls.items()} for _ in range(rounds)])


def publish(rows: list[dict[str, float | str]]) -> None:
    """Print the table; with a file name on the command line, write it there with the machine's columns."""
    table = pd.DataFrame(rows)
    print(table.round(3).to_string(index=False))
    if len(sys.argv) > 1:
        table.assign(**describe()).to_csv(sys.argv[1], index=False, float_format="%.4g")
