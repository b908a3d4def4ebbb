"""Learning curves: what the figures of MetaWorld and of LIBERO share."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

from gipo.analysis.collect import Tables
from gipo.analysis.statistics import curves, mean_curve
from gipo.figures import panels, style
from gipo.figures.style import Look
from gipo.stages import StudyFolder
from gipo.suites import Suite

MOST_TASKS = 4
"""Panels side by side that can be read."""


def learning(evaluations: pd.DataFrame, column: str, name: str, resamples: int) -> pd.DataFrame:
    """Mean of a column over seeds at every evaluation, with its interval, for every regime, method and task.

    Args:
        evaluations: of `gipo.analysis.collect.Tables`.
        column: what is evaluated, ``return`` or ``success_any``.
        name: what its mean is called in the table.
        resamples: bootstrap resamples.

    Raises:
        GipoError: the runs of a method are not comparable.
    """
    runs = evaluations[["regime", "method"]].drop_duplicates()
    return pd.concat(
        [
            rows
            for regime in style.order_regimes(runs["regime"])
            for method in style.order(runs.loc[runs["regime"] == regime, "method"])
            for rows in _rows(evaluations, regime, method, column, name, resamples)
        ]
    )


def _rows(
    evaluations: pd.DataFrame, regime: str, method: str, column: str, name: str, resamples: int
) -> list[pd.DataFrame]:
    runs = curves(evaluations, regime, method, column)
    band = mean_curve(runs.values, method, resamples)
    return [
        pd.DataFrame(
            {
                "task": task,
                "regime": regime,
                "method": method,
                "update": runs.updates,
                "env_steps": runs.env_steps[:, i].mean(axis=0),
                name: band.value[i],
                "low": band.low[i],
                "high": band.high[i],
                "tasks": len(runs.tasks),
                "seeds": len(runs.values),
                "resamples": resamples,
                "note": band.note,
            }
        )
        for i, task in enumerate(runs.tasks)
    ]


def panel(ax: Axes, rows: pd.DataFrame, looks: dict[str, Look], x: str, y: str, ticks: int) -> None:
    """A curve and its band per method, against ``x`` with that many ticks."""
    panels.curves(ax, rows, looks, x, y)
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.xaxis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10]))


def success_table(sources: StudyFolder, resamples: int) -> pd.DataFrame:
    """Mean success rate over seeds at every evaluation, with its interval.

    Args:
        sources: ``results/<scale>``.
        resamples: bootstrap resamples.

    Raises:
        GipoError: a table is missing or damaged, or the runs of a method are not comparable.
    """
    return learning(Tables.read(sources).model_free().evaluations, "success_any", "success", resamples)


def draw_success(table: pd.DataFrame, suite: Suite, axes: dict[str, str]) -> Figure:
    """A column of panels per task, in blocks of `MOST_TASKS`; in each a row per horizontal axis and regime.

    Args:
        table: see `success_table`.
        suite: of its tasks.
        axes: horizontal axes, column to label.
    """
    tasks, regimes = suite.order_tasks(table["task"]), style.order_regimes(table["regime"])
    looks = style.looks(table["method"])
    rows = [(axis, regime) for axis in axes for regime in regimes]
    blocks = [tasks[i : i + MOST_TASKS] for i in range(0, len(tasks), MOST_TASKS)]
    figure = Figure(figsize=(style.WIDTH, 0.7 + (0.2 + 1.9 * len(rows)) * len(blocks)), layout="constrained")
    wide = min(len(tasks), MOST_TASKS)
    grid = figure.subplots(len(rows) * len(blocks), wide, sharey=True, squeeze=False)
    for b, block in enumerate(blocks):
        of_block = grid[b * len(rows) : (b + 1) * len(rows)]
        for panels_of_row, (axis, regime) in zip(of_block, rows, strict=True):
            for ax, task in zip(panels_of_row, block, strict=False):
                shown = table[(table["task"] == task) & (table["regime"] == regime)]
                panel(ax, shown, looks, axis, "success", ticks=4)
                ax.set_xlabel(axes[axis])
            for ax in panels_of_row[len(block) :]:
                ax.set_axis_off()
            panels_of_row[0].set_ylabel(f"{regime}\nsuccess rate")
        for ax, task in zip(of_block[0], block, strict=False):
            ax.set_title(suite.task_title(task))
    grid[0, 0].set_ylim(-0.03, 1.03)
    grid[0, 0].yaxis.set_major_formatter(PercentFormatter(1))
    style.legend(figure, *panels.curve_entries(looks))
    return figure
