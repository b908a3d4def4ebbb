"""The scorecard as a picture."""

from __future__ import annotations

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from gipo.analysis import numbers
from gipo.analysis.claims import read_scorecard
from gipo.analysis.verdicts import (
    CANNOT_TELL,
    CONTRADICTED,
    INCONCLUSIVE,
    KINDS,
    MEASURED,
    NOT_RUN,
    REPRODUCED,
    VERDICTS,
)
from gipo.figures import style
from gipo.stages import StudyFolder

TITLE = "Scorecard"
SUBTITLE = "What the paper claims, what this study measured, and the verdict of each claim's rule"

MARKS = {REPRODUCED: "✓", CONTRADICTED: "✗", INCONCLUSIVE: "≈", CANNOT_TELL: "?", NOT_RUN: "–"}
COLOURS = {
    **{REPRODUCED: "#00664B", CONTRADICTED: "#A63A00", INCONCLUSIVE: "#8A5A00"},
    **{CANNOT_TELL: "#4C5B76", NOT_RUN: style.MUTED},
}
"""Dark enough for white text on them, and told apart by colour-blind readers; the word stands beside the colour."""

TRUTH_VALUE = "truth value"
"""Unit of a claim that is exactly true (1) or false (0)."""

LINE, HEADING, LEFT = 0.165, 0.3, 0.05
"""Height of a line of text and of a heading, left margin, in inches."""
COLUMN_STARTS = {"verdict": LEFT, "claim": 1.45, "reference": 5.12, "measured": 7.12}
WRAP = {"claim": 56, "reference": 29}
"""Characters that a line of a column holds."""


def table(sources: StudyFolder) -> pd.DataFrame:
    """``scorecard.csv`` as `gipo.analysis.claims` wrote it.

    Raises:
        GipoError: the file is missing, lacks a column or holds an unknown verdict.
    """
    return read_scorecard(sources)


def measured_words(row: pd.Series) -> str:
    """Estimate and interval as `gipo.analysis.numbers` writes them, or whether it is true; empty if not measured."""
    if row["unit"] == TRUTH_VALUE and not pd.isna(row["measured"]):
        return "holds" if row["measured"] else "does not hold"
    return numbers.words(row["measured"], row["low"], row["high"])


def counts(table: pd.DataFrame) -> dict[str, int]:
    """How many measured claims have each of `VERDICTS`; the other kinds are not counted."""
    found = table.loc[table["kind"] == MEASURED, "verdict"].value_counts()
    return {verdict: int(found.get(verdict, 0)) for verdict in VERDICTS}


def draw(table: pd.DataFrame) -> Figure:
    """A row per claim under the headings of the paper's parts, measured ones first; those not run are counted below."""
    shown = table[table["verdict"] != NOT_RUN]
    shown = pd.concat([shown[shown["kind"] == kind] for kind in KINDS])
    rows = [_cells(row) for _, row in shown.iterrows()]
    apart = shown["section"] + " (not counted: " + shown["kind"] + ")"
    parts = shown["section"].where(shown["kind"] == MEASURED, apart)
    headings = parts != parts.shift()
    height = 1.1 + HEADING * headings.sum() + sum(map(_extent, rows))
    figure = Figure(figsize=(style.WIDTH, height))
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, style.WIDTH), ylim=(height, 0))
    ax.set_axis_off()
    ax.text(LEFT, 0.22, _headline(table), weight="bold", size=11.5)
    for name, x in COLUMN_STARTS.items():
        ax.text(x, 0.5, {"reference": "paper", "measured": "here [95 % interval]"}.get(name, name), color=style.MUTED)
    top = 0.6
    for cells, section, heading, verdict in zip(rows, parts, headings, shown["verdict"], strict=True):
        if heading:
            ax.axhline(top, color=style.MUTED, lw=0.8)
            ax.text(LEFT, top + HEADING - 0.09, section, weight="bold", size=9)
            top += HEADING
        else:
            ax.axhline(top, color=style.FAINT, lw=0.8)
        _pill(ax, top, verdict)
        for name, words in cells.items():
            for i, line in enumerate(words):
                muted = name == "measured" and i > 0
                colour = style.MUTED if muted else style.INK
                ax.text(COLUMN_STARTS[name], top + 0.185 + LINE * i, line, size=8.5, color=colour)
        top += _extent(cells)
    ax.axhline(top, color=style.MUTED, lw=0.8)
    ax.text(LEFT, top + 0.25, _not_run(table), color=style.MUTED, size=8.5)
    return figure


def _pill(ax: Axes, top: float, verdict: str) -> None:
    """The verdict in its colour."""
    x, width, height = COLUMN_STARTS["verdict"], 1.22, 0.21
    shape = FancyBboxPatch((x, top + 0.045), width, height, boxstyle="round,pad=0,rounding_size=0.05", lw=0)
    shape.set_facecolor(COLOURS[verdict])
    ax.add_patch(shape)
    words = f"{MARKS[verdict]} {verdict}"
    ax.text(x + width / 2, top + 0.185, words, color="white", size=8, weight="bold", ha="center")


def _cells(row: pd.Series) -> dict[str, list[str]]:
    """Lines of the columns beside the verdict."""
    source = row["source"].replace(" ", "\N{NO-BREAK SPACE}")
    words = {"claim": row["claim"], "reference": f"{row['reference']} {source}"}
    wrapped = {name: textwrap.wrap(text, WRAP[name], break_on_hyphens=False) for name, text in words.items()}
    return wrapped | {"measured": [measured_words(row), row["unit"]]}


def _extent(cells: dict[str, list[str]]) -> float:
    """Height of a row in inches."""
    return LINE * max(map(len, cells.values())) + 0.12


def _headline(table: pd.DataFrame) -> str:
    of = counts(table)
    words = " · ".join(f"{number} {verdict}" for verdict, number in of.items() if verdict != NOT_RUN)
    return f"{words}, of {sum(of.values())} measured claims"


def _not_run(table: pd.DataFrame) -> str:
    count = int((table["verdict"] == NOT_RUN).sum())
    return f"{NOT_RUN.capitalize()}: {count} more. The report names each with the reason."


def caption(table: pd.DataFrame) -> str:
    """How to read the verdicts."""
    return (
        f"{_headline(table)}, and {counts(table)[NOT_RUN]} {NOT_RUN}. Only claims that are measured on training runs "
        "are counted. Each has a rule on its estimate and 95 % interval, and a list of what a study must reach before "
        f"the rule applies; short of that the verdict is {CANNOT_TELL}. What the rule neither accepts nor rejects is "
        f"{INCONCLUSIVE}. Intervals of training runs: percentile bootstrap over seeds stratified by task."
    )
