"""What it costs to use no later instructions than AVX2 (`gipo.runs.numerics.PORTABLE`), on a CPU that has later ones.

    python benchmarks/portable_mode.py [out.csv]

The libraries choose their code when they are imported, so that each way has a process of its own, with one thread. The
two do the same work in turn, in an order that turns round, and each measures its CPU time, which says more than wall
time where other programs run. The work: learner updates at laptop and paper size, and a whole small run of
`gipo.engines.lockstep.train` (door-open-v3, the laptop's network), simulator and evaluation included. The ratio is the
median over the rounds of portable by native; `ratio_of_minima` is that of the shortest rounds.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import pandas as pd

from gipo.runs.numerics import PORTABLE
from timing import publish

CONFIGS = Path(__file__).parent.parent / "workflow" / "config"
WORK = {"update, laptop size": (40, 40), "update, paper size": (3, 25), "small run": (1, 15)}
"""Calls in a round, and rounds."""
UPDATES = 250  # of the small run


def make_work() -> dict[str, Callable[[], object]]:
    import torch

    from gipo.engines import lockstep
    from gipo.rates import made_up_learner, random_index
    from gipo.study import Study

    torch.set_num_threads(1)

    def updating(size: str) -> Callable[[], object]:
        learner = made_up_learner(Study.load(CONFIGS / f"{size}.yaml").runs()[0], torch.device("cpu"))
        return lambda: learner.update(random_index(learner))

    laptop = Study.load(CONFIGS / "laptop.yaml").run("door-open-v3", "stale", "gipo-1-1", seed=0)
    share = UPDATES / laptop.learner.updates  # of the replay too, so that an update costs as many env steps
    round_steps = laptop.replay.environments * laptop.replay.segment_length
    capacity = round(laptop.replay.capacity * share / round_steps) * round_steps
    small = laptop.model_copy(
        update={
            "replay": laptop.replay.model_copy(update={"capacity": capacity}),
            "learner": laptop.learner.model_copy(update={"updates": UPDATES, "warmup_updates": 10, "policy_start": 5}),
            "evaluation": laptop.evaluation.model_copy(update={"every": UPDATES}),
        }
    )

    def small_run() -> None:
        with tempfile.TemporaryDirectory() as directory:
            lockstep.train(small, Path(directory) / "run", tell=lambda line: None)

    updates = {f"update, {size} size": updating(size) for size in ("laptop", "paper")}
    return updates | {"small run": small_run}


def serve(connection: Connection) -> None:
    """Do the work that is asked for and answer with its CPU seconds per call."""
    work = make_work()
    while (asked := connection.recv()) is not None:
        name, repeats = asked
        start = time.process_time()
        for _ in range(repeats):
            work[name]()
        connection.send((time.process_time() - start) / repeats)


def start(settings: dict[str, str]) -> Connection:
    """A process that has these variables when it imports its libraries."""
    ours, theirs = get_context("spawn").Pipe()
    kept = dict(os.environ)
    os.environ.update(settings)
    get_context("spawn").Process(target=serve, args=(theirs,), daemon=True).start()
    os.environ.clear()
    os.environ.update(kept)
    return ours


def main() -> None:
    for name in PORTABLE:
        os.environ.pop(name, None)
    ways = {"native": start({}), "portable": start(PORTABLE)}
    rows = []
    for name, (repeats, rounds) in WORK.items():
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(rounds + 1):
            for way in sorted(ways, reverse=number % 2 == 0):
                ways[way].send((name, repeats))
                seconds[way].append(ways[way].recv())
        times = pd.DataFrame(seconds)[1:]  # the first round warms up
        ratios = times["portable"] / times["native"]
        rows.append(
            {
                "work": name,
                "rounds": rounds,
                "native_ms": 1e3 * times["native"].median(),
                "portable_ms": 1e3 * times["portable"].median(),
                "ratio": ratios.median(),
                "ratio_q25": ratios.quantile(0.25),
                "ratio_q75": ratios.quantile(0.75),
                "ratio_of_minima": times["portable"].min() / times["native"].min(),
            }
        )
    for connection in ways.values():
        connection.send(None)
    publish(rows)


if __name__ == "__main__":
    main()
