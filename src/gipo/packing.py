"""How the runs of a study are best put on a node: how many at once, with how many env workers each.

A run without workers acts and learns in turn on one core. With w workers it has w + 1 cores: they share acting, which
goes on while the learner learns, or between its updates where rounds are in turn. Of runs that share a GPU one learns
while others act. As in `gipo.plan`, all is packed perfectly: caches and memory bandwidth are not shared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

MOST_WORKERS = 15
"""Env workers of a run that are tried, at most; fewer where it has fewer environments."""


@dataclass(frozen=True)
class Node:
    """A machine."""

    cores: int
    gpus: int = 0


@dataclass(frozen=True)
class Work:
    """Seconds that a run takes alone, mean over a study."""

    acting: float  # of one core
    learning: float  # of one core, or of a GPU where the node has some
    overlapped: bool  # whether it acts while it learns, given workers
    environments: int


@dataclass(frozen=True)
class Packing:
    """A way to put runs on a node."""

    at_once: int
    workers: int
    hours: float
    """Of the whole study."""


def best(work: Work, runs: int, node: Node) -> Packing:
    """The way that takes least time; of equals the one with the fewest workers.

    Args:
        work: of one run.
        runs: of the study, at least 1.
        node: where they run; each learns on a GPU if it has some.
    """
    return min(_ways(work, runs, node), key=lambda way: (way.hours, way.workers))


def _ways(work: Work, runs: int, node: Node) -> Iterator[Packing]:
    for workers in range(min(MOST_WORKERS, work.environments, node.cores - 1) + 1):
        most = min(runs, node.cores // (workers + 1))
        for at_once in range(1, most + 1):
            sharing = math.ceil(at_once / node.gpus) * work.learning if node.gpus else 0.0
            if workers and work.overlapped:
                alone = max(work.acting / workers, work.learning)
            else:
                alone = work.acting / max(workers, 1) + work.learning
            seconds = max(alone, sharing)
            yield Packing(at_once, workers, math.ceil(runs / at_once) * seconds / 3600)
