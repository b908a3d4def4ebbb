"""Figure 1: trust weights and multipliers of the objectives, as `gipo.trust_weights` computes them."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from gipo.figures import style
from gipo.figures.style import Look
from gipo.stages import StudyFolder

TITLE = "Figure 1"
SUBTITLE = "How far each objective trusts a sample, against its importance ratio, for either sign of the advantage"

SIGNS = {1: "A > 0", -1: "A < 0"}
COLUMNS = ("method", "parameters", "log_rho", "rho", "advantage_sign", "multiplier", "weight")
TOP = 4.0
"""Upper end of the multiplier's axis; No-Clip and wide GIPO leave through it."""


def table(sources: StudyFolder) -> pd.DataFrame:
    """Trust weights as `gipo.trust_weights` computed them from the objectives.

    Raises:
        GipoError: ``weights.csv`` is missing, or lacks a column.
    """
    return sources.read_csv("weights.csv", COLUMNS)


def draw(table: pd.DataFrame) -> Figure:
    """Trust weights above, multipliers below; a column for each sign of the advantage."""
    figure = Figure(figsize=(style.WIDTH, 5.6), layout="constrained")
    grid = figure.subplots(2, 2, sharex=True, sharey="row")
    looks = style.looks(table["method"])
    for column, (sign, words) in enumerate(SIGNS.items()):
        rows = table[table["advantage_sign"] == sign]
        _lines(grid[0, column], rows, looks, "weight")
        _lines(grid[1, column], rows, looks, "multiplier")
        grid[0, column].set_title(f"Advantage {words}")
        grid[1, column].set_xlabel("importance ratio ρ = π(a|s) / μ(a|s)")
    grid[0, 0].set_ylabel("trust weight  m / ρ")
    grid[1, 0].set_ylabel("multiplier  m")
    grid[0, 0].set_ylim(-0.04, 1.08)
    grid[1, 0].set_ylim(-0.04 * TOP, TOP)
    style.legend(figure, *grid[0, 0].get_legend_handles_labels())
    return figure


def _lines(ax: Axes, rows: pd.DataFrame, looks: dict[str, Look], column: str) -> None:
    for i, (method, look) in enumerate(looks.items()):
        one = rows[rows["method"] == method]
        (curve,) = ax.plot(one["rho"], one[column], lw=max(3 - 0.2 * i, 1.6))  # of equal curves both show
        curve.set(color=look.colour, linestyle=look.line, label=style.label(method))
    ax.axvline(1, color=style.MUTED, lw=0.8, zorder=1)
    ax.set_xscale("log")
    ax.set_xlim(rows["rho"].min(), rows["rho"].max())
    ax.xaxis.set_major_locator(FixedLocator([0.02, 0.1, 0.5, 1, 2, 10, 50]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda rho, _: f"{rho:g}"))


def caption(table: pd.DataFrame) -> str:
    """Say what the curves are; they are formulas, so there is no n."""
    names = ", ".join(style.label(method) for method in style.order(table["method"]))
    return (
        "Trust weight (top) and multiplier m (bottom) of a sample against its importance ratio ρ, for positive (left) "
        f"and negative (right) advantages: {names}. Of two sigmas the first holds on the left, the second on the "
        "right. The multiplier is the scalar in front of A ∇ log π; the weight is m / ρ. PPO-Clip is all or nothing "
        "beyond its clip range; GIPO fades smoothly and alike for ρ and 1/ρ, and its multiplier never exceeds "
        "exp(σ²/2). Exact values of the objectives in this repository, as in figure 1 of the paper (eq. 3-7) [P]."
    )
