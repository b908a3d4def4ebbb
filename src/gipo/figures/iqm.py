"""The study in one figure: what runs score, by regime and method."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from gipo import paper, suites
from gipo.analysis import design, methods, statistics
from gipo.analysis.collect import Tables
from gipo.analysis.statistics import Array, Band, Curves, Estimate
from gipo.figures import panels, style, words
from gipo.figures.style import Look
from gipo.stages import StudyFolder

TITLE = "The study in one figure"
SUBTITLE = "IQM of the normalised score, every run, profiles, probability of improvement, sample efficiency"

PUBLISHED = "GIPO (1, 1) {iqm/gipo-1-1} and PPO-Clip {iqm/ppo-clip} [P article]"
PAPER_WORDS = "paper (8 tasks)"
PAPER_SUITE, PAPER_REGIME = "metaworld", "stale"
"""Where the paper has IQMs."""

SCORES = {"baselines": "normalised score", "success": "success rate"}
"""Kind of score (`gipo.suites.Suite.score`) to its name."""

CHAMPION = "gipo-1-1"
"""Id of the configuration that the paper's ranking names; where it was not run, the first GIPO stands for it."""

PANELS = ("iqm", "success", "run", "profile", "improvement", "efficiency")
"""From the top; success is left out where it is the score."""
COLUMNS = (
    *("suite", "panel", "regime", "method", "rival", "task", "x", "value", "low", "high"),
    *("tasks", "seeds", "n", "resamples", "note"),
)


def table(sources: StudyFolder, resamples: int = 2000) -> pd.DataFrame:
    """All estimates of the figure in long form.

    Args:
        sources: ``results/<scale>``.
        resamples: bootstrap resamples.

    Returns:
        Columns `COLUMNS`: ``panel`` is one of `PANELS`, ``x`` the threshold of a profile or the env steps of a curve,
        ``rival`` the method that ``method`` is compared with, ``task`` that of a single run, ``n`` the runs behind a
        row.

    Raises:
        GipoError: a table is missing or damaged, or the runs of a method are not comparable.
    """
    tables = Tables.read(sources).model_free()
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
    suite = suites.get(design.suite(tables.runs))
    if suite.score != "success":
        frames += [_success(evaluations, regime, list(methods), resamples) for regime, methods in runs.items()]
    return pd.concat(frames).assign(suite=suite.name, resamples=resamples)[list(COLUMNS)]


def _success(evaluations: pd.DataFrame, regime: str, names: list[str], resamples: int) -> pd.DataFrame:
    """Mean success rates."""
    rows = []
    for method in names:
        rates = statistics.curves(evaluations, regime, method, "success_any").window()
        size = {"method": method, "rival": "", "tasks": rates.shape[1], "seeds": len(rates), "regime": regime}
        rows.append(_frame(statistics.mean(rates, "success", method, resamples), panel="success", x=np.nan, **size))
    return pd.concat(rows)


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
            *(
                pd.DataFrame({**size, "panel": "run", "task": task, "value": score[:, i], "n": 1, "note": ""})
                for i, task in enumerate(run.tasks)
            ),
        ]
    champion = champion_of(list(runs))
    for rival in [method for method in runs if champion and method != champion]:
        pair = scores[champion], scores[rival]
        size = {"method": champion, "rival": rival, "tasks": len(runs[rival].tasks), "seeds": min(map(len, pair))}
        estimate = statistics.probability_of_improvement(*pair, champion, rival, resamples)
        rows.append(_frame(estimate, panel="improvement", x=np.nan, **size))
    return pd.concat(rows)


def champion_of(names: list[str]) -> str:
    """The GIPO whose improvement over the others is shown; empty if there is none."""
    family = [name for name in names if methods.read(name).objective == "gipo"]
    return next(iter(methods.find(family, CHAMPION) or family), "")


def _frame(estimate: Estimate | Band, **columns: object) -> pd.DataFrame:
    return pd.DataFrame({**vars(estimate), **columns}, index=range(np.size(estimate.value)))


