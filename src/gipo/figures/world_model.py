"""World model: what it foretells beside what the simulator does with the same actions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from gipo.analysis import branches, numbers, statistics
from gipo.errors import GipoError
from gipo.figures import panels, style, words
from gipo.stages import StudyFolder

TITLE = "World model"
SUBTITLE = "Branches as the model foretells them, and as the simulator plays them with the same actions"

BINS = 10
"""Groups of equal size by what is foretold of the reward, and of equal width by the probability of success."""
SHOWN = 4
"""Branches of a regime that are drawn: the first ones of its first run's last check, chosen by nothing else."""
LIKELY = 0.5
"""Probability from which a success counts as foretold."""
STEPS = (1, 4, 8, 16)
"""Steps whose errors the caption gives."""


def table(sources: StudyFolder, resamples: int = 2000) -> pd.DataFrame:
    """Errors of the world models of each regime, over the checks in the last 20 % of a run's env steps.

    Args:
        sources: ``results/<scale>``, with ``branches/`` beneath it.
        resamples: bootstrap resamples.

    Returns:
        Rows by ``statistic`` and ``regime``:

        - ``error`` and ``still`` by ``step`` of the branch: mean distance from the simulator's state, of the imagined
          state and of the one in which the branch began, with its interval over runs;
        - ``reward``: mean real ``value`` of the steps whose imagined reward is about ``foretold``;
        - ``success``: share of real successes among the steps whose probability of one is about ``foretold``; ``n``
          counts steps in these two;
        - ``refused`` and ``missed``: share of steps that the model takes for a success and the simulator does not, and
          the reverse, with intervals over runs; NaN where there is no such step in a run;
        - ``reward imagined`` and ``reward real`` by ``step``, of each ``branch`` that is drawn.

    Raises:
        GipoError: the table of branches is missing or damaged, or runs have unequal numbers of checks.
    """
    found = branches.read(sources)
    last = found.groupby("run_id")["env_steps"].transform("max")
    late = found[last - found["env_steps"] <= statistics.WINDOW * last]
    rows = []
    for regime in style.order_regimes(late["regime"]):
        own = late[late["regime"] == regime]
        size = {"tasks": own["task"].nunique(), "seeds": own["seed"].nunique()}
        rows += [row | size | {"regime": regime} for row in _of_regime(own, resamples)]
    return pd.DataFrame(rows).assign(task=words.tasks(found["task"]), resamples=resamples)


