"""Shared by the figures about sampled data: the task and regime that the paper shows, and windowed values of runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from gipo import paper
from gipo.analysis import methods
from gipo.analysis.collect import Tables
from gipo.analysis.statistics import Array, curves
from gipo.figures import style
from gipo.stages import StudyFolder

TASK, REGIME = "door-open-v3", "stale"
"""Where figures 6 to 8 of the paper were made (figure 8: the task only)."""

POINTS = 50
"""Points of a curve; each is the mean of the logged points in its stretch of training."""

METHOD = ["task", "regime", "method"]

CONFIGURATIONS = ("sigma", "ranking")
"""Sweeps that run further methods on tasks and in regimes of the main grid."""


def every_configuration(study: StudyFolder) -> Tables:
    """Runs of the main grid and those of the sweeps on its tasks in its regimes, each once.

    Raises:
        GipoError: a table is missing or damaged.
    """
    found = [Tables.read(study).model_free()]
    tasks, regimes = (set(found[0].runs[column]) for column in ("task", "regime"))
    for name in CONFIGURATIONS:
        if study.has_sweep(name):
            tables = vars(Tables.read(study, f"sweeps/{name}"))
            known = {run_id for grid in found for run_id in grid.runs["run_id"]}
            runs = {name: table for name, table in tables.items() if name != "baselines"}
            new = {
                name: table[table["task"].isin(tasks) & table["regime"].isin(regimes) & ~table["run_id"].isin(known)]
                for name, table in runs.items()
            }
            found.append(Tables(**new, baselines=tables["baselines"]))
    names = ("runs", "metrics", "evaluations")
    joined = {name: pd.concat([getattr(grid, name) for grid in found], ignore_index=True) for name in names}
    return Tables(**joined, baselines=found[0].baselines)


def shown_task(tasks: Iterable[str]) -> str:
    """The paper's task; the first in order where the study lacks it."""
    present = sorted(set(tasks))
    return TASK if TASK in present else present[0]


def shown_regime(regimes: Iterable[str]) -> str:
    """The paper's regime; the first in order where the study lacks it."""
    present = style.order_regimes(regimes)
    return REGIME if REGIME in present else present[0]


def one_run(statistic: str, task: str, regime: str, name: str) -> paper.Number | None:
    """The authors' number from their one run of a method on `TASK` in `REGIME`; None where there is none."""
    logged = paper.group(f"door_open.{statistic}")
    return logged.get(methods.read(name).id) if (task, regime) == (TASK, REGIME) else None


def metrics_with_gap_share(tables: Tables) -> pd.DataFrame:
    """The metrics with ``gap_share``, ``gap_q05_share``, ``gap_q95_share``, ``progress``: shares of a run's updates."""
    metrics = tables.metrics
    updates = metrics["run_id"].map(tables.runs.set_index("run_id")["updates"])
    shares = {f"{name}_share": metrics[name] / updates for name in ("gap_q05", "gap_q95")}
    return metrics.assign(gap_share=metrics["gap_mean"] / updates, progress=metrics["update"] / updates, **shares)


def windowed(table: pd.DataFrame, task: str, regime: str, method: str, columns: Sequence[str]) -> pd.DataFrame:
    """Mean of each run over the last 20 % of its env steps: task, regime, method, seed, seeds, ``columns``.

    A value is NaN where a logged point in the window is, as the statistics of old samples are where a batch has none.

    Raises:
        GipoError: no such runs, or runs that differ in the updates they logged.
    """
    rows = table[table["task"] == task]
    runs = rows.loc[(rows["regime"] == regime) & (rows["method"] == method), [*METHOD, "seed"]]
    frame = runs.drop_duplicates().sort_values("seed", ignore_index=True)
    values = {column: curves(rows, regime, method, column).window()[:, 0] for column in columns}
    return frame.assign(seeds=len(frame), **values)


def binned(metrics: pd.DataFrame, regime: str, method: str, column: str) -> Array:
    """Means over up to `POINTS` successive stretches of equally many logged points, [seeds, tasks, stretches]."""
    values = curves(metrics, regime, method, column).values
    stretches = np.array_split(values, min(POINTS, values.shape[-1]), axis=-1)
    return np.stack([stretch.mean(axis=-1) for stretch in stretches], axis=-1)
