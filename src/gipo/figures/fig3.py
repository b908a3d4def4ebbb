"""Figure 3: LIBERO, success rate on every suite over training, fresh and stale."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

from gipo.analysis.collect import Tables
from gipo.analysis.statistics import curves, mean_curve
from gipo.figures import style, words

AXES = {"env_steps": "env steps (chunks)", "update": "learner updates"}
"""What the curves are drawn against."""

MOST_TASKS = 4
"""Panels side by side that can be read."""


def table(sources: Path, resamples: int = 2000) -> pd.DataFrame:
    """Mean success rate over seeds at every evaluation, with its interval.

    Args:
        sources: ``results/<scale>``.
        resamples: bootstrap resamples.

    Raises:
        GipoError: a table is missing or damaged, or the runs of a method are not comparable.
    """
    evaluations = Tables.read(sources / "tables").evaluations
    runs = evaluations[["regime", "method"]].drop_duplicates()
    return pd.concat(
        [
            _rows(evaluations, regime, method, resamples)
            for regime in style.order_regimes(runs["regime"])
            for method in style.order(runs.loc[runs["regime"] == regime, "method"])
        ]
    )


def _rows(evaluations: pd.DataFrame, regime: str, method: str, resamples: int) -> pd.DataFrame:
    runs = curves(evaluations, regime, method, "success_any")
    band = mean_curve(runs.values, method, resamples)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "task": task,
                    "regime": regime,
                    "method": method,
                    "update": runs.updates,
                    "env_steps": runs.env_steps[:, i].mean(axis=0),
                    "success": band.value[i],
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
    )


def draw(table: pd.DataFrame) -> Figure:
    """A column of panels per suite; a row per regime against env steps, then a row per regime against updates."""
    tasks, regimes = style.order_suites(table["task"]), style.order_regimes(table["regime"])
    rows = [(axis, regime) for axis in AXES for regime in regimes]
    wide = -(-len(tasks) // MOST_TASKS)
    figure = Figure(figsize=(style.WIDTH * wide, 0.9 + 1.9 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), len(tasks), sharex="row", sharey=True, squeeze=False)
    for axes, (axis, regime) in zip(grid, rows, strict=True):
        for ax, task in zip(axes, tasks, strict=True):
            _panel(ax, table[(table["task"] == task) & (table["regime"] == regime)], axis)
            ax.set_xlabel(AXES[axis])
        axes[0].set_ylabel(f"{regime}\nsuccess rate")
    for ax, task in zip(grid[0], tasks, strict=True):
        ax.set_title(style.suite_label(task))
    grid[0, 0].set_ylim(-0.03, 1.03)
    grid[0, 0].yaxis.set_major_formatter(PercentFormatter(1))
    entries = {text: line for ax in grid.flat for line, text in zip(*ax.get_legend_handles_labels(), strict=True)}
    labels = [style.label(method) for method in style.order(table["method"])]
    style.legend(figure, [entries[text] for text in labels], labels)
    return figure


def _panel(ax: Axes, rows: pd.DataFrame, axis: str) -> None:
    for method in style.order(rows["method"]):
        one = rows[rows["method"] == method]
        colour = style.colour(method)
        ax.fill_between(one[axis], one["low"], one["high"], color=colour, alpha=0.15, lw=0)
        ax.plot(one[axis], one["success"], color=colour, ls=style.line(method), label=style.label(method))
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))


def caption(table: pd.DataFrame) -> str:
    """What is shown, n, interval method."""
    count = len(table[["task", "regime", "method"]].drop_duplicates())
    return (
        f"Success rate of evaluations over training, {count} curves, {words.runs(table)} per method and regime: mean "
        "over seeds, band: its pointwise interval. Above against env steps, a chunk of up to eight actions each, below "
        "against learner updates: a regime is a number of rollout actors, so how many steps come with an update is "
        f"measured and not set. {words.intervals(table)} The paper's figure 3 shows four suites, two regimes and three "
        "methods, close when fresh and GIPO > SAPO > PPO when stale [P]."
    )
