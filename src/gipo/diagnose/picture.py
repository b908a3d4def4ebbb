"""A diagnosis as a picture: a row for each objective."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from gipo.figures import panels, picture_bytes, style
from gipo.figures.style import Look

LINEAR = 1.0
"""Multipliers up to which the axis is linear; logarithmic beyond."""
EDGES = -10.0, 1000.0
"""Multipliers farther away are drawn there: those of SPO grow with the square of the ratio."""


def content(numbers: Mapping[str, float], table: pd.DataFrame, kind: Literal["png", "svg"]) -> bytes:
    """A picture file; arguments as for `draw`."""
    style.apply()
    return picture_bytes(draw(numbers, table), kind, metadata={"Date": None} if kind == "svg" else None)


def draw(numbers: Mapping[str, float], table: pd.DataFrame) -> Figure:
    """Multipliers, samples that do not count, and effective samples with the part of the old ones in the gradient.

    Args:
        numbers: as `gipo.diagnose.table.of_batch` returns them.
        table: as `gipo.diagnose.table.of_objectives` returns it; objectives that are left out have no row.
    """
    rows = table[table["left_out"] == ""].set_index("method")
    looks = style.looks(rows.index)
    rows = rows.loc[list(looks)]
    figure = Figure(figsize=(style.WIDTH, 1.7 + 0.27 * len(rows)), layout="constrained")
    left, middle, right = figure.subplots(1, 3, sharey=True, width_ratios=[1.3, 1, 1])
    _multipliers(left, rows, looks)
    _without_effect(middle, rows, looks, numbers["zero_advantage"])
    _used(right, rows, looks, numbers.get("old_frac", 0.0))
    panels.name_rows(left, looks)
    left.set_ylim(len(rows) - 0.4, -0.6)
    for ax in (left, middle, right):
        ax.tick_params(axis="y", length=0)
        ax.grid(visible=False, axis="y")
    for ax in (middle, right):
        ax.set_xlim(-0.03, 1.03)
        ax.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    figure.suptitle(_title(numbers), ha="left", x=0.01, fontsize=10)
    return figure


def _title(numbers: Mapping[str, float]) -> str:
    words = f"{numbers['samples']:,.0f} samples, D0.95 {numbers['d95']:.3g}"
    if "old_gap" in numbers:
        words += f", {100 * numbers['old_frac']:.0f} % old (gap of {numbers['old_gap']:,.6g} updates or more)"
    return words


def _multipliers(ax: Axes, rows: pd.DataFrame, looks: dict[str, Look]) -> None:
    found = rows[[f"multiplier_{name}" for name in ("q05", "q50", "q95", "mean")]]
    for y, (look, numbers) in enumerate(zip(looks.values(), found.clip(*EDGES).to_numpy(), strict=True)):
        low, median, high, mean = numbers
        ax.plot([low, high], [y, y], color=look.colour, lw=2.2)
        ax.plot(median, y, "o", color=look.colour, ms=6)
        ax.plot(mean, y, "|", color=style.INK, ms=11, mew=1.4)
    ax.axvline(1, color=style.MUTED, lw=1, zorder=1)
    ax.set_xscale("symlog", linthresh=LINEAR)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}".replace("-", "\N{MINUS SIGN}")))
    beyond = "\nbeyond −10 or 1,000: at the edge" if (found != found.clip(*EDGES)).any(axis=None) else ""
    ax.set(title="Multiplier m", xlabel=f"5 % to 95 % of the samples\n● median  | mean{beyond}")


def _without_effect(ax: Axes, rows: pd.DataFrame, looks: dict[str, Look], zero_advantage: float) -> None:
    none, nearly, y = rows["zero_gradient"], rows["near_zero"] - rows["zero_gradient"], range(len(rows))
    colours = [look.colour for look in looks.values()]
    ax.barh(y, none, color=colours, height=0.6)
    ax.barh(y, nearly, left=none, color=colours, height=0.6, alpha=0.4)
    ax.axvline(zero_advantage, color=style.MUTED, lw=1, ls="--")
    ax.set(title="Samples without effect", xlabel="no gradient, pale: hardly any\n┆ advantage 0")


def _used(ax: Axes, rows: pd.DataFrame, looks: dict[str, Look], old: float) -> None:
    for y, (look, effective, from_old) in enumerate(
        zip(looks.values(), rows["ess_eff"], rows["old_share"], strict=True)
    ):
        ax.plot(effective, y, "o", color=look.colour, ms=6)
        ax.plot(from_old, y, "o", color=look.colour, ms=6, mfc="white", mew=1.6)
    ax.set(title="Samples used", xlabel="● effective")
    if old:
        ax.axvline(old, color=style.MUTED, lw=1, ls="--", zorder=1)
        ax.set_xlabel("● effective  ┆ old samples\n○ gradient from old ones")
