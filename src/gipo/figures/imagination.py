"""Imagination: what learning from a world model's transitions adds to a model-free run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullLocator, PercentFormatter

from gipo.analysis import methods, statistics
from gipo.analysis.collect import Imagined, Tables, imaginations
from gipo.analysis.statistics import Array, Estimate
from gipo.errors import GipoError
from gipo.figures import panels, style, words
from gipo.stages import StudyFolder

TITLE = "Imagination"
SUBTITLE = "Runs with and without imagined transitions, at equal env steps and updates"

QUANTITIES = {"score": "score", "success": "success_any"}
"""Quantities that are compared, and their column in the evaluations."""
LINES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 4)))
"""Without a world model, then by how much of an update is imagined and what rewards it."""


@dataclass(frozen=True)
class Pair:
    """A regime with imagined transitions, and the model-free one with real data of the same lifetime."""

    regime: str
    free: str
    ratio: int
    """Imagined transitions to each real one."""
    reward: str
    """As in `gipo.analysis.collect.Imagined`."""


def pairs(runs: pd.DataFrame) -> list[Pair]:
    """The regimes of a study that can be compared, model-free ones in the order of legends.

    Args:
        runs: of `gipo.analysis.collect.Tables`.

    Raises:
        GipoError: a regime with imagined transitions has no model-free one beside it.
    """
    regimes = imaginations(runs)
    lifetimes = dict(zip(runs["regime"], runs["lifetime"], strict=True))
    imagining = {regime: imagined for regime, imagined in regimes.items() if imagined and imagined.ratio}
    free: dict[float, str] = {}
    for regime in sorted(regimes, key=lambda regime: regimes[regime] is not None):  # without any model before ratio 0
        if regime not in imagining:
            free.setdefault(lifetimes[regime], regime)
    found = []
    for regime, imagined in imagining.items():
        if lifetimes[regime] not in free:
            raise GipoError(
                f"regime {regime!r} has imagined transitions, and no regime without them has its replay lifetime, "
                f"{lifetimes[regime]:g}; add one to compare it with"
            )
        found.append(Pair(regime, free[lifetimes[regime]], *imagined))
    if len({(pair.ratio, pair.reward) for pair in found}) >= len(LINES):
        raise GipoError(f"more than {len(LINES) - 1} kinds of imagined transitions cannot be told apart in one figure")
    order = style.order_regimes(lifetimes)
    return sorted(found, key=lambda pair: (order.index(pair.free), pair.ratio, pair.reward))


def table(sources: StudyFolder, resamples: int = 2000) -> pd.DataFrame:
    """Curves of both regimes of each `Pair`, and how they differ.

    Args:
        sources: ``results/<scale>``.
        resamples: bootstrap resamples.

    Returns:
        Rows by ``statistic``, method and the ``regime`` that a value is of, with its pair's ``free`` regime and
        ``ratio`` (0 in the rows of a model-free regime) and ``reward``:

        - ``score curve`` and ``success curve``: mean over runs after ``env_steps`` (mean over runs);
        - ``score`` and ``success``: over the last 20 % of env steps, IQM or mean;
        - ``score gain`` and ``success gain``: that less the one of the model-free regime;
        - ``score steps`` and ``success steps``: env steps of the model-free regime over those with imagination until
          both perform the same (`gipo.analysis.statistics.steps_to_same`).

    Raises:
        GipoError: a table is missing or damaged, the runs of a method are not comparable, or a regime has no pair.
    """
    tables = Tables.read(sources)
    found = pairs(tables.runs)
    names = style.order(tables.runs["method"])
    rows: list[dict[str, Any]] = []
    for quantity, column in QUANTITIES.items():
        for method in names:
            for free in dict.fromkeys(pair.free for pair in found):
                rows += _alone(tables, quantity, column, method, Pair(free, free, *Imagined()), resamples)
            for pair in found:
                rows += _alone(tables, quantity, column, method, pair, resamples)
                rows += _compared(tables, quantity, column, method, pair, resamples)
    return pd.DataFrame(rows).assign(task=words.tasks(tables.runs["task"]), resamples=resamples)


def _alone(tables: Tables, quantity: str, column: str, method: str, pair: Pair, resamples: int) -> list[dict[str, Any]]:
    """A regime's curve and its last values."""
    curves = statistics.curves(tables.evaluations, pair.regime, method, column)
    band = statistics.mean_over_runs(curves.values, quantity, method, resamples)
    size = {"tasks": len(curves.tasks), "seeds": len(curves.values)}
    where = {"method": method, **vars(pair), **size}
    points = zip(curves.env_steps.mean(axis=(0, 1)), band.value, band.low, band.high, strict=True)
    rows = [
        {"statistic": f"{quantity} curve", "env_steps": steps, "value": value, "low": low, "high": high, "n": band.n}
        | where
        | {"note": band.note}
        for steps, value, low, high in points
    ]
    window = curves.window()
    last = (
        statistics.iqm(window, method, resamples)
        if quantity == "score"
        else statistics.mean(window, quantity, method, resamples)
    )
    return [*rows, {"statistic": quantity} | where | vars(last)]


