"""Figure 6: dead, suppressed and near-zero samples on one task with stale data, by method and over training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from gipo.analysis.collect import Tables
from gipo.analysis.statistics import mean, mean_over_runs
from gipo.figures import style, words
from gipo.figures.windowed import (
    REGIME,
    TASK,
    binned,
    method_rows,
    metrics_with_gap_share,
    shown_regime,
    shown_task,
    windowed,
)

STATISTICS = {
    "dead": "dead: m = 0",
    "suppressed": "suppressed: 0 < m < τ",
    "near_zero": "near-zero: |mA| < τ",
    "near_zero_old": "near-zero of old",
}
"""Shares of a batch; of the last one, of its old samples (version gap ≥ K)."""

CURVES = ("near_zero", "suppressed")
"""Those also shown over training."""

PAPER = {"ppo-clip": 0.118, "gipo-0.5-0.5": 0.008, "gipo-1-1": 0.001, "gipo-2-2": 0.000, "sapo": 0.002}
"""Near-zero of old, one run each on `TASK` in `REGIME` [C]; the one sigma of the log stands for both [R]."""

SOURCE = "[C], one run"
LINEAR = 1e-3
"""Below it the axis is linear, so that zero has a place on it."""


def table(sources: Path, resamples: int = 2000) -> pd.DataFrame:
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
    metrics = metrics_with_gap_share(Tables.read(sources / "tables"))
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
    quoted = name == "near_zero_old" and (task, regime) == (TASK, REGIME) and method in PAPER
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
        "paper": PAPER[method] if quoted else np.nan,
        "source": SOURCE if quoted else "",
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
    methods = style.order(table["method"])
    height = 0.7 + 0.3 * len(methods)
    figure = Figure(figsize=(style.WIDTH, height + 3.6), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[height + 0.4, 3.0], squeeze=False).flat
    rows = table[table["panel"] == "window"]
    panels = top.subplots(1, len(STATISTICS), sharex=True, sharey=True)
    for ax, (name, title) in zip(panels, STATISTICS.items(), strict=True):
        _shares(ax, rows[rows["statistic"] == name].set_index("method"), methods)
        ax.set_title(title, fontsize=9.5)
    _share_axis(panels[0], table, "x")
    panels[0].set_yticks(range(len(methods)), [style.label(method) for method in methods])
    top.supxlabel("share of samples, last 20 % of training", fontsize=10)
    rows = table[table["panel"] == "curve"]
    panels = bottom.subplots(1, len(CURVES), sharex=True, sharey=True)
    for ax, name in zip(panels, CURVES, strict=True):
        _curves(ax, rows[rows["statistic"] == name])
        ax.set(title=f"{STATISTICS[name]}, over training", xlabel="learner updates done (%)", xlim=(0, 1))
    _share_axis(panels[0], table, "y")
    panels[0].set_ylabel("share of samples")
    panels[0].xaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    handles = [Line2D([], [], color=style.colour(m), ls=style.line(m), marker=style.marker(m)) for m in methods]
    labels = [style.label(method) for method in methods]
    if table["paper"].notna().any():
        handles.append(Line2D([], [], ls="none", **style.PAPER))
        labels.append("paper (one run)")
    style.legend(figure, handles, labels)
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


def _shares(ax: Axes, rows: pd.DataFrame, methods: Sequence[str]) -> None:
    ax.axvline(0, color=style.MUTED, lw=1, zorder=1)
    ax.spines.left.set_visible(False)
    method_rows(ax, rows, methods)
    if rows["value"].isna().all():
        ax.text(0.5, 0.5, "no old samples", transform=ax.transAxes, ha="center", va="center", color=style.MUTED)


def _curves(ax: Axes, rows: pd.DataFrame) -> None:
    ax.axhline(0, color=style.MUTED, lw=1, zorder=1)
    ax.spines.bottom.set_visible(False)
    for method in style.order(rows["method"]):
        one = rows[rows["method"] == method]
        ax.fill_between(one["progress"], one["low"], one["high"], color=style.colour(method), alpha=0.13, lw=0)
        ax.plot(one["progress"], one["value"], color=style.colour(method), ls=style.line(method))


def caption(table: pd.DataFrame) -> str:
    """What is shown, n, interval method, the authors' values."""
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
