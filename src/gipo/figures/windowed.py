"""What the figures about sampled data share: the task and regime that the paper shows, and windowed values of runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from gipo.analysis.collect import Tables
from gipo.analysis.statistics import Array, curves
from gipo.figures import style

TASK, REGIME = "door-open-v3", "stale"
"""Where figures 6 to 8 of the paper were made (figure 8: the task only)."""

POINTS = 50
"""Points of a curve; each is the mean of the logged points in its stretch of training."""

METHOD = ["task", "regime", "method"]


def shown_task(tasks: Iterable[str]) -> str:
    """The paper's task; the first in order where the study lacks it."""
    present = sorted(set(tasks))
    return TASK if TASK in present else present[0]


def shown_regime(regimes: Iterable[str]) -> str:
    """The paper's regime; the first in order where the study lacks it."""
    present = style.order_regimes(regimes)
    return REGIME if REGIME in present else present[0]


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


def method_rows(ax: Axes, rows: pd.DataFrame, methods: Sequence[str]) -> None:
    """A line per method from the top down: point, interval and, just above, the paper's value.

    Args:
        ax: where to draw; names of the methods are left to the caller.
        rows: columns ``value``, ``low``, ``high`` and ``paper`` by method.
        methods: in order of the lines.
    """
    cells = rows.to_dict("index")
    for y, method in enumerate(methods):
        value, low, high, paper = (cells[method][name] for name in ("value", "low", "high", "paper"))
        ax.plot([low, high], [y, y], color=style.colour(method), lw=2.2)
        ax.plot(value, y, color=style.colour(method), marker=style.marker(method), markersize=6, clip_on=False)
        ax.plot(paper, y - 0.3, **style.PAPER, clip_on=False)
    ax.set_ylim(len(methods) - 0.4, -0.7)
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)
