"""Arena: objectives for stale data, compared over replay lifetimes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gipo.analysis import numbers, statistics
from gipo.analysis.collect import Tables
from gipo.analysis.statistics import Array, Estimate, Statistic
from gipo.figures import panels, style, words
from gipo.stages import StudyFolder

TITLE = "Arena"
SUBTITLE = "Objectives for stale data, at equal env steps and updates, each with the values of its own source"

CELLS = {
    "score": ("final score, IQM", "viridis", None),
    "success": ("success rate at the end", "viridis", 1.0),
    "d95": ("D0.95, tail of the ratios", "Greys", None),
    "near_zero": ("share of samples near zero", "Greys", 1.0),
}
"""Statistic to the title and colours of its cells, and the number that has the last colour; None: the largest."""
REFERENCE = "gipo-1-1"
"""Method that the others are compared with."""


def table(sources: StudyFolder, resamples: int = 2000) -> pd.DataFrame:
    """Values over the last 20 % of training by lifetime, and what sums a method up over lifetimes.

    Args:
        sources: ``results/<scale>``, with ``sweeps/arena`` beneath it.
        resamples: bootstrap resamples.

    Returns:
        A row per ``statistic`` of `CELLS`, method and ``lifetime`` (share of all updates), and one for ``behind``: the
        IQM score less that of the method which has the highest there. And a row per method for

        - ``area``: mean score over the logarithm of the lifetime, by trapezoids from the shortest to the longest; its
          IQM over tasks and seeds;
        - ``against``: that area less the one of GIPO (1, 1);
        - ``rank``: by that area among all methods, 1 is the best;
        - ``half_life``: the first lifetime beyond that of the highest IQM score at which it has fallen to half,
          interpolated in the logarithm; the longest lifetime if it never does; NaN if no score is positive.

        ``env_steps`` and ``updates`` are means over runs.

    Raises:
        GipoError: a table is missing or damaged, or the runs of a method are not comparable.
    """
    return summary(Tables.read(sources, "sweeps/arena"), resamples)


def summary(tables: Tables, resamples: int) -> pd.DataFrame:
    """As `table`, of tables that were read."""
    lifetimes = _lifetimes(tables)
    names = style.order(tables.runs["method"])
    rows: list[dict[str, Any]] = []
    scores: dict[str, Array] = {}
    for method in names:
        windows = []
        for regime, lifetime in lifetimes.items():
            for statistic in CELLS:
                column = "success_any" if statistic == "success" else statistic
                logged = tables.metrics if statistic in ("d95", "near_zero") else tables.evaluations
                values = statistics.curves(logged, str(regime), method, column).window()
                if statistic == "score":
                    windows.append(values)
                    estimate = statistics.iqm(values, method, resamples)
                else:
                    estimate = statistics.mean(values, statistic, method, resamples)
                rows.append(_row(estimate, values, statistic=statistic, method=method, lifetime=lifetime))
        scores[method] = np.stack(windows, axis=-1)
    for i, lifetime in enumerate(lifetimes):
        here = {method: values[..., i] for method, values in scores.items()}
        best = max(here, key=lambda method: statistics.trimmed_mean(here[method]))
        for method in here.keys() - {best}:
            pair = {method: here[method], best: here[best]}
            behind = statistics.estimate("arena behind", pair, statistics.iqm_difference, resamples)
            rows.append(_row(behind, here[method], statistic="behind", method=method, lifetime=lifetime))
    logs = np.log(lifetimes.to_numpy(np.float64))
    for method, values in scores.items():
        one = {method: values}
        summaries: dict[str, tuple[dict[str, Array], Statistic]] = {
            "area": (one, lambda x: _area(x, logs)),
            "half_life": (one, lambda x: _half_life(x, logs)),
            "rank": (one | scores, lambda *x: _rank(logs, *x)),  # this method in front
        }
        if method == REFERENCE:
            itself = Estimate(0.0, 0.0, 0.0, values[..., 0].size, "compared with itself")
            rows.append(_row(itself, values, statistic="against", method=method))
        elif REFERENCE in scores:
            pair = {method: values, REFERENCE: scores[REFERENCE]}
            summaries["against"] = (pair, lambda x, y: _area(x, logs) - _area(y, logs))
        for name, (groups, function) in summaries.items():
            estimate = statistics.estimate(f"arena {name}", groups, function, resamples)
            rows.append(_row(estimate, values, statistic=name, method=method))
    specs = [json.loads(spec) for spec in tables.runs["spec"]]
    shared = {
        "task": words.tasks(tables.runs["task"]),
        "resamples": resamples,
        "env_steps": tables.runs["env_steps"].mean(),
        "updates": np.mean([spec["learner"]["updates"] for spec in specs]),
    }
    return pd.DataFrame(rows).assign(**shared)


def discarding(tables: Tables, resamples: int = 2000) -> pd.DataFrame:
    """Final score when only the newest data are learnt from, less that with all data.

    Uniform sampling from the newest share of a replay is uniform sampling from a smaller replay, at equal env steps and
    updates: a run of a shorter lifetime is one that discards what is older.

    Args:
        tables: of the sweep.
        resamples: bootstrap resamples.

    Returns:
        A row per method and shorter lifetime: ``newest``, the lifetime as a share of the longest, and the difference
        in IQM score with its interval; and one per method with ``newest`` 1, its score with all data.
    """
    lifetimes = _lifetimes(tables)
    rows = []
    for method in style.order(tables.runs["method"]):
        *shorter, everything = (
            statistics.curves(tables.evaluations, str(regime), method, "score").window() for regime in lifetimes.index
        )
        rows.append(_row(statistics.iqm(everything, method, resamples), everything, method=method, newest=1.0))
        for lifetime, scores in zip(lifetimes, shorter, strict=False):
            pair = {f"{method} newest": scores, method: everything}
            estimate = statistics.estimate("arena newest", pair, statistics.iqm_difference, resamples)
            rows.append(_row(estimate, scores, method=method, newest=lifetime / lifetimes.max()))
    return pd.DataFrame(rows)


def _lifetimes(tables: Tables) -> pd.Series:
    """Replay lifetimes by regime, the shortest first."""
    return tables.runs.groupby("regime")["lifetime"].first().sort_values()


def _row(estimate: Estimate, values: Array, **columns: object) -> dict[str, Any]:
    return {**columns, **vars(estimate), "tasks": values.shape[1], "seeds": len(values)}


def _area(scores: Array, logs: Array) -> Array:
    """IQM over runs of each run's mean over log lifetimes, [resamples, 1]; ``scores`` [resamples, seeds, tasks, L]."""
    if len(logs) == 1:
        return statistics.interquartile_mean(scores[..., 0])
    return statistics.interquartile_mean(np.trapezoid(scores, logs, axis=-1) / (logs[-1] - logs[0]))


