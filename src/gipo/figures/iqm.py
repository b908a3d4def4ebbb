"""The study in one figure: IQM of the normalised score, profiles, probability of improvement, sample efficiency."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator

from gipo.analysis import design, statistics
from gipo.analysis.collect import Tables
from gipo.analysis.statistics import Array, Band, Curves, Estimate
from gipo.figures import panels, style, words

PAPER = {("stale", "gipo-1-1"): 0.730, ("stale", "ppo-clip"): 0.180}
"""IQM over eight tasks of MetaWorld at the paper's scale [P article]."""

SCORES = {"metaworld": "normalised score", "libero": "success rate"}
"""What a score is."""

CHAMPION = "gipo-1-1"
"""The configuration that the paper's ranking names; where it was not run, the first GIPO in order stands for it."""

PANELS = ("iqm", "profile", "improvement", "efficiency")
COLUMNS = (
    "suite",
    "panel",
    "regime",
    "method",
    "rival",
    "x",
    "value",
    "low",
    "high",
    "tasks",
    "seeds",
    "n",
    "resamples",
    "note",
)


def table(sources: Path, resamples: int = 2000) -> pd.DataFrame:
    """All estimates of the figure in long form.

    Args:
        sources: ``results/<scale>``.
        resamples: bootstrap resamples.

    Returns:
        Columns `COLUMNS`: ``panel`` is one of `PANELS`, ``x`` the threshold of a profile or the env steps of a curve,
        ``rival`` the method that ``method`` is compared with, ``n`` the runs behind a row.

    Raises:
        GipoError: a table is missing or damaged, or the runs of a method are not comparable.
    """
    tables = Tables.read(sources / "tables")
    evaluations = tables.evaluations
    runs = {
        regime: {
            method: statistics.curves(evaluations, regime, method, "score")
            for method in style.order(evaluations.loc[evaluations["regime"] == regime, "method"])
        }
        for regime in style.order_regimes(evaluations["regime"])
    }
    thresholds = _thresholds([run.window() for methods in runs.values() for run in methods.values()])
    frames = [_regime(methods, thresholds, resamples).assign(regime=regime) for regime, methods in runs.items()]
    return pd.concat(frames).assign(suite=design.suite(tables.runs), resamples=resamples)[list(COLUMNS)]


def _thresholds(scores: list[Array]) -> Array:
    """From 0, or the lowest score, to the highest, both rounded outwards to tenths."""
    low = min(0, *(np.floor(np.nanmin(score) * 10) / 10 for score in scores))
    high = max(0.1, *(np.ceil(np.nanmax(score) * 10) / 10 for score in scores))
    return np.linspace(low, high, 101)


def _regime(runs: dict[str, Curves], thresholds: Array, resamples: int) -> pd.DataFrame:
    scores = {method: run.window() for method, run in runs.items()}
    rows = []
    for method, run in runs.items():
        size = {"method": method, "rival": "", "tasks": len(run.tasks), "seeds": len(run.values)}
        score = scores[method]
        profile = statistics.performance_profile(score, thresholds, method, resamples)
        curve = statistics.iqm_curve(run.values, method, resamples)
        rows += [
            _frame(statistics.iqm(score, method, resamples), panel="iqm", x=np.nan, **size),
            _frame(profile, panel="profile", x=thresholds, **size),
            _frame(curve, panel="efficiency", x=run.env_steps.mean(axis=(0, 1)), **size),
        ]
    champion = _champion(list(runs))
    for rival in [method for method in runs if champion and method != champion]:
        pair = scores[champion], scores[rival]
        size = {"method": champion, "rival": rival, "tasks": len(runs[rival].tasks), "seeds": min(map(len, pair))}
        estimate = statistics.probability_of_improvement(*pair, champion, rival, resamples)
        rows.append(_frame(estimate, panel="improvement", x=np.nan, **size))
    return pd.concat(rows)


def _champion(methods: list[str]) -> str:
    """The GIPO whose improvement over the others is shown; empty if there is none."""
    family = [method for method in methods if method.startswith("gipo")]
    return CHAMPION if CHAMPION in family else next(iter(family), "")


def _frame(estimate: Estimate | Band, **columns: object) -> pd.DataFrame:
    return pd.DataFrame({**vars(estimate), **columns}, index=range(np.size(estimate.value)))


