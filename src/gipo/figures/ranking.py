"""Ranking: ten configurations by IQM of the final score on stale data, and how certain each rank is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from scipy.stats import trim_mean

from gipo.analysis import statistics
from gipo.analysis.collect import Tables
from gipo.analysis.statistics import Array, Estimate, curves
from gipo.figures import panels, style, words
from gipo.figures.iqm import PAPER

REGIME = "stale"
FAMILY = "gipo"
"""How the names of the variants that the paper's claim is about begin."""
TOP = 6
"""Ranks that the paper's GIPO variants take, all of them [P article]."""
SHADES = LinearSegmentedColormap.from_list("shares", ["#FFFFFF", "#4A4A4A"])


def table(sources: Path, resamples: int = 2000) -> pd.DataFrame:
    """IQM, probability of each rank, and how many of the top ranks the GIPO variants take.

    Args:
        sources: ``results/<scale>``, with ``sweeps/ranking`` beneath it.
        resamples: bootstrap resamples.

    Returns:
        A row per method for ``panel`` iqm, by falling IQM; one per method and ``rank`` (from 1) for ``panel``
        probability; one for ``panel`` top where six variants and a rival ran.

    Raises:
        GipoError: a table is missing or damaged, or the runs of a method are not comparable.
    """
    evaluations = Tables.read(sources / "sweeps" / "ranking").evaluations
    methods = style.order(evaluations.loc[evaluations["regime"] == REGIME, "method"])
    scores = {method: curves(evaluations, REGIME, method, "score").window() for method in methods}
    estimates = {method: statistics.iqm(score, method, resamples) for method, score in scores.items()}
    ranked = sorted(methods, key=lambda method: -estimates[method].value)
    rows = [_row(estimates[method], scores[method], panel="iqm", method=method) for method in ranked]
    shares = statistics.rank_probabilities(scores, resamples)
    for method in ranked:
        size = {"method": method, "tasks": scores[method].shape[1], "seeds": len(scores[method])}
        rows += [
            {"panel": "probability", "rank": k, "value": share, **size} for k, share in enumerate(shares[method], 1)
        ]
    if TOP <= sum(method.startswith(FAMILY) for method in methods) < len(methods):
        every = np.stack(list(scores.values()))
        rows.append(_row(_top(scores, resamples), every[0], panel="top", method=FAMILY))
    return pd.DataFrame(rows).assign(resamples=resamples).astype({"rank": "Int64"})


def _row(estimate: Estimate, scores: Array, **columns: object) -> dict[str, object]:
    return {**columns, **vars(estimate), "tasks": scores.shape[1], "seeds": len(scores)}


def _top(scores: dict[str, Array], resamples: int) -> Estimate:
    """How many of the top ranks the family takes; a tie counts against it."""
    names = sorted(scores, key=lambda method: (method.startswith(FAMILY), method))
    family = np.array([name.startswith(FAMILY) for name in names])

    def count(*arrays: Array) -> Array:
        iqms = np.array([trim_mean(array, 0.25, axis=None) for array in arrays])
        return np.array([family[np.argsort(-iqms, kind="stable")[:TOP]].sum()], np.float64)

    return statistics.estimate("top ranks", {name: scores[name] for name in names}, count, resamples)


def draw(table: pd.DataFrame) -> Figure:
    """A line per configuration, best first: IQM with interval at the left, probability of each rank at the right."""
    iqm = table[table["panel"] == "iqm"]
    methods = list(iqm["method"])
    figure = Figure(figsize=(style.WIDTH, 1.5 + 0.34 * len(methods)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    panels.estimates(left, iqm.set_index("method"), methods)
    left.axvline(0, color=style.MUTED, lw=1, zorder=1)
    left.set(title=f"{REGIME}: IQM of the final score", xlabel="normalised score  (0 random, 1 expert)")
    left.set_yticks(range(len(methods)), [style.label(method) for method in methods])
    for y, method in enumerate(methods):
        if (REGIME, method) in PAPER:
            left.plot(PAPER[REGIME, method], y - 0.3, **style.PAPER, label="paper (8 tasks)")
    handles, labels = left.get_legend_handles_labels()
    if handles:
        style.legend(figure, handles[:1], labels[:1])
    _shares(right, table[table["panel"] == "probability"], methods)
    return figure


def _shares(ax: Axes, rows: pd.DataFrame, methods: list[str]) -> None:
    """A cell per configuration and rank, darker with its probability; in figures from half a percent."""
    shares = rows.pivot_table(index="method", columns="rank", values="value", dropna=False).loc[methods].to_numpy(float)
    count = len(methods)
    ax.set(title="Chance of each rank, %", xlabel="rank by IQM", xlim=(0.5, count + 0.5), xticks=range(1, count + 1))
    ax.tick_params(length=0, labelleft=False)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    if np.isnan(shares).all():
        ax.set(xticks=[], xlabel="")
        ax.text(0.5, 0.5, "no resampling possible", transform=ax.transAxes, ha="center", color=style.MUTED)
        return
    edges = np.arange(count + 1)
    ax.pcolormesh(edges + 0.5, edges - 0.5, shares, cmap=SHADES, vmin=0, vmax=1, edgecolor=style.FAINT, lw=0.6)
    for y, x in zip(*np.nonzero(shares >= 0.005), strict=True):
        colour = "white" if shares[y, x] > 0.65 else style.INK
        ax.text(x + 1, y, f"{100 * shares[y, x]:.0f}", ha="center", va="center", fontsize=8.5, color=colour)


def caption(table: pd.DataFrame) -> str:
    """What is shown, what stands on top, n, interval method, the paper's values."""
    iqm = table[table["panel"] == "iqm"]
    return (
        f"Interquartile mean of the normalised score on stale data, {words.runs(iqm)} per configuration, best first; "
        "a run's score is its mean over the last 20 % of env steps. Right: in how many of a hundred bootstrap "
        "resamples a configuration has a rank by IQM, each configuration resampled on its own; ties share their "
        f"ranks. {_top_words(table)} {words.intervals(iqm)} Diamonds: the paper's IQM over eight tasks, "
        "GIPO (1, 1) 0.730 and PPO-Clip 0.180 [P article]."
    )


def _top_words(table: pd.DataFrame) -> str:
    rows, count = table[table["panel"] == "top"], int((table["panel"] == "iqm").sum())
    if rows.empty:
        variants = int(table.loc[table["panel"] == "iqm", "method"].str.startswith(FAMILY).sum())
        return (
            f"GIPO variants take all top six of ten ranks in the paper [P article]; with {variants} of them among "
            f"{count} configurations here that cannot be checked."
        )
    value, low, high = rows[["value", "low", "high"]].iloc[0]
    certainty = "" if np.isnan(low) else f" (95 % interval [{low:.0f}, {high:.0f}])"
    return f"GIPO variants take {value:.0f} of the top six ranks here{certainty}, all six in the paper [P article]."
