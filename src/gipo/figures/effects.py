"""Final performance measured five ways: its level under every method, and how far GIPO is ahead of the others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gipo import suites
from gipo.analysis import design, methods, numbers, statistics
from gipo.analysis.collect import Tables
from gipo.analysis.statistics import Array, Curves, Estimate
from gipo.figures import panels, style, words
from gipo.figures.iqm import PAPER_SUITE, PAPER_WORDS, champion_of, published_of
from gipo.figures.style import Look
from gipo.stages import StudyFolder

TITLE = "Levels and effect sizes"
SUBTITLE = "Final performance in five measures, differences to GIPO, and which difference would have been seen"

VIEWS: dict[str, tuple[str, str, Callable[[Curves], Array]]] = {
    "window": ("score", "score, last 20 %", Curves.window),
    "final": ("score", "score, last evaluation", Curves.final),
    "area": ("score", "score, area under the curve", Curves.area),
    "min-max": ("return", "min-max score, last 20 %", Curves.window),
    "success": ("success_any", "success rate, last 20 %", Curves.window),
}
"""Measure to column of the evaluations, words, and how a run is summed up; of a success rate the mean over runs is
taken, of the others the IQM."""

COLUMNS = (
    *("suite", "panel", "regime", "view", "method", "rival", "value", "low", "high", "detectable", "paper"),
    *("tasks", "seeds", "n", "resamples", "note"),
)


def table(sources: StudyFolder, resamples: int = 2000) -> pd.DataFrame:
    """Levels of all methods and differences of one GIPO to each other method, in every regime and measure.

    Args:
        sources: ``results/<scale>``.
        resamples: bootstrap resamples.

    Returns:
        Columns `COLUMNS`; ``panel`` is level or difference, ``view`` one of `VIEWS`, ``detectable`` that of
        `gipo.analysis.statistics.Estimate`, ``paper`` the published value or NaN.

    Raises:
        GipoError: a table is missing or damaged, or the runs of a method are not comparable.
    """
    tables = Tables.read(sources).model_free()
    suite = design.suite(tables.runs)
    rows: list[dict[str, object]] = []
    for regime in style.order_regimes(tables.evaluations["regime"]):
        of_regime = tables.evaluations[tables.evaluations["regime"] == regime]
        published = published_of(regime) if suite == PAPER_SUITE else {}
        for view in VIEWS:
            values = _values(of_regime, regime, view)
            rows += [row | {"regime": regime, "view": view} for row in _rows(values, view, published, resamples)]
    return pd.DataFrame(rows).assign(suite=suite, resamples=resamples)[list(COLUMNS)]


def _values(evaluations: pd.DataFrame, regime: str, view: str) -> dict[str, Array]:
    """Method to one number of every run, [seeds, tasks]."""
    column, _, summed_up = VIEWS[view]
    names = style.order(evaluations["method"])
    values = {name: summed_up(statistics.curves(evaluations, regime, name, column)) for name in names}
    return statistics.min_max(values) if view == "min-max" else values


def _rows(values: dict[str, Array], view: str, published: dict[str, float], resamples: int) -> list[dict[str, object]]:
    center = statistics.mean_of_all if view == "success" else statistics.interquartile_mean
    name = "mean of success" if view == "success" else "iqm"
    is_compared = view in ("window", "min-max")
    theirs = {method: published.get(methods.read(method).id, np.nan) for method in values} if is_compared else {}
    rows = []
    for method, runs in values.items():
        found = statistics.estimate(name, {method: runs}, center, resamples)
        rows.append(_row("level", method, "", found, runs, theirs.get(method, np.nan)))
    champion = champion_of(list(values))
    for rival in [method for method in values if champion and method != champion]:
        pair = {champion: values[champion], rival: values[rival]}
        found = statistics.estimate(f"{name}_difference", pair, lambda x, y: center(x) - center(y), resamples)
        gap = theirs.get(champion, np.nan) - theirs.get(rival, np.nan)
        rows.append(_row("difference", champion, rival, found, values[champion], gap))
    return rows


def _row(panel: str, method: str, rival: str, found: Estimate, runs: Array, published: float) -> dict[str, object]:
    size = {"tasks": runs.shape[1], "seeds": len(runs)}
    row = {"panel": panel, "method": method, "rival": rival, "paper": published} | vars(found) | size
    return row | {"detectable": found.detectable if panel == "difference" else np.nan}


def draw(table: pd.DataFrame) -> Figure:
    """A column per regime; above a panel of levels for each measure, below one of differences for each other method."""
    regimes, looks = style.order_regimes(table["regime"]), style.looks(table["method"])
    views = [view for view in VIEWS if (table["view"] == view).any()]
    differences = table[table["panel"] == "difference"]
    rivals = [method for method in looks if (differences["rival"] == method).any()]
    heights = [0.75 + 0.27 * len(looks)] * len(views) + [0.85 + 0.27 * len(views)] * len(rivals)
    figure = Figure(figsize=(style.WIDTH, sum(heights) + 0.6), layout="constrained")
    grid = figure.subplots(len(heights), len(regimes), sharey="row", squeeze=False, height_ratios=heights)
    for j, regime in enumerate(regimes):
        rows = table[table["regime"] == regime]
        for ax, view in zip(grid[:, j], views, strict=False):
            _levels(ax, rows[(rows["panel"] == "level") & (rows["view"] == view)], looks)
            ax.set_title(f"{regime}: {VIEWS[view][1]}")
        for ax, rival in zip(grid[len(views) :, j], rivals, strict=True):
            _differences(ax, rows[rows["rival"] == rival].set_index("view"), views, looks)
            ax.set_title(f"{regime}: {style.label(differences['method'].iloc[0])} − {style.label(rival)}")
    for ax in grid[: len(views), 0]:
        panels.name_rows(ax, looks)
    for ax in grid[len(views) :, 0]:
        ax.set_yticks(range(len(views)), [VIEWS[view][1] for view in views], fontsize=8.5)
    if table["paper"].notna().any():
        panels.legend(figure, ([], []), PAPER_WORDS)
    return figure


def _levels(ax: Axes, rows: pd.DataFrame, looks: dict[str, Look]) -> None:
    panels.estimates(ax, rows.set_index("method"), looks)
    for y, method in enumerate(looks):
        ax.plot(rows.loc[rows["method"] == method, "paper"], [y - 0.3], **style.PAPER)
    ax.axvline(0, color=style.MUTED, lw=1, zorder=1)


def _differences(ax: Axes, rows: pd.DataFrame, views: list[str], looks: dict[str, Look]) -> None:
    """Estimate and interval of each measure; shaded, the differences that could have been missed."""
    for y, view in enumerate(views):
        if view not in rows.index:
            continue
        row = rows.loc[view]
        look = looks[str(row["method"])]
        ax.fill_betweenx([y - 0.38, y + 0.38], -row["detectable"], row["detectable"], color=style.FAINT, lw=0, zorder=0)
        ax.plot([row["low"], row["high"]], [y, y], color=look.colour, lw=2.2)
        ax.plot(row["value"], y, color=look.colour, marker=look.marker, markersize=6)
        ax.plot(row["paper"], y - 0.3, **style.PAPER)
        text = numbers.words(*map(float, row[["value", "low", "high"]]))
        ax.text(1.02, y, text, transform=ax.get_yaxis_transform(), fontsize=9, va="center", color=style.MUTED)
    ax.axvline(0, color=style.MUTED, lw=1, zorder=1)
    ax.set_ylim(len(views) - 0.4, -0.7)
    ax.grid(visible=False, axis="y")


def caption(table: pd.DataFrame) -> str:
    """Say what the panels show, n, how it is computed what would have been seen, and the paper's values."""
    theirs = ""
    if table["paper"].notna().any():
        theirs = (
            " Diamonds: the paper's IQMs over eight tasks and their difference [P article], beside both readings of "
            "its normalisation, which is not public."
        )
    of_suite = suites.get(table["suite"].iloc[0])
    score = "the success rate" if of_suite.score == "success" else "0: random policy, 1: scripted expert"
    return (
        f"Final performance, {words.runs(table)} per method and regime, in five measures: IQM of the score ({score}) "
        "in the last 20 % of env steps, at the last evaluation, and on average over training; IQM of the return "
        "between the least (0) and the greatest method (1) of a task; mean success rate. Below: how far the named GIPO "
        "is ahead. Shaded: differences that this study would have seen with less than 80 % probability (2.8 standard "
        f"errors, which are the width of the 95 % interval over 3.92). {words.intervals(table)}{theirs}"
    )
