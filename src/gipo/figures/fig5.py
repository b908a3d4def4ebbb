"""Figure 5: staleness over training."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from gipo.analysis import design
from gipo.analysis.collect import Tables
from gipo.analysis.statistics import WINDOW, mean_over_runs
from gipo.errors import GipoError
from gipo.figures import panels, style, table1, words
from gipo.figures.style import Look
from gipo.figures.windowed import POINTS, binned, metrics_with_gap_share
from gipo.stages import StudyFolder

TITLE = "Figure 5"
SUBTITLE = "Staleness over training, version gaps of the sampled batches, OldFrac and the tail of the ratios D0.95"

ALL = table1.ALL
"""Stands for the mean over methods in the column ``method``."""

SHARED = ("gap_share", "gap_q05_share", "gap_q95_share", "old_frac")
"""Statistics of the replay, for which all methods are averaged; D0.95 is given for each method."""

PANELS = {"gap_share": "version gap\n(% of all updates)", "old_frac": "OldFrac", "d95": "D0.95"}


def table(sources: StudyFolder, resamples: int = 2000) -> pd.DataFrame:
    """Means over runs at up to `POINTS` points of training, with their intervals.

    Args:
        sources: ``results/<scale>``.
        resamples: bootstrap resamples.

    Returns:
        A row per ``regime``, ``statistic``, ``method`` and point; ``progress`` is the share of a run's updates done,
        ``paper`` and ``paper_std`` the paper's level on MetaWorld over the last 20 % of training and its spread across
        tasks.

    Raises:
        GipoError: a table is missing or damaged, or runs differ in their number of seeds or logged updates.
    """
    tables = Tables.read(sources).model_free()
    metrics = metrics_with_gap_share(tables)
    regimes = style.order_regimes(metrics["regime"])
    rows = pd.concat([frame for regime in regimes for frame in _regime(metrics, regime, resamples)])
    if design.suite(tables.runs) != "metaworld":
        rows = rows.assign(paper=np.nan, paper_std=np.nan, source="")
    return rows.assign(resamples=resamples)


def _regime(metrics: pd.DataFrame, regime: str, resamples: int) -> list[pd.DataFrame]:
    methods = style.order(metrics.loc[metrics["regime"] == regime, "method"])
    frames = []
    for statistic in (*SHARED, "d95"):
        values = {method: binned(metrics, regime, method, statistic) for method in methods}
        updates, progress = (binned(metrics, regime, methods[0], c)[0, 0] for c in ("update", "progress"))
        groups = values
        if statistic in SHARED:
            if len({value.shape for value in values.values()}) > 1:
                counts = ", ".join(f"{method} {len(value)}" for method, value in values.items())
                raise GipoError(f"regime {regime!r}: expected the same seeds and points of every method, got {counts}")
            groups = {ALL: np.stack([values[method] for method in sorted(methods)], axis=2)}
        published = table1.published(statistic, ALL, regime)
        for method, value in groups.items():
            band = mean_over_runs(value, statistic, method, resamples)
            frames.append(
                pd.DataFrame(
                    {
                        "regime": regime,
                        "statistic": statistic,
                        "method": method,
                        "update": updates,
                        "progress": progress,
                        "value": band.value,
                        "low": band.low,
                        "high": band.high,
                        "tasks": value.shape[1],
                        "seeds": value.shape[0],
                        "note": band.note,
                        **published,
                    }
                )
            )
    return frames


def draw(table: pd.DataFrame) -> Figure:
    """A column per regime; from the top: version gap, OldFrac, D0.95. Panels of a row share their axes."""
    regimes = style.order_regimes(table["regime"])
    looks = style.looks(set(table["method"]) - {ALL})
    figure = Figure(figsize=(style.WIDTH, 7.2), layout="constrained")
    grid = figure.subplots(3, len(regimes), sharex=True, sharey="row", squeeze=False, height_ratios=[2, 1.5, 2.2])
    for column, regime in zip(grid.T, regimes, strict=True):
        column[0].set_title(regime)
        for ax, statistic in zip(column, PANELS, strict=True):
            rows = table[table["regime"] == regime].groupby("statistic").get_group
            _panel(ax, rows(statistic), looks)
            if statistic == "gap_share":
                _quantiles(ax, rows("gap_q05_share"), rows("gap_q95_share"))
        column[-1].set_xlabel("learner updates done (%)")
    for ax, words_ in zip(grid[:, 0], PANELS.values(), strict=True):
        ax.set_ylabel(words_)
        ax.set_ylim(bottom=0)
    grid[0, 0].set(xlim=(0, 1), ylim=(0, 1))
    grid[0, 0].xaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    grid[0, 0].yaxis.set_major_formatter(PercentFormatter(1))
    grid[1, 0].set_ylim(-0.02, 1)
    figure.align_ylabels(grid[:, 0])
    panels.legend(figure, panels.curve_entries(looks), "paper (last 20 %)" if table["paper"].notna().any() else "")
    return figure


def _panel(ax: Axes, rows: pd.DataFrame, looks: dict[str, Look]) -> None:
    together = {ALL: Look(style.INK, "-", "")}
    panels.curves(ax, rows, together if (rows["method"] == ALL).all() else looks, x="progress")
    level, spread = rows[["paper", "paper_std"]].iloc[0]
    if not np.isnan(level):  # over the stretch that the paper averages
        middle = 1 - WINDOW / 2
        ax.plot([1 - WINDOW, 1], [level, level], color=style.INK, lw=1, ls=":", zorder=4, clip_on=False)
        ax.plot([middle, middle], [level - spread, level + spread], color=style.INK, lw=1.2, zorder=4)
        ax.plot(middle, level, **style.PAPER, zorder=5, clip_on=False)


def _quantiles(ax: Axes, low: pd.DataFrame, high: pd.DataFrame) -> None:
    ax.fill_between(low["progress"], low["value"], high["value"], color=style.MUTED, alpha=0.18, lw=0)
    ax.text(0.02, 0.95, "mean, and 5 % to 95 % of samples", transform=ax.transAxes, va="top", color=style.MUTED)


def caption(table: pd.DataFrame) -> str:
    """Say what is shown, n, interval method, the paper's values."""
    paper = ""
    if table["paper"].notna().any():
        paper = (
            " Diamonds: the paper's levels over the last 20 % of training (dotted), means over its tasks with their "
            "standard deviation as a line: OldFrac and D0.95 from its Table 1 [P], gaps from the authors' logs [C]."
        )
    return (
        f"Staleness of the sampled batches over training, {words.runs(table)} per method and regime. Version gap: mean "
        "(line) and the 5 % and 95 % quantiles of a batch (grey); OldFrac: share of samples with gap ≥ K; both depend "
        "on the replay and not on the method, so all methods are averaged. D0.95: 95th percentile of |log ρ|, by "
        "method. Lines are means over runs, each point over the logged batches in one of up to "
        f"{POINTS} equal stretches of training. Gaps fill up until the replay is full; how long it takes to "
        f"be replaced then makes the regime. {words.intervals(table)}{paper}"
    )