def draw(table: pd.DataFrame) -> Figure:
    """A column per regime; from the top: IQM, every run, performance profiles, improvement, sample efficiency."""
    regimes, looks = style.order_regimes(table["regime"]), style.looks(table["method"])
    suite = suites.get(table["suite"].iloc[0])
    shown = set(table.loc[table["panel"] == "improvement", "rival"])
    rivals = {method: look for method, look in looks.items() if method in shown}
    rows_high = 0.8 + 0.3 * len(looks)
    high = dict.fromkeys(PANELS, rows_high) | {"profile": 2.4, "efficiency": 2.4}
    high["improvement"] = 0.8 + 0.3 * max(len(rivals), 1)
    drawn = [panel for panel in PANELS if panel != "success" or (table["panel"] == "success").any()]
    heights = [high[panel] for panel in drawn]
    figure = Figure(figsize=(style.WIDTH, sum(heights) + 0.6), layout="constrained")
    grid = figure.subplots(len(drawn), len(regimes), sharey="row", squeeze=False, height_ratios=heights)
    of_panel = dict(zip(drawn, grid, strict=True))
    for panel in [panel for panel in drawn if panel in ("iqm", "success", "run")]:
        for ax in of_panel[panel][1:]:
            ax.sharex(of_panel[panel][0])
    tasks = suite.order_tasks(table["task"].dropna())
    has_paper = False
    for column, regime in zip(grid.T, regimes, strict=True):
        rows = table[table["regime"] == regime]
        parts = {panel: rows[rows["panel"] == panel] for panel in PANELS}
        axes = dict(zip(drawn, column, strict=True))
        panels.estimates(axes["iqm"], parts["iqm"].set_index("method"), looks)
        if "success" in axes:
            panels.estimates(axes["success"], parts["success"].set_index("method"), looks)
        panels.points(axes["run"], parts["run"], looks, tasks)
        panels.curves(axes["profile"], parts["profile"], looks)
        panels.estimates(axes["improvement"], parts["improvement"].set_index("rival"), rivals)
        panels.curves(axes["efficiency"], parts["efficiency"], looks)
        if suite.name == PAPER_SUITE:
            has_paper |= published_iqms(axes["iqm"], looks, regime)
        _titles(axes, regime, parts["improvement"], SCORES[suite.score])
    for panel in [panel for panel in drawn if panel in ("iqm", "success", "run", "improvement")]:
        panels.name_rows(of_panel[panel][0], rivals if panel == "improvement" else looks)
    of_panel["profile"][0].set_ylabel("share of runs above")
    of_panel["efficiency"][0].set_ylabel("IQM score")
    panels.legend(figure, panels.entries(looks), PAPER_WORDS if has_paper else "")
    panels.task_legend(figure, [suite.task_title(task) for task in tasks])
    return figure


def _titles(axes: dict[str, Axes], regime: str, improvement: pd.DataFrame, score: str) -> None:
    champion = style.label(improvement["method"].iloc[0]) if len(improvement) else "GIPO"
    ends = "  (0 random, 1 expert)" if score == SCORES["baselines"] else ""
    axes["iqm"].set(title=f"{regime}: IQM of the final score", xlabel=score + ends)
    if "success" in axes:
        axes["success"].set(title=f"{regime}: success rate", xlabel="share of episodes with a success")
    axes["run"].set(title=f"{regime}: final score of every run", xlabel=score)
    axes["profile"].set(title=f"{regime}: performance profile", xlabel=score)
    axes["improvement"].set(title=f"{regime}: P({champion} beats ...)", xlabel="probability of improvement")
    axes["efficiency"].set(title=f"{regime}: sample efficiency", xlabel="environment steps")
    for name in ("iqm", "run"):
        axes[name].axvline(0, color=style.MUTED, lw=1, zorder=1)
    axes["improvement"].set_xlim(-0.03, 1.03)
    axes["improvement"].axvline(0.5, color=style.MUTED, lw=1, zorder=1)
    if improvement.empty:
        place = axes["improvement"].transAxes
        axes["improvement"].text(0.02, 0.5, "no GIPO run to compare", transform=place, va="center", color=style.MUTED)
    axes["efficiency"].axhline(0, color=style.MUTED, lw=1, zorder=1)
    axes["efficiency"].xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes["efficiency"].xaxis.set_major_formatter(EngFormatter(sep=""))


def published_of(regime: str) -> dict[str, float]:
    """IQMs of the paper by id of the method."""
    return {key: number.value for key, number in paper.group("iqm").items()} if regime == PAPER_REGIME else {}


def published_iqms(ax: Axes, looks: dict[str, Look], regime: str) -> bool:
    """Draw the paper's IQMs just above the lines of their methods.

    Args:
        ax: of `gipo.figures.panels.estimates`.
        looks: the methods in order of the lines.
        regime: of the runs shown.

    Returns:
        Whether there are any.
    """
    numbers = published_of(regime)
    found = [(y, numbers[key]) for y, name in enumerate(looks) if (key := methods.read(name).id) in numbers]
    for y, value in found:
        ax.plot(value, y - 0.3, **style.PAPER)
    return bool(found)


def caption(table: pd.DataFrame) -> str:
    """Say what the panels show, n, interval method, the paper's values."""
    estimates = table[table["panel"] != "run"]
    rates = "mean success rate in the same evaluations; " if (table["panel"] == "success").any() else ""
    few = " With fewer than four runs the IQM is their mean." if table["tasks"].max() * table["seeds"].max() < 4 else ""
    score, theirs = "Success rate", ""
    suite = suites.get(table["suite"].iloc[0])
    if suite.score == "baselines":
        score = f"Normalised score (0 = random policy, 1 = {suite.title}'s scripted expert)"
    if suite.name == PAPER_SUITE:
        theirs = f" Diamonds: the paper's stale IQM over eight tasks, {paper.words(PUBLISHED)}."
    return (
        f"{score}, {words.runs(table)} per method and regime; a run's final score is its mean over the last 20 % of "
        f"env steps, episodes averaged first. From the top: interquartile mean over runs; {rates}every run, by colour "
        "of its task, on the quartiles of its method; share of runs above a score; probability that a run of the named "
        "GIPO beats one of each other method on the same task (0.5 = no difference); IQM during training against env "
        f"steps (the fresh regime collects more of them per update).{few} {words.intervals(estimates)}{theirs}"
    )
