"""The kinds of faults, and how many of each the whole campaign has."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from bench import Bench

Fault = Callable[[Bench, random.Random], str | None]
"""Does a fault, lets the same command run again, and returns what was done; raises `bench.OutcomeError`."""


@dataclass(frozen=True)
class Kind:
    """A kind of fault."""

    name: str
    count: int
    """Faults of this kind in a campaign of a thousand and some."""
    fault: Fault


KINDS: dict[str, Kind] = {}


def kind(name: str, count: int) -> Callable[[Fault], Fault]:
    """Register a fault under a name."""

    def register(fault: Fault) -> Fault:
        KINDS[name] = Kind(name, count, fault)
        return fault

    return register