def _of_regime(late: pd.DataFrame, resamples: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for statistic in ("error", "still"):
        steps = late.groupby(["task", "method", "seed", "horizon"])[statistic].mean().unstack("horizon")
        band = statistics.mean_over_runs(_by_seed(steps), f"{statistic} of branches", "all", resamples)
        for i, step in enumerate(steps.columns):
            interval = {"value": band.value[i], "low": band.low[i], "high": band.high[i]}
            rows.append({"statistic": statistic, "step": step, "n": band.n, "note": band.note} | interval)
    rewards = pd.qcut(late["reward_imagined"], BINS, labels=False, duplicates="drop")
    rows += _calibration("reward", late["reward_imagined"], late["reward_real"], rewards)
    chances = (late["success_imagined"] * BINS).astype(int).clip(upper=BINS - 1)
    rows += _calibration("success", late["success_imagined"], late["success_real"].astype(float), chances)
    likely, real = late["success_imagined"] >= LIKELY, late["success_real"]
    for statistic, among, wrong in (("refused", likely, ~real), ("missed", real, ~likely)):
        shares = wrong[among].groupby([late["task"], late["method"], late["seed"]]).mean()
        runs = late.groupby(["task", "method", "seed"]).size()
        values = _by_seed(shares.reindex(runs.index).to_frame())[..., 0]
        estimate = statistics.mean(values, f"{statistic} successes", "all", resamples)
        rows.append({"statistic": statistic} | vars(estimate))
    first = late[(late["run_id"] == late["run_id"].min())]
    first = first[(first["update"] == first["update"].max()) & (first["branch"] < SHOWN)]
    for row in first.to_dict("records"):
        where = {"step": row["horizon"], "branch": row["branch"]}
        rows += [
            {"statistic": f"reward {kind}", "value": row[f"reward_{kind}"]} | where for kind in ("imagined", "real")
        ]
    return rows


def _by_seed(rows: pd.DataFrame) -> statistics.Array:
    """Rows by task, method and seed to [seeds, tasks x methods, columns].

    Raises:
        GipoError: methods differ in their number of seeds.
    """
    counts = rows.groupby(["task", "method"]).size()
    if counts.nunique() > 1:
        raise GipoError(f"expected as many runs of every method and task, got {counts.min()} to {counts.max()}")
    shape = len(counts), int(counts.iloc[0]), rows.shape[1]
    return rows.sort_index().to_numpy(np.float64).reshape(shape).swapaxes(0, 1)


def _calibration(statistic: str, foretold: pd.Series, real: pd.Series, group: pd.Series) -> list[dict[str, Any]]:
    return [
        {"statistic": statistic, "foretold": foretold[own].mean(), "value": real[own].mean(), "n": int(own.sum())}
        for own in (group == number for number in sorted(group.unique()))
    ]


def draw(table: pd.DataFrame) -> Figure:
    """Error by step, and rewards and successes as foretold and as they came; below, a row of branches per regime."""
    regimes = list(dict.fromkeys(table["regime"]))
    colours = dict(zip(regimes, panels.task_colours(len(regimes)), strict=True))
    figure = Figure(figsize=(style.WIDTH, 3.4 + 1.7 * len(regimes)), layout="constrained")
    parts = figure.subfigures(1 + len(regimes), 1, squeeze=False, height_ratios=[3.0, *[1.7] * len(regimes)])
    above, *rows = parts[:, 0]
    error, reward, success = above.subplots(1, 3)
    for regime, colour in colours.items():
        own = table[table["regime"] == regime]
        for statistic, line in (("error", "-"), ("still", ":")):
            band = own[own["statistic"] == statistic]
            error.plot(band["step"], band["value"], color=colour, ls=line)
            error.fill_between(band["step"], band["low"], band["high"], color=colour, alpha=0.15, lw=0)
        for ax, statistic in ((reward, "reward"), (success, "success")):
            points = own[own["statistic"] == statistic]
            ax.plot(points["foretold"], points["value"], color=colour, marker="o", markersize=4, lw=1)
    error.set(
        title="distance from the simulator", xlabel="step of the branch", ylabel="standard deviations", ylim=(0, None)
    )
    _diagonal(reward, "reward of a step")
    _diagonal(success, "success at a step")
    success.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    success.xaxis.set_major_formatter(PercentFormatter(1))
    success.yaxis.set_major_formatter(PercentFormatter(1))
    lowest, highest = table.loc[table["statistic"].isin(["reward imagined", "reward real"]), "value"].agg(
        ["min", "max"]
    )
    for part, regime in zip(rows, regimes, strict=True):
        shown = table[(table["regime"] == regime) & table["branch"].notna()]
        axes = part.subplots(1, SHOWN, sharey=True)
        for ax, (_, branch) in zip(axes, shown.groupby("branch"), strict=False):
            for statistic, line in (("reward real", "-"), ("reward imagined", "--")):
                one = branch[branch["statistic"] == statistic]
                ax.plot(one["step"], one["value"], color=colours[regime], ls=line)
            ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            ax.set(xlabel="step", ylim=(lowest - 0.05 * (highest - lowest), highest + 0.05 * (highest - lowest)))
        for ax in axes[shown["branch"].nunique() :]:
            ax.set_axis_off()
        axes[0].set_ylabel("reward")
        part.suptitle(f"The first {SHOWN} branches, {regime}", fontsize=9.5, x=0.01, ha="left", color=style.MUTED)
    handles = [Line2D([], [], color=colour) for colour in colours.values()]
    kinds = [Line2D([], [], color=style.INK, ls=line) for line in ("-", "--", ":")]
    style.legend(figure, [*handles, *kinds], [*regimes, "simulator", "imagined", "foretelling no change"])
    return figure


def _diagonal(ax: Axes, title: str) -> None:
    ax.axline((0, 0), slope=1, color=style.MUTED, lw=1, zorder=1)
    ax.set(title=title, xlabel="foretold", ylabel="in the simulator")


def caption(table: pd.DataFrame) -> str:
    """Say what is shown, the errors in numbers, and how many foretold successes are none."""
    said = []
    for regime in dict.fromkeys(table["regime"]):
        own = table[table["regime"] == regime].set_index("statistic")
        error = own.loc["error"].set_index("step")["value"]
        steps = ", ".join(f"{error[step]:.2f} after {step}" for step in STEPS)
        refused, missed = (_share(own.loc[name]) for name in ("refused", "missed"))
        said.append(
            f"{regime}: error {steps} steps; of the successes foretold {refused} are none; of the real {missed} are "
            "not foretold"
        )
    return (
        f"{table['task'].iloc[0]}, {words.runs(table)} per method and regime, all methods together. From states of new "
        "episodes of the policy the model foretells 16 steps (open loop), and the simulator plays the same actions; "
        "checks over the last 20 % of env steps. Distance: in standard deviations of the data that the model was "
        "fitted on, over the numbers that vary; dotted: of the state in which the branch began. Reward: groups of "
        "equal size by what is foretold. Success: by its probability, in tenths; a success counts as foretold from "
        f"{LIKELY:.0%} on. {'. '.join(said)}. {words.intervals(table[table['statistic'] == 'error'])}"
    )


def _share(row: pd.Series) -> str:
    """A share with its interval in words."""
    if not np.isfinite(row["value"]):
        return "an unknown share (in some runs there is none)"
    return numbers.words(row["value"], row["low"], row["high"])
