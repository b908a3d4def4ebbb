"""Pace: whether to learn from all stale data, from the newest alone, or with fewer updates."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gipo.analysis import methods, statistics
from gipo.analysis.collect import Tables
from gipo.figures import style, words
from gipo.stages import StudyFolder

TITLE = "Pace"
SUBTITLE = "Learning from all data, from the newest alone, or with fewer updates, at equal env steps"

PANELS = {
    "score": "final score, IQM",
    "change": "less that of all data and updates",
    "success": "success rate at the end",
}
MARKERS = "os^Dv"
"""Of the paces, the fastest first."""


def table(sources: StudyFolder, resamples: int = 2000) -> pd.DataFrame:
    """Values over the last 20 % of training by replay lifetime and number of updates.

    Args:
        sources: ``results/<scale>``, with ``sweeps/pace`` beneath it.
        resamples: bootstrap resamples.

    Returns:
        A row per ``statistic``, ``objective``, lifetime and number of ``updates``: ``score`` (IQM), ``success`` and
        ``d95`` (means) and ``change``, the IQM score less that of the longest lifetime and the most updates.
        ``newest`` is the lifetime as a share of the objective's longest, ``pace`` the updates as one of its most.

    Raises:
        GipoError: a table is missing or damaged, or the runs of a method are not comparable.
    """
    tables = Tables.read(sources, "sweeps/pace")
    runs = tables.runs.assign(
        objective=[
            methods.identify(objective, json.loads(parameters))
            for objective, parameters in zip(tables.runs["objective"], tables.runs["parameters"], strict=True)
        ],
        updates=[json.loads(spec)["learner"]["updates"] for spec in tables.runs["spec"]],
    )
    rows = [
        row
        for objective in style.order(runs["objective"])
        for row in _compared(tables, runs[runs["objective"] == objective], resamples)
    ]
    return pd.DataFrame(rows).assign(task=words.tasks(runs["task"]), resamples=resamples)


def _compared(tables: Tables, runs: pd.DataFrame, resamples: int) -> Iterator[dict[str, Any]]:
    """Rows of an objective, that with all data and updates first."""
    ways = runs.drop_duplicates(["lifetime", "updates"]).sort_values(["lifetime", "updates"], ascending=False)
    first = ways.iloc[0]
    everything = statistics.curves(tables.evaluations, first["regime"], first["method"], "score").window()
    for way in ways.to_dict("records"):
        regime, method = way["regime"], way["method"]
        scores = statistics.curves(tables.evaluations, regime, method, "score").window()
        solved = statistics.curves(tables.evaluations, regime, method, "success_any").window()
        tails = statistics.curves(tables.metrics, regime, method, "d95").window()
        found = {
            "score": statistics.iqm(scores, method, resamples),
            "success": statistics.mean(solved, "success", method, resamples),
            "d95": statistics.mean(tails, "d95", method, resamples),
        }
        newest, pace = way["lifetime"] / first["lifetime"], way["updates"] / first["updates"]
        if (newest, pace) != (1, 1):
            pair = {f"{method} {regime}": scores, "everything": everything}
            found["change"] = statistics.estimate("pace", pair, statistics.iqm_difference, resamples)
        where = {"objective": way["objective"], "newest": newest, "pace": pace, "updates": way["updates"]}
        size = {"env_steps": way["env_steps"], "tasks": scores.shape[1], "seeds": len(scores)}
        for name, estimate in found.items():
            yield {"statistic": name} | where | vars(estimate) | size


def draw(table: pd.DataFrame) -> Figure:
    """A row per objective, in it a line per share of the data and pace: score, what it changes, success."""
    objectives = list(dict.fromkeys(table["objective"]))
    shares = sorted(table["newest"].unique(), reverse=True)
    paces = sorted(table["pace"].unique(), reverse=True)
    colours = dict(zip(paces, sns.color_palette("flare_r", len(paces)), strict=True))
    markers = {pace: MARKERS[i % len(MARKERS)] for i, pace in enumerate(paces)}
    height = 0.9 + len(objectives) * (0.55 + 0.17 * len(shares) * len(paces))
    figure = Figure(figsize=(style.WIDTH, height), layout="constrained")
    grid = figure.subplots(len(objectives), len(PANELS), squeeze=False, sharex="col")
    for axes, objective in zip(grid, objectives, strict=True):
        for ax, statistic in zip(axes, PANELS, strict=True):
            rows = table[(table["objective"] == objective) & (table["statistic"] == statistic)]
            for row in rows.to_dict("records"):
                y = shares.index(row["newest"]) + 0.8 * ((paces.index(row["pace"]) + 0.5) / len(paces) - 0.5)
                ax.plot([row["low"], row["high"]], [y, y], color=colours[row["pace"]])
                ax.plot(row["value"], y, color=colours[row["pace"]], marker=markers[row["pace"]], markersize=5)
            _frame(ax, len(shares))
        axes[0].set_yticks(range(len(shares)), [_data(share) for share in shares])
        axes[0].set_title(style.label(objective))
        axes[1].axvline(0, color=style.MUTED, lw=1, zorder=1)
    for ax, axis in zip(grid[-1], PANELS.values(), strict=True):
        ax.set_xlabel(axis)
    marks = [Line2D([], [], color=colours[pace], marker=markers[pace], markersize=5) for pace in paces]
    style.legend(figure, marks, [_updates(pace) for pace in paces])
    return figure


def _frame(ax: Axes, lines: int) -> None:
    ax.set_ylim(lines - 0.5, -0.5)
    ax.set_yticks([])
    for y in range(1, lines):
        ax.axhline(y - 0.5, color=style.FAINT, lw=0.8)
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)


def _data(newest: float) -> str:
    return "all data" if newest == 1 else f"newest {newest:.0%}"


def _updates(pace: float) -> str:
    return "all updates" if pace == 1 else f"{pace:.0%} of the updates"


def caption(table: pd.DataFrame) -> str:
    """Say what is shown and kept equal, n, interval method, and which changes can be told from none."""
    changes = table[table["statistic"] == "change"]
    names = [
        f"{style.label(row['objective'])}, {_data(row['newest'])}, {_updates(row['pace'])}"
        for row in changes.to_dict("records")
    ]
    return (
        f"{table['task'].iloc[0]}, {words.runs(table)} each. Three answers to stale data: weight them (all data, all "
        "updates: the objective alone deals with their age), discard the old (a replay of the newest share), or wait "
        f"for fresher ones (fewer updates for the same {table['env_steps'].mean():,.0f} env steps, so that a sample "
        "meets a policy as many times fewer updates on). Env steps are equal, and so is the time where the simulators "
        "set it; where the learner does, fewer updates take less. Learning rates are not adapted. Score: normalised, "
        f"IQM over the last 20 % of env steps. {words.told(changes, names)} "
        f"{words.intervals(table[table['statistic'].isin(['score', 'change'])])} Not in the paper."
    )