def _compared(
    tables: Tables, quantity: str, column: str, method: str, pair: Pair, resamples: int
) -> list[dict[str, Any]]:
    """The gain by imagination, and the env steps that it saves."""
    runs = {
        f"{methods.read(method).id} {regime}": statistics.curves(tables.evaluations, regime, method, column)
        for regime in (pair.free, pair.regime)
    }
    free, imagined = (curves.window() for curves in runs.values())
    center = statistics.interquartile_mean if quantity == "score" else statistics.mean_of_all

    def gain(one: Array, other: Array) -> Array:
        return center(one) - center(other)

    names = list(runs)
    groups = {names[1]: imagined, names[0]: free}
    found: dict[str, Estimate] = {
        f"{quantity} gain": statistics.estimate(f"gain in {quantity}", groups, gain, resamples),
        f"{quantity} steps": statistics.steps_to_same(f"steps to the same {quantity}", runs, resamples),
    }
    size = {"tasks": free.shape[1], "seeds": min(len(free), len(imagined))}
    return [{"statistic": name, "method": method, **vars(pair), **size} | vars(e) for name, e in found.items()]


def draw(table: pd.DataFrame) -> Figure:
    """Success over env steps by model-free regime; below, gain in score and env steps that are saved."""
    looks = style.looks(table["method"])
    regimes = list(dict.fromkeys(table["free"]))
    kinds = [Imagined(*kind) for kind in sorted(set(zip(table["ratio"], table["reward"], strict=True)))]
    compared = table[table["statistic"] == "score gain"]
    figure = Figure(figsize=(style.WIDTH, 4.6 + 0.3 * len(compared)), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[2.6, 1.2 + 0.3 * len(compared)])[:, 0]
    for ax, free in zip(above.subplots(1, len(regimes), sharey=True, squeeze=False)[0], regimes, strict=True):
        _curves(ax, table[(table["statistic"] == "success curve") & (table["free"] == free)], looks, kinds)
        ax.set(title=f"{free} data", xlabel="env steps", ylim=(-0.03, 1.03))
    above.axes[0].set_ylabel("success rate")
    left, right = below.subplots(1, 2)
    _differences(left, compared, looks, "gain in score", "score with imagination less without")
    left.axvline(0, color=style.MUTED, lw=1, zorder=1)
    saved = table[table["statistic"] == "score steps"]
    _differences(right, saved, looks, "env steps that it saves", "times fewer to the same score")
    right.set(xscale="log", yticks=[])
    right.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    right.xaxis.set_minor_locator(NullLocator())
    right.xaxis.set_major_formatter(FuncFormatter(lambda times, _: f"{times:g}"))
    right.axvline(1, color=style.MUTED, lw=1, zorder=1)
    handles, labels = panels.curve_entries(looks)
    lines = [Line2D([], [], color=style.INK, ls=line) for line, _ in zip(LINES, kinds, strict=False)]
    style.legend(figure, [*handles, *lines], [*labels, *map(_words, kinds)])
    return figure


def _words(kind: Imagined) -> str:
    if not kind.ratio:
        return "no world model"
    return f"{kind.ratio} imagined to 1 real" + ", rewarded by success" * (kind.reward == "success")


def _curves(ax: Axes, rows: pd.DataFrame, looks: dict[str, Any], kinds: list[Imagined]) -> None:
    for method, look in looks.items():
        for kind, line in zip(kinds, LINES, strict=False):
            one = rows[(rows["method"] == method) & (rows["ratio"] == kind.ratio) & (rows["reward"] == kind.reward)]
            ax.plot(one["env_steps"], one["value"], color=look.colour, ls=line)
            ax.fill_between(one["env_steps"], one["low"], one["high"], color=look.colour, alpha=0.07, lw=0)
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.yaxis.set_major_formatter(PercentFormatter(1))


def _differences(ax: Axes, rows: pd.DataFrame, looks: dict[str, Any], title: str, axis: str) -> None:
    """A line per pair and method."""
    names = list(zip(rows["regime"], rows["method"], strict=True))
    keys = ["\n".join(name) for name in names]
    panels.estimates(ax, rows.set_axis(keys), {key: looks[name[1]] for key, name in zip(keys, names, strict=True)})
    ax.set_yticks(range(len(names)), [f"{style.label(method)}, {regime}" for regime, method in names])
    ax.set(title=title, xlabel=axis)


def caption(table: pd.DataFrame) -> str:
    """Say what is shown, n, what the comparison is, and what it cannot tell."""
    compared = table[table["statistic"].isin(["score gain", "score steps"])]
    steps = table[table["statistic"] == "success steps"]
    listed = "; ".join(
        f"{style.label(row['method'])}, {row['regime']}: {_times(row)}" for row in steps.to_dict("records")
    )
    by_success = (
        "Where success rewards, a step has the change of success as reward, an imagined one that of its probability, "
        "and the run is compared with one that the simulator rewards: differences are of imagination and reward. "
        * ("success" in set(table["reward"]))
    )
    return (
        f"{table['task'].iloc[0]}, {words.runs(table)} per method and regime. A world model on the replay's own "
        "transitions imagines branches from real states, and an update draws from real and imagined ones in the ratio "
        f"shown; env steps, updates and other settings are equal. {by_success}"
        "Above: share of evaluation episodes with a "
        "success, mean over runs, band: its pointwise interval. Below, left: final score (IQM over the last 20 % of "
        "env steps) with imagination less without. Right: env steps without it over those with it until both perform "
        "the same, which is the lower of their two final scores, to the nearest evaluation. The same for the success "
        f"rate: {listed}. Env steps that a policy plays for evaluations, and those in which branches are compared with "
        f"the simulator, are not learnt from and not counted. {words.intervals(compared)} The world model sees "
        "MetaWorld's 39 numbers: nothing follows for one that foretells frames."
    )


def _times(row: dict[Any, Any]) -> str:
    interval = f" [{row['low']:.2f}, {row['high']:.2f}]" if np.isfinite([row["low"], row["high"]]).all() else ""
    return f"{row['value']:.2f}{interval}"
