"""One small picture of a study, for the README: final scores of the methods, and how the paper's claims fared."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gipo.analysis import numbers
from gipo.analysis.verdicts import MEASURED, NOT_RUN, VERDICTS
from gipo.figures import panels, picture_bytes, scorecard, style
from gipo.stages import StudyFolder

COLUMNS = ("panel", "regime", "method", "value", "low", "high")
"""Columns of figures/iqm.csv that are shown."""

SHOWN = [verdict for verdict in VERDICTS if verdict != NOT_RUN]


def write(study: StudyFolder) -> None:
    """Draw a study's ``picture.png``, of 900 x 400 pixels, with its manifest.

    Args:
        study: ``results/<scale>`` or ``reports/<scale>``, with ``scorecard.csv`` and ``figures/iqm.csv``.

    Raises:
        GipoError: One of the two is missing or damaged.
    """
    style.apply()
    figure = draw(scores(study), scorecard.table(study))
    content = picture_bytes(figure, "png", dpi=100)
    study.write_stage("picture", {"picture.png": content}, study.inputs_from([study]))


def scores(study: StudyFolder) -> pd.DataFrame:
    """Rows of a study's ``figures/iqm.csv`` that the picture shows.

    Raises:
        GipoError: It is missing or damaged.
    """
    rows = study.read_csv("figures/iqm.csv", COLUMNS)
    return rows[rows["panel"] == "iqm"]


def halves(scores: pd.DataFrame, claims: pd.DataFrame) -> list[tuple[Figure, str]]:
    """Scores, and verdicts, each as a picture of its own with words for who does not see it."""
    cells = "; ".join(
        f"{row['regime']} {style.label(row['method'])} {numbers.words(row['value'], row['low'], row['high'])}"
        for row in scores.to_dict("records")
    )
    counts = ", ".join(f"{number} {verdict}" for verdict, number in scorecard.counts(claims).items())
    left, right = (Figure(figsize=(4.5, 4), layout="constrained") for _ in range(2))
    _draw_scores(left.subplots(), scores)
    bars = right.subplots()
    _draw_verdicts(bars, _counted(claims))
    bars.set_title("Measured claims")
    right.legend(*bars.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8.5)
    return [(left, f"Interquartile means of the final score: {cells}"), (right, f"Claims by verdict: {counts}")]


def _counted(claims: pd.DataFrame) -> pd.DataFrame:
    return claims[(claims["kind"] == MEASURED) & (claims["verdict"] != NOT_RUN)]


def draw(scores: pd.DataFrame, claims: pd.DataFrame) -> Figure:
    """Scores by method and regime on the left, verdicts by part of the paper on the right."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.05))
    _draw_scores(left, scores)
    _draw_verdicts(right, _counted(claims))
    right.legend(loc="lower right", fontsize=8.5)
    return figure


def _draw_scores(ax: Axes, scores: pd.DataFrame) -> None:
    looks = style.looks(scores["method"])
    regimes = style.order_regimes(scores["regime"])
    for i, regime in enumerate(regimes):
        rows = scores[scores["regime"] == regime].set_index("method").reindex(list(looks))
        for y, (method, row) in enumerate(rows.iterrows()):
            height, colour = y + 0.32 * (i - (len(regimes) - 1) / 2), looks[str(method)].colour
            ax.plot([row["low"], row["high"]], [height, height], color=colour, lw=2)
            ax.plot(row["value"], height, "o", ms=7, mec=colour, mfc="white" if i else colour, mew=1.8)
    panels.name_rows(ax, looks)
    ax.set_ylim(len(looks) - 0.5, -0.5)
    marks = ", ".join(f"{mark} {regime}" for mark, regime in zip("●○", regimes, strict=False))
    ax.set_title(f"Final score: {marks} data")
    ax.set_xlabel("IQM and 95 % interval\n(0: random policy, 1: scripted expert)", size=9)


def _draw_verdicts(ax: Axes, claims: pd.DataFrame) -> None:
    sections = list(dict.fromkeys(claims["section"]))
    counts = claims.groupby(["section", "verdict"]).size().unstack(fill_value=0).reindex(sections)
    counts = counts.reindex(columns=SHOWN, fill_value=0)
    start = pd.Series(0, index=sections)
    for verdict in SHOWN:
        total = int(counts[verdict].sum())
        ax.barh(sections, counts[verdict], left=start, color=scorecard.COLOURS[verdict], label=f"{verdict} ({total})")
        start = start + counts[verdict]
    ax.invert_yaxis()
    ax.set(title="The paper's measured claims", xlabel="claims")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.tick_params(axis="y", labelsize=8.5)
