"""One small picture of a study, for the README: final scores of the methods, and how the paper's claims fared."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

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
    rows = study.read_csv("figures/iqm.csv", COLUMNS)
    style.apply()
    figure = draw(rows[rows["panel"] == "iqm"], scorecard.table(study))
    content = picture_bytes(figure, "png", dpi=100)
    study.write_stage("picture", {"picture.png": content}, study.inputs_from([study]))


def draw(scores: pd.DataFrame, claims: pd.DataFrame) -> Figure:
    """Scores by method and regime on the left, verdicts by part of the paper on the right."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.05))
    _draw_scores(left, scores)
    _draw_verdicts(right, claims[(claims["kind"] == MEASURED) & (claims["verdict"] != NOT_RUN)])
    return figure


def _draw_scores(ax: Axes, scores: pd.DataFrame) -> None:
    looks = style.looks(scores["method"])
    regimes = style.order_regimes(scores["regime"])
    for i, regime in enumerate(regimes):
        rows = scores[scores["regime"] == regime].set_index("method").reindex(list(looks))
        for y, (method, row) in enumerate(rows.iterrows()):
            height, colour = y - 0.16 + 0.32 * i, looks[str(method)].colour
            ax.plot([row["low"], row["high"]], [height, height], color=colour, lw=2)
            ax.plot(row["value"], height, "o", ms=7, mec=colour, mfc="white" if i else colour, mew=1.8)
    panels.name_rows(ax, looks)
    ax.invert_yaxis()
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
    ax.legend(loc="lower right", fontsize=8.5)
    ax.tick_params(axis="y", labelsize=8.5)
