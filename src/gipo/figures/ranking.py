"""Ranking of configurations on stale data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gipo import paper
from gipo.analysis import methods, statistics
from gipo.analysis.collect import Tables
from gipo.analysis.statistics import Array, Estimate, curves
from gipo.figures import panels, style, words
from gipo.figures.iqm import PAPER_WORDS, PUBLISHED, published_iqms
from gipo.stages import StudyFolder

TITLE = "Ranking"
SUBTITLE = "Configurations by IQM of the final score on stale data, and how certain each rank is"

REGIME = "stale"
FAMILY = "gipo"
"""Objective of the variants that the paper's claim is about."""
TOP = int(paper.number("top_ranks/ranks").value)
"""Ranks that the paper's GIPO variants take, all of them."""
SHADES = sns.blend_palette(["#FFFFFF", "#4A4A4A"], as_cmap=True)


def table(sources: StudyFolder, resamples: int = 2000) -> pd.DataFrame:
    """IQM, probability of each rank, and how many of the top ranks the GIPO variants take.

    Args:
        sources: ``results/<scale>``, with ``sweeps/ranking`` beneath it.
        resamples: bootstrap resamples.

    Returns:
        A row per method for ``panel`` iqm, by falling IQM, for min-max, the IQM of the min-max score, and for success,
        the mean success rate; one per method and ``rank`` (from 1) for ``panel`` probability; one for ``panel`` top
        where six variants and a rival ran.

    Raises:
        GipoError: a table is missing or damaged, or the runs of a method are not comparable.
    """
    evaluations = Tables.read(sources, "sweeps/ranking").evaluations
    names = style.order(evaluations.loc[evaluations["regime"] == REGIME, "method"])
    scores = {method: curves(evaluations, REGIME, method, "score").window() for method in names}
    estimates = {method: statistics.iqm(score, method, resamples) for method, score in scores.items()}
    ranked = sorted(names, key=lambda method: -estimates[method].value)
    rows = [_row(estimates[method], scores[method], panel="iqm", method=method) for method in ranked]
    relative = statistics.min_max({name: curves(evaluations, REGIME, name, "return").window() for name in names})
    rates = {method: curves(evaluations, REGIME, method, "success_any").window() for method in names}
    for method in ranked:
        by_methods = statistics.iqm(relative[method], method, resamples)
        success = statistics.mean(rates[method], "success", method, resamples)
        rows.append(_row(by_methods, relative[method], panel="min-max", method=method))
        rows.append(_row(success, rates[method], panel="success", method=method))
    shares = statistics.rank_probabilities(scores, resamples)
    for method in ranked:
        size = {"method": method, "tasks": scores[method].shape[1], "seeds": len(scores[method])}
        rows += [
            {"panel": "probability", "rank": k, "value": share, **size} for k, share in enumerate(shares[method], 1)
        ]
    family = set(filter(_is_family, names))
    if TOP <= len(family) < len(names):
        top = statistics.top_ranks(scores, family, TOP, resamples)
        rows.append(_row(top, scores[ranked[0]], panel="top", method=FAMILY))
    return pd.DataFrame(rows).assign(resamples=resamples).astype({"rank": "Int64"})


def _is_family(name: str) -> bool:
    return methods.read(name).objective == FAMILY


def _row(estimate: Estimate, scores: Array, **columns: object) -> dict[str, object]:
    return {**columns, **vars(estimate), "tasks": scores.shape[1], "seeds": len(scores)}


def draw(table: pd.DataFrame) -> Figure:
    """A line per configuration, best first: IQM with interval at the left, probability of each rank at the right."""
    iqm = table[table["panel"] == "iqm"]
    looks = style.looks(iqm["method"])
    looks = {method: looks[method] for method in iqm["method"]}
    figure = Figure(figsize=(style.WIDTH, 2 * (1.3 + 0.34 * len(looks))), layout="constrained")
    (left, right), (below, success) = figure.subplots(2, 2)
    by_methods, rates = (table[table["panel"] == name] for name in ("min-max", "success"))
    for ax, rows in ((left, iqm), (below, by_methods), (success, rates)):
        panels.estimates(ax, rows.set_index("method"), looks)
        ax.set_ylim(len(looks) - 0.5, -0.5)
        ax.axvline(0, color=style.MUTED, lw=1, zorder=1)
        panels.name_rows(ax, looks)
    left.set(title=f"{REGIME}: IQM of the final score", xlabel="normalised score  (0 random, 1 expert)")
    below.set(title=f"{REGIME}: IQM of the min-max score", xlabel="0 least, 1 greatest method of a task")
    success.set(title=f"{REGIME}: success rate", xlabel="share of episodes with a success")
    success.set_yticklabels([])
    published = [published_iqms(ax, looks, REGIME) for ax in (left, below)]
    if any(published):
        panels.legend(figure, ([], []), PAPER_WORDS)
    _shares(right, table[table["panel"] == "probability"], list(looks))
    return figure


def _shares(ax: Axes, rows: pd.DataFrame, names: list[str]) -> None:
    """A cell per configuration and rank, darker with its probability; in figures from half a percent."""
    shares = 100 * rows.pivot_table(index="method", columns="rank", values="value", dropna=False).loc[names]
    ax.set_title("Chance of each rank, %")
    if shares.isna().all(axis=None):
        ax.set_axis_off()
        ax.text(0.5, 0.5, "no resampling possible", transform=ax.transAxes, ha="center", color=style.MUTED)
        return
    figures = shares.map(lambda share: f"{share:.0f}" if share >= 0.5 else "")
    look: dict[str, Any] = {"cmap": SHADES, "vmin": 0, "vmax": 100, "linewidths": 0.6, "linecolor": style.FAINT}
    sns.heatmap(shares.astype(float), ax=ax, annot=figures, fmt="", annot_kws={"size": 8.5}, cbar=False, **look)
    ax.set(xlabel="rank by IQM", ylabel="", yticks=[])
    ax.tick_params(length=0)


def caption(table: pd.DataFrame) -> str:
    """Say what is shown, what stands on top, n, interval method, the paper's values."""
    iqm = table[table["panel"] == "iqm"]
    return (
        f"Interquartile mean of the normalised score on stale data, {words.runs(iqm)} per configuration, best first; "
        "a run's score is its mean over the last 20 % of env steps. Right: in how many of a hundred bootstrap "
        "resamples a configuration has a rank by IQM, each configuration resampled on its own; ties share their "
        "ranks. Below, in the same order: the other reading of the article's normalisation, which is not public, with "
        "0 and 1 at the least and the greatest mean return of a method on a task; and the mean success rate. "
        f"{_top_words(table)} {words.intervals(iqm)} Diamonds: the paper's IQM over eight tasks, "
        f"{paper.words(PUBLISHED)}."
    )


def _top_words(table: pd.DataFrame) -> str:
    rows, count = table[table["panel"] == "top"], int((table["panel"] == "iqm").sum())
    if rows.empty:
        variants = sum(map(_is_family, table.loc[table["panel"] == "iqm", "method"]))
        return (
            f"GIPO variants take all top six of ten ranks in the paper [P article]; with {variants} of them among "
            f"{count} configurations here that cannot be checked."
        )
    value, low, high = rows[["value", "low", "high"]].iloc[0]
    certainty = "" if np.isnan(low) else f" (95 % interval [{low:.0f}, {high:.0f}])"
    return f"GIPO variants take {value:.0f} of the top six ranks here{certainty}, all six in the paper [P article]."
