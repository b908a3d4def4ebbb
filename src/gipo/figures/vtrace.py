"""Appendix C.1: V-trace targets and smooth trust weights."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from gipo.analysis import methods, numbers, statistics
from gipo.analysis.collect import Tables
from gipo.analysis.statistics import Band, Estimate
from gipo.figures import panels, style, words
from gipo.figures.style import Look
from gipo.stages import StudyFolder

TITLE = "Appendix C.1"
SUBTITLE = "V-trace targets and a smooth trust weight, each alone and together, on stale data"

TARGETS = {"gae": "GAE", "vtrace": "V-trace"}
BOTH = "vtrace-gipo-1-1"
"""Id of V-trace with a smooth trust weight, which the paper says beats either alone."""


def table(sources: StudyFolder, resamples: int = 2000) -> pd.DataFrame:
    """Final score, its course over training, and how often a run of `BOTH` beats one of each other method.

    Args:
        sources: ``results/<scale>``, with ``sweeps/vtrace`` beneath it.
        resamples: bootstrap resamples.

    Returns:
        ``panel`` is iqm, efficiency (``x`` in env steps) or improvement (of `BOTH` over ``method``); ``estimator`` is
        a key of `TARGETS`, ``refresh_every`` the updates between recomputations of the targets, NaN for never.

    Raises:
        GipoError: a table is missing or damaged, or the runs of a method are not comparable.
    """
    tables = Tables.read(sources, "sweeps/vtrace")
    evaluations = tables.evaluations
    specs = tables.runs.groupby("method")["spec"].first()
    (regime,) = set(evaluations["regime"])
    runs = {m: statistics.curves(evaluations, regime, m, "score") for m in style.order(evaluations["method"])}
    both = next(iter(methods.find(runs, BOTH)), "")
    frames = []
    for method, run in runs.items():
        learner, score = json.loads(specs[method])["learner"], run.window()
        estimates: dict[str, tuple[Estimate | Band, object]] = {
            "iqm": (statistics.iqm(score, method, resamples), np.nan),
            "efficiency": (statistics.iqm_curve(run.values, method, resamples), run.env_steps.mean(axis=(0, 1))),
        }
        if both and method != both:
            best = runs[both].window()
            estimate = statistics.probability_of_improvement(best, score, both, method, resamples)
            estimates["improvement"] = (estimate, np.nan)
        for panel, (found, x) in estimates.items():
            rows = pd.DataFrame({**vars(found), "x": x}, index=range(np.size(found.value)))
            frames.append(
                rows.assign(
                    panel=panel,
                    method=method,
                    estimator=learner["estimator"],
                    refresh_every=float(learner["refresh_every"] or np.nan),
                    tasks=len(run.tasks),
                    seeds=len(score),
                )
            )
    return pd.concat(frames).assign(task=words.tasks(tables.runs["task"]), resamples=resamples)


def draw(table: pd.DataFrame) -> Figure:
    """Final scores against targets, a line per objective, at the left; learning curves at the right."""
    looks = style.looks(table["method"])
    figure = Figure(figsize=(style.WIDTH, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1, 1.5])
    _interaction(left, table[table["panel"] == "iqm"], looks)
    panels.curves(right, table[table["panel"] == "efficiency"], looks)
    for ax in (left, right):
        ax.axhline(0, color=style.MUTED, lw=1, zorder=1)
    left.set(title="stale: final score", xlabel="targets", ylabel="IQM score")
    right.set(title="stale: sample efficiency", xlabel="environment steps")
    right.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    right.xaxis.set_major_formatter(EngFormatter(sep=""))
    style.legend(figure, *panels.entries(looks))
    return figure


def _interaction(ax: Axes, rows: pd.DataFrame, looks: dict[str, Look]) -> None:
    """Parallel lines: the two add up. Points of different objectives stand a little apart so that intervals show."""
    objectives = list(dict.fromkeys(look.colour for look in looks.values()))  # the same with and without V-trace
    colours = rows["method"].map(lambda method: looks[method].colour)
    for i, objective in enumerate(objectives):
        one = rows[colours == objective].sort_values("estimator")
        x = one["estimator"].map(list(TARGETS).index) + 0.09 * (i - (len(objectives) - 1) / 2)
        look = looks[one["method"].iloc[0]]
        ax.plot(x, one["value"], color=look.colour, lw=1, marker=look.marker, markersize=6)
        ax.vlines(x, one["low"], one["high"], color=look.colour, lw=2.2)
    for i, (estimator, side) in enumerate(zip(TARGETS, ("right", "left"), strict=True)):
        values = sorted(rows.loc[rows["estimator"] == estimator, "value"])
        for value in values:  # of close ones the higher stands above
            place = "bottom" if value > values[0] else "top" if len(values) > 1 else "center"
            ax.text(i + (-0.14, 0.14)[i], value, f"{value:.2f}", ha=side, va=place, fontsize=9, color=style.MUTED)
    ax.set_xticks(range(len(TARGETS)), list(TARGETS.values()))
    ax.set_xlim(-0.5, len(TARGETS) - 0.5)
    ax.grid(visible=False, axis="x")


def caption(table: pd.DataFrame) -> str:
    """Say what is shown, whether the combination wins, how targets were made, n, interval method."""
    iqm = table[table["panel"] == "iqm"]
    return (
        f"Advantages from GAE or V-trace, with no weight on the ratio (No-Clip) or GIPO's, "
        f"on {iqm['task'].iloc[0]}, {words.runs(iqm)} each. "
        "Left: interquartile mean of the normalised score over the last 20 % of env steps; parallel lines would mean "
        "that targets and weight help independently. Right: the IQM during training, against env steps. "
        f"{_improvement(table)}{_targets(iqm)} {words.intervals(iqm)} The paper: "
        "V-trace with smooth ratio handling beats either alone [P C.1, no numbers in its public text]."
    )


def _improvement(table: pd.DataFrame) -> str:
    rows = table[table["panel"] == "improvement"]
    if rows.empty:
        return ""
    both = methods.find(table["method"], BOTH)[0]
    parts = [
        f"{numbers.words(value, low, high)} against {style.label(method)}"
        for method, value, low, high in zip(rows["method"], rows["value"], rows["low"], rows["high"], strict=True)
    ]
    return f"Probability that a run of {style.label(both)} scores higher: {'; '.join(parts)}. "


def _targets(rows: pd.DataFrame) -> str:
    """How often the targets of stored data were recomputed, which V-trace needs and GAE does not have to have."""
    parts = []
    for estimator, name in TARGETS.items():
        every = sorted(set(rows.loc[rows["estimator"] == estimator, "refresh_every"].fillna(0)))
        if every:
            times = " or ".join(f"recomputed every {n:,.0f} updates" if n else "frozen once stored" for n in every)
            parts.append(f"{name}: {times}")
    return f"Targets of stored data, {'; '.join(parts)}."
