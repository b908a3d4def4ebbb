"""Figure 3: success rates on LIBERO over training."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from gipo import suites
from gipo.analysis.collect import Tables
from gipo.figures import panels, style, words
from gipo.figures.learning import learning, panel
from gipo.stages import StudyFolder

TITLE = "Figure 3"
SUBTITLE = "LIBERO, success rate on every suite over training, fresh and stale"

LIBERO = suites.get("libero")
AXES = {"env_steps": "env steps (chunks)", "update": "learner updates"}
"""Horizontal axes: column to label."""

MOST_TASKS = 4
"""Panels side by side that can be read."""


def table(sources: StudyFolder, resamples: int = 2000) -> pd.DataFrame:
    """Mean success rate over seeds at every evaluation, with its interval.

    Args:
        sources: ``results/<scale>``.
        resamples: bootstrap resamples.

    Raises:
        GipoError: a table is missing or damaged, or the runs of a method are not comparable.
    """
    return learning(Tables.read(sources).evaluations, "success_any", "success", resamples)


def draw(table: pd.DataFrame) -> Figure:
    """A column of panels per suite; a row per regime against env steps, then a row per regime against updates."""
    tasks, regimes = LIBERO.order_tasks(table["task"]), style.order_regimes(table["regime"])
    looks = style.looks(table["method"])
    rows = [(axis, regime) for axis in AXES for regime in regimes]
    wide = -(-len(tasks) // MOST_TASKS)
    figure = Figure(figsize=(style.WIDTH * wide, 0.9 + 1.9 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), len(tasks), sharex="row", sharey=True, squeeze=False)
    for axes, (axis, regime) in zip(grid, rows, strict=True):
        for ax, task in zip(axes, tasks, strict=True):
            curves = table[(table["task"] == task) & (table["regime"] == regime)]
            panel(ax, curves, looks, axis, "success", ticks=4)
            ax.set_xlabel(AXES[axis])
        axes[0].set_ylabel(f"{regime}\nsuccess rate")
    for ax, task in zip(grid[0], tasks, strict=True):
        ax.set_title(LIBERO.task_title(task))
    grid[0, 0].set_ylim(-0.03, 1.03)
    grid[0, 0].yaxis.set_major_formatter(PercentFormatter(1))
    style.legend(figure, *panels.curve_entries(looks))
    return figure


def caption(table: pd.DataFrame) -> str:
    """Say what is shown, n, interval method."""
    count = len(table[["task", "regime", "method"]].drop_duplicates())
    return (
        f"Success rate of evaluations over training, {count} curves, {words.runs(table)} per method and regime: mean "
        "over seeds, band: its pointwise interval. Above against env steps, a chunk of up to eight actions each, below "
        "against learner updates: a regime is a number of rollout actors, so how many steps come with an update is "
        f"measured and not set. {words.intervals(table)} The paper's figure 3 shows four suites, two regimes and three "
        "methods, close when fresh and GIPO > SAPO > PPO when stale [P]."
    )
