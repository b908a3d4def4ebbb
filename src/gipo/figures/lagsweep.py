"""Lag sweep: results by replay lifetime."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from gipo import paper
from gipo.analysis import statistics
from gipo.analysis.collect import Tables
from gipo.figures import panels, style, words
from gipo.figures.style import Look
from gipo.stages import StudyFolder

TITLE = "Lag sweep"
SUBTITLE = "From nearly fresh data to a replay that is never replaced, at equal env steps and updates"

PANELS = {
    "score": ("final score", "IQM score"),
    "d95": ("tail of the ratios", "D0.95"),
    "near_zero": ("samples that hardly count", "share near zero"),
    "ess_eff_old": ("effective share of old samples", "ESS_Eff_Old"),
}
"""Statistic to title and axis."""

REGIME_WORDS: dict[str, Any] = {"color": style.MUTED, "fontsize": 8.5, "va": "top", "ha": "right"}
TICKS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def table(sources: StudyFolder, resamples: int = 2000) -> pd.DataFrame:
    """Values over the last 20 % of training by replay lifetime and method: IQM of the score, means of the others.

    Args:
        sources: ``results/<scale>``, with ``sweeps/lag`` beneath it.
        resamples: bootstrap resamples.

    Returns:
        A row per ``statistic`` (of `PANELS`), ``lifetime`` (share of all updates) and method, with the ``env_steps``,
        ``updates`` and replay ``capacity`` (transitions) of its runs.

    Raises:
        GipoError: a table is missing or damaged, or the runs of a method are not comparable.
    """
    tables = Tables.read(sources, "sweeps/lag")
    runs = tables.runs.assign(capacity=[json.loads(spec)["replay"]["capacity"] for spec in tables.runs["spec"]])
    means = dict.fromkeys(("env_steps", "updates", "capacity"), "mean")
    cells = runs.groupby(["regime", "method"], as_index=False).agg({"lifetime": "first", **means})
    task = words.tasks(runs["task"])
    rows = []
    for cell in cells.sort_values(["lifetime", "method"]).to_dict("records"):
        regime, method = str(cell["regime"]), str(cell["method"])
        for statistic in PANELS:
            logged = tables.evaluations if statistic == "score" else tables.metrics
            values = statistics.curves(logged, regime, method, statistic).window()
            if statistic == "score":
                estimate = statistics.iqm(values, method, resamples)
            else:
                estimate = statistics.mean(values, statistic, method, resamples)
            size = {"tasks": values.shape[1], "seeds": len(values), "resamples": resamples, "task": task}
            rows.append({**cell, "statistic": statistic} | vars(estimate) | size)
    return pd.DataFrame(rows)


def draw(table: pd.DataFrame) -> Figure:
    """A panel per statistic against the lifetime, a line per method; the paper's two lifetimes as vertical lines."""
    figure = Figure(figsize=(style.WIDTH, 6.0), layout="constrained")
    grid = figure.subplots(2, 2, sharex=True)
    looks = style.looks(table["method"])
    for ax, (statistic, (title, axis)) in zip(grid.flat, PANELS.items(), strict=True):
        _panel(ax, table[table["statistic"] == statistic], looks)
        ax.set(title=title, ylabel=axis)
        if statistic != "ess_eff_old":
            ax.axhline(0, color=style.MUTED, lw=1, zorder=1)
        if statistic in ("d95", "near_zero"):
            ax.set_ylim(bottom=0)
    for ax in grid[1]:
        ax.set_xlabel("replay lifetime L, share of all updates")
    style.legend(figure, *panels.entries(looks))
    return figure


def _panel(ax: Axes, rows: pd.DataFrame, looks: dict[str, Look]) -> None:
    ax.margins(y=0.12)
    panels.curves(ax, rows, looks, x="lifetime")
    for line, look in zip(ax.lines, looks.values(), strict=True):
        line.set(marker=look.marker, markersize=5, markevery=None)  # the grid of lifetimes, few enough for all
    low, high = rows["lifetime"].min(), rows["lifetime"].max()
    ax.set(xscale="log", xlim=(low / 1.25, high * 1.25))
    ax.xaxis.set_major_locator(FixedLocator(TICKS))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda lifetime, _: f"{lifetime:g}"))
    for regime, number in paper.group("lifetime").items():
        lifetime = number.value
        if low / 1.25 < lifetime < high * 1.25:
            ax.axvline(lifetime, color=style.MUTED, lw=1, ls=":", zorder=1)
            ax.text(lifetime / 1.04, 1, regime, transform=ax.get_xaxis_transform(), **REGIME_WORDS)
    if rows["value"].isna().all():
        ax.text(0.5, 0.5, "no sample is old", transform=ax.transAxes, ha="center", color=style.MUTED)


def caption(table: pd.DataFrame) -> str:
    """Say what is shown and what was kept equal, n, interval method."""
    known = table[table["value"].notna()]
    return (
        f"How results depend on staleness on {table['task'].iloc[0]}, {words.runs(table)} per method and lifetime; "
        "the paper has two lifetimes, "
        f"{paper.words('fresh {lifetime/fresh} and stale {lifetime/stale}')} (dotted) [R]. "
        "The lifetime L is the number of learner updates in which the "
        "replay is replaced once, as a share of all updates; version gaps are uniform between 0 and L. Every run has "
        f"{_range(table['env_steps'])} env steps and {_range(table['updates'])} updates: not the flow of data but the "
        f"replay varies, from {table['capacity'].min():,.0f} to {table['capacity'].max():,.0f} transitions. Score: "
        "normalised, IQM. D0.95: 95th percentile of |log ρ|. Near zero: share of samples with a contribution |m A| "
        "below 0.001. ESS_Eff_Old: effective share of the samples at least K versions old, undefined where none is. "
        f"All over the last 20 % of env steps, the last three as means. {words.intervals(known)} Not in the paper."
    )


def _range(column: pd.Series[float]) -> str:
    """``4,000``, or ``23,900 to 24,100`` where runs differ."""
    low, high = f"{column.min():,.0f}", f"{column.max():,.0f}"
    return low if low == high else f"{low} to {high}"