def draw(table: pd.DataFrame) -> Figure:
    """A column per regime; from the top: IQM, performance profiles, probability of improvement, sample efficiency."""
    regimes = style.order_regimes(table["regime"])
    methods, suite = style.order(table["method"]), table["suite"].iloc[0]
    rivals = style.order(table.loc[table["panel"] == "improvement", "rival"])
    heights = [0.8 + 0.3 * len(methods), 2.4, 0.8 + 0.3 * max(len(rivals), 1), 2.4]
    figure = Figure(figsize=(style.WIDTH, sum(heights) + 0.6), layout="constrained")
    grid = figure.subplots(4, len(regimes), sharey="row", squeeze=False, height_ratios=heights)
    for ax in grid[0, 1:]:
        ax.sharex(grid[0, 0])
    for column, regime in zip(grid.T, regimes, strict=True):
        rows = table[table["regime"] == regime]
        parts = [rows[rows["panel"] == panel] for panel in PANELS]
        panels.estimates(column[0], parts[0].set_index("method"), methods)
        _curves(column[1], parts[1])
        panels.estimates(column[2], parts[2].set_index("rival"), rivals)
        _curves(column[3], parts[3])
        if suite == "metaworld":
            _paper(column[0], regime, methods)
        _titles(column, regime, parts[2], SCORES[suite])
    grid[0, 0].set_yticks(range(len(methods)), [style.label(method) for method in methods])
    grid[1, 0].set_ylabel("share of runs above")
    grid[2, 0].set_yticks(range(len(rivals)), [style.label(rival) for rival in rivals])
    grid[3, 0].set_ylabel("IQM score")
    shown = zip(table["regime"], table["method"], strict=True)
    _legend(figure, methods, paper=suite == "metaworld" and not PAPER.keys().isdisjoint(shown))
    return figure


def _titles(column: Sequence[Axes], regime: str, improvement: pd.DataFrame, score: str) -> None:
    champion = style.label(improvement["method"].iloc[0]) if len(improvement) else "GIPO"
    ends = "  (0 random, 1 expert)" if score == SCORES["metaworld"] else ""
    column[0].set(title=f"{regime}: IQM of the final score", xlabel=score + ends)
    column[1].set(title=f"{regime}: performance profile", xlabel=score)
    column[2].set(title=f"{regime}: P({champion} beats ...)", xlabel="probability of improvement")
    column[3].set(title=f"{regime}: sample efficiency", xlabel="environment steps")
    column[0].axvline(0, color=style.MUTED, lw=1, zorder=1)
    column[2].set_xlim(-0.03, 1.03)
    column[2].axvline(0.5, color=style.MUTED, lw=1, zorder=1)
    if improvement.empty:
        column[2].text(
            0.02, 0.5, "no GIPO run to compare", transform=column[2].transAxes, va="center", color=style.MUTED
        )
    column[3].axhline(0, color=style.MUTED, lw=1, zorder=1)
    column[3].xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    column[3].xaxis.set_major_formatter(EngFormatter(sep=""))


def _paper(ax: Axes, regime: str, methods: list[str]) -> None:
    """The paper's values, just above the lines of their methods."""
    for y, method in enumerate(methods):
        if (regime, method) in PAPER:
            ax.plot(PAPER[regime, method], y - 0.3, **style.PAPER)


def _curves(ax: Axes, rows: pd.DataFrame) -> None:
    for method in style.order(rows["method"]):
        one = rows[rows["method"] == method]
        ax.fill_between(one["x"], one["low"], one["high"], color=style.colour(method), alpha=0.13, lw=0)
        ax.plot(one["x"], one["value"], color=style.colour(method), ls=style.line(method))


def _legend(figure: Figure, methods: list[str], paper: bool) -> None:
    handles = [Line2D([], [], color=style.colour(m), ls=style.line(m), marker=style.marker(m)) for m in methods]
    labels = [style.label(method) for method in methods]
    if paper:
        handles.append(Line2D([], [], ls="none", **style.PAPER))
        labels.append("paper (8 tasks)")
    style.legend(figure, handles, labels)


def caption(table: pd.DataFrame) -> str:
    """What the panels show, n, interval method, the paper's values."""
    few = " With fewer than four runs the IQM is their mean." if table["tasks"].max() * table["seeds"].max() < 4 else ""
    score, paper = "Success rate", ""
    if table["suite"].iloc[0] == "metaworld":
        score = "Normalised score (0 = random policy, 1 = MetaWorld's scripted expert)"
        paper = " Diamonds: the paper's stale IQM over eight tasks, GIPO (1, 1) 0.730 and PPO-Clip 0.180 [P article]."
    return (
        f"{score}, {words.runs(table)} per method and regime; a run's final score is its mean over the last 20 % of "
        "env steps, episodes averaged first. From the top: interquartile mean over runs; share of runs above a score; "
        "probability that a run of the named GIPO beats one of each other method on the same task (0.5 = no "
        "difference); IQM during training against env steps "
        f"(the fresh regime collects more of them per update).{few} {words.intervals(table)}{paper}"
    )
