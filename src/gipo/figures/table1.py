"""Table 1: staleness of the regimes."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gipo import paper
from gipo.analysis.collect import Tables
from gipo.analysis.statistics import Array, curves, mean, std_across_tasks
from gipo.errors import GipoError
from gipo.figures import style, words
from gipo.figures.style import Look
from gipo.figures.windowed import TASK, one_run
from gipo.stages import StudyFolder

TITLE = "Table 1"
SUBTITLE = "How stale the data of each regime are, beside the paper's values"

ALL = "all"
"""Stands for the mean over methods in the column ``method``."""

STATISTICS = {
    "old_frac": "OldFrac: share of samples with version gap ≥ K",
    "gap_mean": "mean version gap, learner updates",
    "gap_share": "mean version gap / all updates of the run",
    "d95": "D0.95: 95th percentile of |log ρ|",
}
FORMATS = {"old_frac": ".3f", "gap_mean": ",.0f", "gap_share": ".3f", "d95": ".3f"}

SINGLE_RUN = "one run on door-open-v3"


def published(statistic: str, method: str, regime: str) -> dict[str, Any]:
    """The paper's mean and standard deviation across tasks, and the source; NaN and nothing where it has none.

    Args:
        statistic: column of the metrics, or ``gap_share``: the gap in units of the paper's updates.
        method: a name, or `ALL`.
        regime: ``fresh``, ``stale`` or another.
    """
    nothing = {"paper": np.nan, "paper_std": np.nan, "source": ""}
    if method != ALL:
        logged = one_run(statistic, TASK, regime, method) if statistic == "d95" else None
        return nothing | ({"paper": logged.value, "source": f"{logged.source}, {SINGLE_RUN}"} if logged else {})
    name, unit = ("gap_mean", paper.number("updates/metaworld").value) if statistic == "gap_share" else (statistic, 1.0)
    numbers = paper.group(name) if name in paper.groups() else {}
    if regime not in numbers:
        return nothing
    found = numbers[regime]
    return {"paper": found.value / unit, "paper_std": found.spread / unit, "source": found.source}


def table(sources: StudyFolder, resamples: int = 2000) -> pd.DataFrame:
    """Means over the last 20 % of training: each statistic over all methods, D0.95 by method too.

    Args:
        sources: ``results/<scale>``.
        resamples: bootstrap resamples.

    Raises:
        GipoError: a table is missing or damaged, or runs differ in their number of seeds or logged updates.
    """
    tables = Tables.read(sources).model_free()
    updates = tables.metrics["run_id"].map(tables.runs.set_index("run_id")["updates"])
    metrics = tables.metrics.assign(gap_share=tables.metrics["gap_mean"] / updates)
    rows = [row for regime in style.order_regimes(metrics["regime"]) for row in _rows(metrics, regime, resamples)]
    return pd.DataFrame(rows).sort_values("statistic", key=lambda s: s.map(list(STATISTICS).index), kind="stable")


def _rows(metrics: pd.DataFrame, regime: str, resamples: int) -> list[dict[str, Any]]:
    methods = style.order(metrics.loc[metrics["regime"] == regime, "method"])
    rows = []
    for statistic in STATISTICS:
        values = {method: curves(metrics, regime, method, statistic).window() for method in methods}
        if len({len(value) for value in values.values()}) > 1:
            counts = ", ".join(f"{method} {len(value)}" for method, value in values.items())
            raise GipoError(f"regime {regime!r}: expected the same number of seeds for every method, got {counts}")
        together = np.stack([values[method] for method in sorted(methods)], axis=2)
        rows.append(_row(statistic, ALL, regime, together, resamples))
        if statistic == "d95":
            rows += [_row(statistic, method, regime, value, resamples) for method, value in values.items()]
    return rows


def _row(statistic: str, method: str, regime: str, values: Array, resamples: int) -> dict[str, Any]:
    """One cell of the table; ``values`` [seeds, tasks] or [seeds, tasks, methods]."""
    estimate = mean(values, statistic, method, resamples)
    return {
        "statistic": statistic,
        "method": method,
        "regime": regime,
        "value": estimate.value,
        "std_across_tasks": std_across_tasks(values),
        "low": estimate.low,
        "high": estimate.high,
        "tasks": values.shape[1],
        "seeds": values.shape[0],
        "resamples": resamples,
        "note": estimate.note,
        **published(statistic, method, regime),
    }


def draw(table: pd.DataFrame) -> Figure:
    """The table as a picture: a row per statistic (and method), this study beside the paper for each regime."""
    regimes = style.order_regimes(table["regime"])
    looks = style.looks(set(table["method"]) - {ALL})
    lines = [(statistic, ALL) for statistic in STATISTICS] + [("d95", method) for method in looks]
    figure = Figure(figsize=(style.WIDTH, 0.42 * (len(lines) + 3)), layout="constrained")
    ax = figure.subplots()
    ax.set(xlim=(0, 1), ylim=(len(lines) + 0.6, -2))
    ax.axis("off")
    keys = table[["statistic", "method", "regime"]].itertuples(index=False, name=None)
    cells = dict(zip(keys, table.to_dict("records"), strict=True))
    edges = np.linspace(0.37, 1, len(regimes) + 1)
    for regime, left, right in zip(regimes, edges, edges[1:], strict=False):
        ours, theirs = left + 0.34 * (right - left), left + 0.79 * (right - left)
        _header(ax, regime, left, right, ours, theirs)
        for y, key in enumerate(lines):
            if (*key, regime) in cells:
                _cell(ax, cells[*key, regime], FORMATS[key[0]], ours, theirs, y)
            else:
                ax.text(ours, y, "not run", ha="center", va="center", color=style.MUTED)
    for y, (statistic, method) in enumerate(lines):
        _label(ax, statistic, method, looks, y)
    for rule, width in ((-1.9, 1.2), (-0.55, 0.8), (len(lines) - 0.45, 1.2)):
        ax.axhline(rule, color=style.INK, lw=width)
    below = "Mean ± standard deviation across tasks; below it the 95 % interval over seeds."
    below += "   † one run, door-open-v3" if _single_runs(table).any() else ""
    ax.text(0, len(lines) + 0.1, below, fontsize=8.5, color=style.MUTED, va="center")
    return figure


def _header(ax: Axes, regime: str, left: float, right: float, ours: float, theirs: float) -> None:
    ax.text((ours + theirs) / 2, -1.5, regime, weight="bold", ha="center", va="center")
    ax.plot([left + 0.02, right - 0.01], [-1.15, -1.15], color=style.MUTED, lw=0.8)
    ax.text(ours, -0.85, "this study", ha="center", va="center")
    ax.text(theirs, -0.85, "paper", ha="center", va="center", color=style.MUTED)


def _label(ax: Axes, statistic: str, method: str, looks: dict[str, Look], y: float) -> None:
    if method == ALL:
        ax.text(0, y, STATISTICS[statistic], va="center")
    else:
        ax.plot(0.03, y, marker=looks[method].marker, color=looks[method].colour, markersize=6)
        ax.text(0.05, y, f"D0.95, {style.label(method)}", va="center")


def _cell(ax: Axes, cell: dict[Hashable, Any], form: str, ours: float, theirs: float, y: float) -> None:
    has_interval = not np.isnan(cell["low"])
    value = _plus_minus(cell["value"], cell["std_across_tasks"], form)
    ax.text(ours, y - 0.17 * has_interval, value, ha="center", va="center")
    if has_interval:
        interval = f"[{cell['low']:{form}}, {cell['high']:{form}}]"
        ax.text(ours, y + 0.22, interval, ha="center", va="center", fontsize=8, color=style.MUTED)
    form = ".4g" if cell["statistic"] == "d95" else form  # as published, to two or three digits
    theirs_words = "–" if np.isnan(cell["paper"]) else _plus_minus(cell["paper"], cell["paper_std"], form)
    dagger = " †" if SINGLE_RUN in str(cell["source"]) else ""
    ax.text(theirs, y, theirs_words + dagger, ha="center", va="center", color=style.MUTED)


def _single_runs(table: pd.DataFrame) -> pd.Series[bool]:
    """Which rows quote a single run of the authors."""
    return table["source"].fillna("").str.contains(SINGLE_RUN)


def _plus_minus(value: float, std: float, form: str) -> str:
    return f"{value:{form}}" + ("" if np.isnan(std) else f" ± {std:{form}}")


def caption(table: pd.DataFrame) -> str:
    """Say what the numbers are, n, interval method, sources of the paper's values."""
    spread = "" if table["tasks"].max() > 1 else " With a single task there is no standard deviation across tasks."
    single = f"; † {SINGLE_RUN} [C]" if _single_runs(table).any() else ""
    return (
        f"Staleness of the sampled batches over the last 20 % of training, {words.runs(table)} per method. Rows "
        "without a method average over all of them; D0.95 depends on the method, so it is given for each as well. "
        "Lifetime and K scale with the number of updates, so OldFrac and the gap as a share of all updates compare "
        f"across scales; the gap itself does not.{spread} {words.intervals(table)} Paper: OldFrac and D0.95 from "
        f"its Table 1 [P], gaps from the authors' logs [C], each mean ± standard deviation across tasks{single}."
    )