def _rank(logs: Array, *scores: Array) -> Array:
    """Rank of the first group by its area, 1 is the best; equals share the mean of their ranks."""
    areas = np.hstack([_area(group, logs) for group in scores])
    better, equal = (areas > areas[:, :1]).sum(axis=1), (areas == areas[:, :1]).sum(axis=1)
    return np.asarray(better + (equal + 1) / 2, np.float64)[:, None]


def _half_life(scores: Array, logs: Array) -> Array:
    """Lifetime at which the IQM has fallen to half of its highest value, [resamples, 1]."""
    iqms = np.hstack([statistics.interquartile_mean(scores[..., i]) for i in range(len(logs))])
    return np.array([[_crossing(curve, logs)] for curve in iqms])


def _crossing(curve: Array, logs: Array) -> float:
    peak = int(np.argmax(curve))
    half = curve[peak] / 2
    if half <= 0:
        return float("nan")
    below = np.flatnonzero(curve[peak:] <= half)
    if not len(below):
        return float(np.exp(logs[-1]))
    i = peak + below[0]
    share = (curve[i - 1] - half) / (curve[i - 1] - curve[i])
    return float(np.exp(logs[i - 1] + share * (logs[i] - logs[i - 1])))


def draw(table: pd.DataFrame) -> Figure:
    """A line per method, best area first: cells by lifetime, and area, difference to GIPO (1, 1) and rank."""
    areas = table[table["statistic"] == "area"].sort_values("value", ascending=False, kind="stable")
    looks = style.looks(areas["method"])
    looks = {method: looks[method] for method in areas["method"]}
    figure = Figure(figsize=(style.WIDTH, 3 * (1.0 + 0.27 * len(looks))), layout="constrained")
    grid = figure.subplots(3, 2)
    for ax, (statistic, (title, colours, most)) in zip(
        (grid[0, 0], grid[1, 0], grid[2, 0], grid[2, 1]), CELLS.items(), strict=True
    ):
        _cells(ax, table[table["statistic"] == statistic], list(looks), colours, most)
        ax.set_title(title)
    for ax, statistic, title, axis in (
        (grid[0, 1], "area", "score over all lifetimes", "area under the lag curve"),
        (grid[1, 1], "against", f"less that of {style.label(REFERENCE)}", "difference in area"),
    ):
        panels.estimates(ax, table[table["statistic"] == statistic].set_index("method"), looks)
        ax.set_ylim(len(looks) - 0.5, -0.5)
        ax.axvline(0, color=style.MUTED, lw=1, zorder=1)
        ax.set(title=title, xlabel=axis, yticks=[])
    return figure


