"""All objectives in the gridworld: how far each is from the front that GIPO spans over sigma."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from gipo.analysis.methods import identify
from gipo.figures import style
from gipo.figures.fig4 import DRAWN, LAGS
from gipo.figures.looks import GIPO
from gipo.stages import StudyFolder

TITLE = "The field in the gridworld"
SUBTITLE = "Objectives of other papers at their sources' settings against GIPO's front, exact"

COLUMNS = {
    "field": ("case", "estimator", "objective", "parameters", "bias", "variance", "front_bias", "behind_share"),
    "field_family": (
        *("lag", "estimator", "objective", "parameters", "n"),
        *("front_ahead", "method_ahead", "median_behind_share"),
    ),
}
LINEAR = 0.01
"""Distances up to which the axis is linear, as shares of the largest bias; logarithmic beyond."""
CASES = {"A": ("#000000", "o"), "B": (GIPO.colour, "s"), "C": ("#D55E00", "^")}
"""Colour and marker of each case."""
HIGHEST = "high"


def table(sources: StudyFolder) -> pd.DataFrame:
    """Both tables of the field, stacked; column ``panel`` tells which, ``method`` names the objective.

    Raises:
        GipoError: a table is missing, or lacks a column.
    """
    tables = []
    for panel, columns in COLUMNS.items():
        rows = sources.read_csv(f"gridworld/{panel}.csv", columns)
        pairs = zip(rows["objective"], rows["parameters"], strict=True)
        names = [identify(objective, json.loads(parameters)) for objective, parameters in pairs]
        tables.append(rows.assign(panel=panel, method=names))
    return pd.concat(tables, ignore_index=True)


def draw(table: pd.DataFrame) -> Figure:
    """A row per method: its distance from GIPO's front in cases A to C, and who is ahead on random pairs."""
    drawn = table[table["estimator"] == DRAWN]
    cases, family = (drawn[drawn["panel"] == panel] for panel in COLUMNS)
    order = cases.groupby("method")["behind_share"].mean().sort_values(kind="stable").index.tolist()
    figure = Figure(figsize=(style.WIDTH, 1.5 + 0.3 * len(order)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
    _distances(left, cases, order)
    _shares(right, family[family["lag"] == HIGHEST].set_index("method").loc[order])
    style.legend(figure, *left.get_legend_handles_labels())
    left.set_yticks(range(len(order)), [style.label(method) for method in order])
    left.set_ylim(len(order) - 0.4, -0.6)
    return figure


def _distances(ax: Axes, rows: pd.DataFrame, order: list[str]) -> None:
    for shift, (case, (colour, marker)) in zip((-0.2, 0, 0.2), CASES.items(), strict=True):
        of_case = rows[rows["case"] == case].set_index("method").loc[order]
        y = np.arange(len(order)) + shift
        ax.plot(of_case["behind_share"], y, color=colour, marker=marker, ls="", ms=5, label=f"{case}: {LAGS[case]}")
    ax.axvline(0, color=style.MUTED, lw=1, zorder=1)
    ax.set_xscale("symlog", linthresh=LINEAR, linscale=0.6)
    ax.set_xticks([-0.1, -0.01, 0, 0.01, 0.1, 1], minor=False)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:g} %"))
    ax.set_xlabel("← ahead of GIPO's front · behind it →\nbias at equal variance, % of the largest bias")
    ax.set_xlim(-1, 4)
    ax.set_title("Cases A, B, C")


def _shares(ax: Axes, rows: pd.DataFrame) -> None:
    """Shares of random pairs: to the left the method is ahead, to the right the front."""
    y = range(len(rows))
    ax.barh(y, -rows["method_ahead"], color=style.MUTED, height=0.6)
    ax.barh(y, rows["front_ahead"], color=GIPO.colour, height=0.6)
    ax.axvline(0, color=style.MUTED, lw=1)
    ax.set_xlim(-1.05, 1.05)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * abs(x):.0f} %"))
    ax.set_xticks([-1, -0.5, 0, 0.5, 1])
    ax.set_xlabel("← method ahead · GIPO's front ahead →\nshare of random pairs (π, μ)")
    ax.set_title(f"{int(rows['n'].iloc[0]):,} random pairs, highest lag")


def caption(table: pd.DataFrame) -> str:
    """Say what is compared, and that nothing is tuned."""
    drawn = table[(table["panel"] == "field") & (table["estimator"] == DRAWN)]
    worst = drawn.groupby("method")["behind_share"].min()
    ahead = [style.label(method) for method in worst.index[worst < -LINEAR]]
    words = f"ahead by more than 1 % in at least one case: {'; '.join(ahead)}" if ahead else "none is ahead by 1 %"
    return (
        "Exact one-step gradients in the gridworld of figure 4: bias of each objective less the least bias that GIPO "
        f"has at no more variance for any σ, in % of the largest bias; {words}. Right: on random pairs of policies, "
        "who is ahead by more than 1 %. All settings are those of the methods' sources, none was tuned, while "
        "GIPO's front is over all σ. Ties at 0 % are methods that are 0, or the same as No-Clip, at such ratios."
    )
