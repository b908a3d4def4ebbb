"""Knobs: what the setting that an objective has changes on stale data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gipo.analysis import methods, statistics
from gipo.analysis.collect import Tables
from gipo.figures import style, words
from gipo.stages import StudyFolder

TITLE = "Knobs"
SUBTITLE = "Each objective with its source's setting, with a lower and with a higher one"

MARKERS = {-1: "v", 0: "o", 1: "^"}
"""Of a lower setting, the source's and a higher one."""
NAMES = {-1: "lower", 0: "its source's", 1: "higher"}


def table(sources: StudyFolder, resamples: int = 2000) -> pd.DataFrame:
    """Values over the last 20 % of training of every setting, and how they differ from those of the middle one.

    Args:
        sources: ``results/<scale>``, with ``sweeps/knobs`` beneath it.
        resamples: bootstrap resamples.

    Returns:
        A row per ``statistic``, regime and method: ``score`` (IQM), ``success`` (mean) and, for all but the middle of
        an objective's settings, ``change``, its IQM score less that of the middle one. ``objective`` is the method with
        the middle setting, ``setting`` what differs, in words, and ``place`` the place among them, 0 is the middle.

    Raises:
        GipoError: a table is missing or damaged, or the runs of a method are not comparable.
    """
    tables = Tables.read(sources, "sweeps/knobs")
    given = {method: _numbers(spec) for method, spec in zip(tables.runs["method"], tables.runs["spec"], strict=True)}
    regimes = style.order_regimes(dict(zip(tables.runs["regime"], tables.runs["lifetime"], strict=True)))
    rows = [
        row
        for regime in regimes
        for group in _groups(given)
        for row in _compared(tables, regime, group, _varied([given[method] for method in group]), resamples)
    ]
    return pd.DataFrame(rows).assign(task=words.tasks(tables.runs["task"]), resamples=resamples)


def _compared(
    tables: Tables, regime: str, group: list[str], settings: list[str], resamples: int
) -> Iterator[dict[str, Any]]:
    """Rows of the methods of an objective, whose settings are in words, from low to high."""
    first, middle = -(len(group) // 2), group[len(group) // 2]
    scores = {method: statistics.curves(tables.evaluations, regime, method, "score").window() for method in group}
    for place, (method, setting) in enumerate(zip(group, settings, strict=True), first):
        solved = statistics.curves(tables.evaluations, regime, method, "success_any").window()
        found = {
            "score": statistics.iqm(scores[method], method, resamples),
            "success": statistics.mean(solved, "success", method, resamples),
        }
        if place:
            pair = {method: scores[method], middle: scores[middle]}
            found["change"] = statistics.estimate("knob", pair, statistics.iqm_difference, resamples)
        where = {"regime": regime, "objective": middle, "method": method, "place": place, "setting": setting}
        size = {"tasks": solved.shape[1], "seeds": len(solved)}
        for name, estimate in found.items():
            yield {"statistic": name} | where | vars(estimate) | size


def _varied(group: list[Mapping[str, float]]) -> list[str]:
    """The parameters in which a group's methods differ, in words."""
    keys = [key for key in group[0] if len({parameters.get(key) for parameters in group}) > 1]
    return [", ".join(f"{key} {parameters[key]:.4g}" for key in keys) for parameters in group]


def _numbers(spec: str) -> dict[str, float]:
    """Numeric parameters of a run's objective, by name."""
    objective = json.loads(spec)["objective"]
    every, _ = methods.with_defaults(objective["name"], objective["parameters"])
    return {key: value for key, value in sorted(every.items()) if isinstance(value, int | float)}


def _groups(given: Mapping[str, Mapping[str, float]]) -> list[list[str]]:
    """Methods with one objective, by their parameters from low to high; objectives in the order of legends."""
    groups: dict[str, list[str]] = {}
    for method in style.order(given):
        groups.setdefault(methods.read(method).objective, []).append(method)
    return [sorted(group, key=lambda method: list(given[method].values())) for group in groups.values()]


def draw(table: pd.DataFrame) -> Figure:
    """A line per objective, the best by its source's setting first: scores, and changes by another setting."""
    regimes = list(dict.fromkeys(table["regime"]))
    looks = style.looks(table["objective"])
    figure = Figure(figsize=(style.WIDTH, len(regimes) * (1.4 + 0.55 * len(looks))), layout="constrained")
    for row, regime in zip(figure.subplots(len(regimes), 2, squeeze=False), regimes, strict=True):
        rows = table[table["regime"] == regime]
        middle = rows[(rows["statistic"] == "score") & (rows["place"] == 0)]
        names = list(middle.sort_values("value", ascending=False, kind="stable")["objective"])
        for ax, statistic, title, axis in (
            (row[0], "score", f"final score, {regime} data", "IQM score"),
            (row[1], "change", "less that of the source's setting", "difference in IQM score"),
        ):
            _lines(ax, rows[rows["statistic"] == statistic], names, looks)
            ax.set(title=title, xlabel=axis)
        row[0].set_yticks(range(len(names)), [_named(name, rows) for name in names], fontsize=8)
        row[1].set_yticks([])
        row[1].axvline(0, color=style.MUTED, lw=1, zorder=1)
    marks = [Line2D([], [], ls="none", marker=marker, color=style.INK) for marker in MARKERS.values()]
    style.legend(figure, marks, [f"{name} setting" for name in NAMES.values()])
    return figure


def _lines(ax: Axes, rows: pd.DataFrame, names: list[str], looks: Mapping[str, Any]) -> None:
    """Point and interval of every setting, around the line of its objective."""
    for row in rows.to_dict("records"):
        y = names.index(row["objective"]) + 0.24 * row["place"]
        colour = looks[row["objective"]].colour
        ax.plot([row["low"], row["high"]], [y, y], color=colour, lw=1.8, alpha=1 if row["place"] == 0 else 0.55)
        ax.plot(row["value"], y, color=colour, marker=MARKERS[int(np.sign(row["place"]))], markersize=5.5)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)


def _named(objective: str, rows: pd.DataFrame) -> str:
    """An objective and its settings from low to high."""
    own = rows[(rows["objective"] == objective) & (rows["statistic"] == "score")].sort_values("place")
    if len(own) == 1:
        return style.label(objective)
    settings = [[part.split() for part in setting.split(", ")] for setting in own["setting"]]
    lines = (f"{parts[0][0]} {' | '.join(value for _, value in parts)}" for parts in zip(*settings, strict=True))
    return "\n".join([style.label(objective), *lines])


def caption(table: pd.DataFrame) -> str:
    """Say what is shown, n, interval method, and which changes can be told from none."""
    changes = table[table["statistic"] == "change"]
    names = [f"{style.label(row['objective'])}, {row['setting']}" for row in changes.to_dict("records")]
    return (
        f"{table['task'].iloc[0]}, {words.runs(table)} per setting. The middle one is that of the objective's source; "
        "the same rule gave every objective a lower and a higher one, before any was run, so none is tuned more than "
        f"another. Score: normalised, IQM over the last 20 % of env steps. {words.told(changes, names)} "
        f"{words.intervals(table[table['statistic'] != 'success'])} Not in the paper."
    )