def _cells(ax: Axes, rows: pd.DataFrame, names: list[str], colours: str, most: float | None) -> None:
    """A cell per method and lifetime with its number, darker or lighter by it."""
    values = rows.pivot_table(index="method", columns="lifetime", values="value", dropna=False).loc[names]
    figures = values.map(lambda value: f"{value:.2f}" if np.isfinite(value) else "")
    values.index = pd.Index([style.label(name) for name in names])
    values.columns = pd.Index([f"{lifetime:.2g}" for lifetime in values.columns])
    largest = float(np.nanmax([0, *values.to_numpy(np.float64).ravel()])) if most is None else most
    look: dict[str, Any] = {"cmap": colours, "vmin": 0, "vmax": largest, "linewidths": 0.6, "linecolor": style.FAINT}
    sns.heatmap(values.astype(float), ax=ax, annot=figures, fmt="", annot_kws={"size": 8.5}, cbar=False, **look)
    ax.set(xlabel="replay lifetime L, share of all updates", ylabel="")
    ax.tick_params(length=0)
    ax.tick_params(axis="y", rotation=0)


def caption(table: pd.DataFrame) -> str:
    """Say what is shown and kept equal, n, interval method, and what it cannot tell."""
    areas = table[table["statistic"] == "area"].sort_values("value", ascending=False)
    return (
        f"{len(areas)} objectives on {table['task'].iloc[0]}, {words.runs(table)} per objective and lifetime, each run "
        f"with about {table['env_steps'].mean():,.0f} env steps and {table['updates'].mean():,.0f} updates. The "
        "lifetime L is the number of learner updates in which the replay is replaced once, as a share of all updates; "
        "version gaps are uniform between 0 and L. Best first, by the area under the curve of score against log L, "
        "the mean score over lifetimes. Every objective has the values of its own source, and none was tuned here. "
        f"{_half_words(table)} Score: normalised, IQM over the last 20 % of env steps, as all values. "
        f"{words.intervals(areas)} Not in the paper."
    )


def overall(table: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Summaries over lifetimes with their intervals in words, by method and statistic; best area first."""
    rows = table[table["lifetime"].isna()].sort_values("value", ascending=False, kind="stable").to_dict("records")
    methods = [row["method"] for row in rows if row["statistic"] == "area"]
    return {
        method: {
            row["statistic"]: numbers.words(row["value"], row["low"], row["high"])
            for row in rows
            if row["method"] == method
        }
        for method in methods
    }


def lines(table: pd.DataFrame) -> list[str]:
    """A line per objective, best area first: area, rank and difference to GIPO (1, 1), with intervals."""
    found = overall(table)
    seeds = table.drop_duplicates("method").set_index("method")["seeds"]
    columns = [
        ("objective", [style.label(method) for method in found]),
        ("seeds", [str(seeds[method]) for method in found]),
        ("score over lifetimes", [words["area"] for words in found.values()]),
        ("rank", [words["rank"] for words in found.values()]),
        (f"less that of {style.label(REFERENCE)}", [words.get("against", "") for words in found.values()]),
    ]
    widths = [max(map(len, (title, *cells))) for title, cells in columns]
    lines = zip(*([title, *cells] for title, cells in columns), strict=True)
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def _half_words(table: pd.DataFrame) -> str:
    """Which objectives lose half of their highest score with older data, and where."""
    rows = table[table["statistic"] == "half_life"].dropna(subset=["value"]).sort_values("value")
    lost = rows[rows["value"] < table["lifetime"].max()]
    if lost.empty:
        return "With older data than those of its highest score no objective loses half of it within the sweep."
    listed = ", ".join(f"{style.label(row.method)} at {row.value:.2g}" for row in lost.itertuples())
    return f"With older data than those of its highest score half of it is lost by {listed}, by no other in the sweep."
