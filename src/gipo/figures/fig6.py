"""Figure 6: samples that hardly move the policy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from gipo.analysis.statistics import mean, mean_over_runs
from gipo.figures import panels, style, words
from gipo.figures.style import Look
from gipo.figures.windowed import (
    REGIME,
    TASK,
    binned,
    every_configuration,
    metrics_with_gap_share,
    one_run,
    shown_regime,
    shown_task,
    windowed,
)
from gipo.stages import StudyFolder

TITLE = "Figure 6"
SUBTITLE = "Dead, suppressed and near-zero samples on one task with stale data, by method and over training"

STATISTICS = {
    "dead": "dead: m = 0",
    "suppressed": "suppressed: 0 < m < τ",
    "near_zero": "near-zero: |mA| < τ",
    "near_zero_old": "near-zero of old",
}
"""Shares of a batch; of the last one, of its old samples (version gap ≥ K)."""

CURVES = ("near_zero", "suppressed")
"""Those also shown over training."""

LINEAR = 1e-3
"""Below it the axis is linear, so that zero has a place on it."""


def table(sources: StudyFolder, resamples: int = 2000) -> pd.DataFrame:
    """Shares by method over the last 20 % of training and over its course, with their intervals.

    Args:
        sources: ``results/<scale>``.
        resamples: bootstrap resamples.

    Returns:
        ``panel`` is ``window`` (a row per ``statistic`` and ``method``, with the ``paper``'s value) or ``curve`` (a
        row per point too; ``progress`` is the share of a run's updates done).

    Raises:
        GipoError: a table is missing or damaged, or the runs of a method are not comparable.
    """
    metrics = metrics_with_gap_share(every_configuration(sources))
    task = shown_task(metrics["task"])
    metrics = metrics[metrics["task"] == task]
    regime = shown_regime(metrics["regime"])
    methods = style.order(metrics.loc[metrics["regime"] == regime, "method"])
    rows = [_row(metrics, task, regime, method, name, resamples) for name in STATISTICS for method in methods]
    curves = [_curve(metrics, regime, method, name, resamples) for name in CURVES for method in methods]
    return pd.concat([pd.DataFrame(rows), *curves]).assign(task=task, regime=regime, tasks=1, resamples=resamples)


def _row(metrics: pd.DataFrame, task: str, regime: str, method: str, name: str, resamples: int) -> dict[str, Any]:
    values = windowed(metrics, task, regime, method, [name])[[name]].to_numpy()
    estimate = mean(values, name, method, resamples)
    quoted = one_run(name, task, regime, method) if name == "near_zero_old" else None
    return {
        "panel": "window",
        "statistic": name,
        "method": method,
        "progress": np.nan,
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "seeds": len(values),
        "note": "no old samples in a batch" if np.isnan(estimate.value) else estimate.note,
        "paper": quoted.value if quoted else np.nan,
        "source": f"{quoted.source}, one run" if quoted else "",
    }


def _curve(metrics: pd.DataFrame, regime: str, method: str, name: str, resamples: int) -> pd.DataFrame:
    values, progress = (binned(metrics, regime, method, column) for column in (name, "progress"))
    band = mean_over_runs(values, name, method, resamples)
    return pd.DataFrame(
        {
            "panel": "curve",
            "statistic": name,
            "method": method,
            "progress": progress[0, 0],
            "value": band.value,
            "low": band.low,
            "high": band.high,
            "seeds": len(values),
        }
    )


def draw(table: pd.DataFrame) -> Figure:
    """Windowed shares above, a panel each with a row per method; two of them over training below."""
    looks = style.looks(table["method"])
    height = 0.7 + 0.3 * len(looks)
    figure = Figure(figsize=(style.WIDTH, height + 3.6), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[height + 0.4, 3.0], squeeze=False).flat
    rows = table[table["panel"] == "window"]
    axes = top.subplots(1, len(STATISTICS), sharex=True, sharey=True)
    for ax, (name, title) in zip(axes, STATISTICS.items(), strict=True):
        _shares(ax, rows[rows["statistic"] == name].set_index("method"), looks)
        ax.set_title(title, fontsize=9.5)
    _share_axis(axes[0], table, "x")
    panels.name_rows(axes[0], looks)
    top.supxlabel("share of samples, last 20 % of training", fontsize=10)
    rows = table[table["panel"] == "curve"]
    axes = bottom.subplots(1, len(CURVES), sharex=True, sharey=True)
    for ax, name in zip(axes, CURVES, strict=True):
        _curves(ax, rows[rows["statistic"] == name], looks)
        ax.set(title=f"{STATISTICS[name]}, over training", xlabel="learner updates done (%)", xlim=(0, 1))
    _share_axis(axes[0], table, "y")
    axes[0].set_ylabel("share of samples")
    axes[0].xaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    panels.legend(figure, panels.entries(looks), "paper (one run)" if table["paper"].notna().any() else "")
    return figure


def _share_axis(ax: Axes, table: pd.DataFrame, which: str) -> None:
    """Linear to `LINEAR`, then logarithmic, from just below zero to beyond the largest share."""
    top = table[["value", "high", "paper"]].max().max()
    end = next(end for end in (0.01, 0.1, 1.0) if top < 0.8 * end or end == 1)
    axis = getattr(ax, f"{which}axis")
    getattr(ax, f"set_{which}scale")("symlog", linthresh=LINEAR, linscale=0.6)
    getattr(ax, f"set_{which}lim")(-0.25 * LINEAR, 1.1 * end)
    axis.set_major_locator(FixedLocator([tick for tick in (0, 0.001, 0.01, 0.1, 1) if tick <= end]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:g}"))


def _shares(ax: Axes, rows: pd.DataFrame, looks: dict[str, Look]) -> None:
    ax.axvline(0, color=style.MUTED, lw=1, zorder=1)
    ax.spines.left.set_visible(False)
    panels.method_rows(ax, rows, looks)
    if rows["value"].isna().all():
        ax.text(0.5, 0.5, "no old samples", transform=ax.transAxes, ha="center", va="center", color=style.MUTED)


def _curves(ax: Axes, rows: pd.DataFrame, looks: dict[str, Look]) -> None:
    ax.axhline(0, color=style.MUTED, lw=1, zorder=1)
    ax.spines.bottom.set_visible(False)
    panels.curves(ax, rows, looks, x="progress")


def caption(table: pd.DataFrame) -> str:
    """Say what is shown, n, interval method, the authors' values."""
    paper = ""
    if table["paper"].notna().any():
        paper = (
            f" Diamonds: near-zero of old in the authors' logs of {TASK}, {REGIME}, one run each [C]; their one sigma "
            "is read as both [R]."
        )
    return (
        f"Samples that hardly move the policy, on {table['task'].iloc[0]} in regime {table['regime'].iloc[0]}, "
        f"{words.runs(table)} per method. m is the multiplier of a sample, A its advantage, τ = 0.001; dead samples "
        "have m = 0, suppressed ones 0 < m < τ, near-zero ones a contribution |mA| < τ, so that dead samples are "
        "near-zero too; the last panel has the share among old samples (version gap ≥ K). The axis is linear below τ "
        "and logarithmic above, so 0 is a place on it. Above: mean of the runs over the last 20 % of env steps; below: "
        f"over training. {words.intervals(table)}{paper}"
    )
