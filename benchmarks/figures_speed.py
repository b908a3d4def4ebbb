"""What the figures of a study of 800 runs cost with 50,000 resamples of every interval.

    python benchmarks/figures_speed.py [out.csv]

The main grid has 10 tasks x 2 regimes x 10 methods x 4 seeds with made-up curves; its stale half is also the ranking's
sweep, and the sweeps of lag and V-trace have 5 seeds on all tasks. Shown are CPU seconds of one process for each figure
that rests on runs.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import zlib
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.append(str(Path(__file__).parents[1] / "tests"))

import factories
from gipo import figures
from gipo.analysis.collect import SCHEMAS, Tables
from gipo.stages import StudyFolder
from gipo.tables import parse_table
from timing import publish

PUBLISHED = Path(__file__).parents[1] / "reports" / "laptop" / "tables" / "runs.parquet"
RESAMPLES = 50_000
TASKS = [f"task-{number}" for number in range(10)]
GIPO = ("0.5-0.5", "1-1", "2-2", "0.5-0.25", "1-0.5", "2-1", "1-2")
METHODS = ["no-clip", "ppo-clip", "sapo", *(f"gipo-{sigmas}" for sigmas in GIPO)]
OF_NO_RUNS = {*figures.OF_NO_RUNS, "scorecard"}
GRIDS: dict[str, tuple[list[str], list[str], int]] = {
    "tables": (["fresh", "stale"], METHODS, 4),
    "sweeps/ranking": (["stale"], METHODS, 4),
    "sweeps/vtrace": (["refreshed"], ["no-clip", "gipo-1-1", "vtrace-no-clip", "vtrace-gipo-1-1"], 5),
    "sweeps/lag": ([f"lag-{lifetime}" for lifetime in (0.02, 0.05, 0.1, 0.3, 0.874)], ["ppo-clip", "gipo-1-1"], 5),
}
"""Regimes, methods and number of seeds of each grid."""


def write_grid(folder: StudyFolder, name: str) -> None:
    """Write the tables of a grid, as if its runs had been collected."""
    regimes, methods, seeds = GRIDS[name]
    some = parse_table(PUBLISHED.read_bytes(), PUBLISHED, SCHEMAS["runs"]).iloc[0].to_dict()
    parts: dict[str, list[Any]] = {"runs": [], "metrics": [], "evaluations": []}
    for task, regime, method, seed in product(TASKS, regimes, methods, range(seeds)):
        spec = factories.make_spec(task, regime, method, seed)
        rng = np.random.default_rng(zlib.crc32(spec.run_id.encode()))
        identity = {"run_id": spec.run_id, "task": task, "regime": regime, "method": method, "seed": seed}
        episodes = factories.evaluation(spec, rng.uniform(0.3, 0.8), rng)
        reach = factories.EXPERT_RETURN - factories.RANDOM_RETURN
        parts["runs"].append(
            some | identity | {"spec": json.dumps(spec.model_dump(mode="json")), "lifetime": spec.replay.lifetime}
        )
        parts["metrics"].append(factories.metrics(spec, rng).assign(**identity))
        score = (episodes["return"] - factories.RANDOM_RETURN) / reach
        parts["evaluations"].append(episodes.assign(score=score, **identity))
    policies = (("random", factories.RANDOM_RETURN), ("expert", factories.EXPERT_RETURN))
    baselines = [
        {"task": task, "policy": policy, "episode": 0, "return": value, "success_any": False, "success_last": False}
        for task in TASKS
        for policy, value in policies
    ]
    Tables(
        runs=pd.DataFrame(parts["runs"]),
        metrics=pd.concat(parts["metrics"]),
        evaluations=pd.concat(parts["evaluations"]),
        baselines=pd.DataFrame(baselines),
    ).write(folder, name, {})


def main() -> None:
    """Write the study and draw its figures."""
    rows: list[dict[str, float | str]] = []
    with tempfile.TemporaryDirectory() as root:
        folder = StudyFolder(Path(root))
        for name in GRIDS:
            write_grid(folder, name)
        for name in figures.of_study("metaworld", ("ranking", "vtrace", "lag")):
            if name not in OF_NO_RUNS:
                start = time.process_time()
                figures.build(name, folder, resamples=RESAMPLES)
                rows.append({"figure": name, "resamples": RESAMPLES, "cpu_seconds": time.process_time() - start})
                print(name, f"{rows[-1]['cpu_seconds']:.1f}", flush=True)
    publish(rows)


if __name__ == "__main__":
    main()
