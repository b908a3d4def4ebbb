"""A check that the asynchronous engine learns on LIBERO's simulator: a small network on poses, a shaped reward.

    python benchmarks/libero_reach.py [out.csv]

The runs of libero_reach.yaml, one after the other, a quarter of an hour each on two cores. The reward, up to 1 per
simulator step and 220 per episode, is for a gripper near the object that the task is about; whether the task is solved
does not count. So nothing about the paper follows. Per row, a seed and a number of learner updates:

- return_mean, return_low, return_high: mean, least and largest return of the same evaluation episodes, actions greedy;
- minutes: wall time of the whole run.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd

from gipo.engines.asynchronous import supervisor
from gipo.files import read_json
from gipo.runs.directory import RunDirectory
from gipo.study import Study
from timing import publish


def main() -> None:
    rows: list[dict[str, float | str]] = []
    for spec in Study.load(Path(__file__).with_suffix(".yaml")).runs():
        with tempfile.TemporaryDirectory() as directory:
            run = RunDirectory(Path(directory))
            supervisor.train(spec, run.path)
            episodes = pd.read_parquet(run.evaluation).groupby("update")["return"]
            minutes = read_json(run.provenance)["wall_seconds"] / 60
        for update, returns in episodes:
            spread = {"return_mean": returns.mean(), "return_low": returns.min(), "return_high": returns.max()}
            rows.append({"seed": spec.seed, "update": update, **spread, "minutes": minutes})
    publish(rows)


if __name__ == "__main__":
    main()
