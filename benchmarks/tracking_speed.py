"""How long MLflow's record of a finished study takes to make, and how much room it needs.

    python benchmarks/tracking_speed.py [out.csv]

The runs are the first 60 of the paper's on MetaWorld, with made-up numbers of published length. Files are attached as
links, so what is counted is the store, which is made empty before the import and takes ``store_seconds`` for that. The
rate includes the rows over seeds. CPU seconds are those of the importing process, in which nothing waits.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from factories import write_baseline
from gipo.runs.spec import RunSpec
from gipo.scale import Scale, config
from gipo.tracking.experiments import of_scale
from gipo.tracking.follow import Tracker
from timing import publish
from whole_study import write_whole_run

RUNS = 60


def main() -> None:
    """Write the runs and record them."""
    scale = Scale.load(config("paper"))
    (study,) = scale.parts.values()
    chosen: dict[str, RunSpec] = dict(list(scale.runs.items())[:RUNS])
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder, "results")
        for task in {run.task for run in chosen.values()}:
            spec = study.baseline(task)
            write_baseline(results / "baselines", task, episodes=spec.episodes, digest=spec.digest())
        for run in chosen.values():
            write_whole_run(run, results, 1000, {})
        experiments = of_scale(scale, results)
        start = time.perf_counter()
        Tracker([replace(one, runs={}) for one in experiments], results, print).update()
        store_seconds = time.perf_counter() - start
        start, cpu = time.perf_counter(), time.process_time()
        Tracker(experiments, results, print).update()
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
        size = (results / "mlflow.db").stat().st_size
    row: dict[str, float | str] = {
        "runs": RUNS,
        "store_seconds": store_seconds,
        "seconds_per_run": seconds / RUNS,
        "cpu_seconds_per_run": cpu_seconds / RUNS,
        "megabytes_per_run": size / RUNS / 1e6,
        "minutes_for_1080": (store_seconds + 1080 * seconds / RUNS) / 60,
        "gigabytes_for_1080": 1080 * size / RUNS / 1e9,
    }
    publish([row])


if __name__ == "__main__":
    main()
