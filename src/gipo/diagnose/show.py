"""A diagnosis on the terminal, in lines of at most 80 letters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gipo.diagnose.batch import Batch
from gipo.errors import shortened

MULTIPLIERS = {
    "multiplier_mean": "mean",
    "multiplier_q05": "5 %",
    "multiplier_q50": "median",
    "multiplier_q95": "95 %",
}
EFFECTIVE = {"ess_eff": "ESS %"}
SHARES = {"dead": "dead", "suppressed": "suppressed", "near_zero": "near zero", "zero_gradient": "no gradient"}
"""Columns of the tables, with their heads."""

Numbers = Mapping[str, float]


def show(path: Path, batch: Batch, numbers: Numbers, table: pd.DataFrame) -> None:
    """Print how stale a batch is, and two tables with a row for each objective.

    Args:
        path: of the batch.
        batch: the batch.
        numbers: as `gipo.diagnose.table.of_batch` returns them.
        table: as `gipo.diagnose.table.of_objectives` returns it.
    """
    console = Console(highlight=False, width=100)
    for head, words in _of_batch(path, batch, numbers).items():
        console.print(f"{head:9} {words}", soft_wrap=True, markup=False)
    rows, has_old = table[table["left_out"] == ""], numbers.get("old_frac", 0) > 0
    console.print("\nMultiplier m of A ∇log π, and effective samples", style="bold")
    console.print(_table(rows, MULTIPLIERS, EFFECTIVE | ({"ess_eff_old": "of old"} if has_old else {})))
    console.print(f"\n% of the samples{', and of the gradient from old ones' if has_old else ''}", style="bold")
    console.print(_table(rows, {}, SHARES | ({"old_share": "from old"} if has_old else {})))
    for _, row in table[table["left_out"] != ""].iterrows():
        console.print(f"left out: {row['method']} ({row['left_out']})", soft_wrap=True, markup=False)


def _of_batch(path: Path, batch: Batch, numbers: Numbers) -> dict[str, str]:
    """Lines on what was read and how stale it is, by their heads."""
    shown = {name: _number(number) for name, number in numbers.items()}
    factor = _number(math.exp(min(numbers["d95"], 700)))  # below the largest float
    masked = batch.samples.log_ratio.numel() - numbers["samples"]
    found = {
        "batch": f"{path}: {numbers['samples']:,.0f} samples" + f", {masked:,.0f} more are masked" * bool(masked),
        "read": ", ".join(f"{name} {list(shape)}" for name, shape in batch.shapes.items()),
        "not used": shortened(", ".join(batch.unused), 200),
        "advantage": f"0 for {percent(numbers['zero_advantage'])} % of the samples",
        "D0.95": f"{shown['d95']} nats: 95 % of the ratios are within a factor of {factor}",
        "ratio": f"{shown['rho_q05']} to {shown['rho_q95']} (5 % to 95 %), median {shown['rho_q50']}; "
        f"{percent(numbers['outside_clip'])} % outside 0.8 to 1.2",
        "gap": "not known, so that nothing is said of old samples",
    }
    if "old_gap" in numbers:
        low, median, high, old = (f"{numbers[name]:,.6g}" for name in ("gap_q05", "gap_q50", "gap_q95", "old_gap"))
        found["gap"] = f"{low} to {high} updates (5 % to 95 %), median {median}"
        found["old"] = f"{percent(numbers['old_frac'])} % of the samples: a gap of {old} updates or more (--old-gap)"
    return {head: words for head, words in found.items() if words}


def _table(rows: pd.DataFrame, plain: Mapping[str, str], in_percent: Mapping[str, str]) -> Table:
    """Columns of numbers, then of shares, with their heads."""
    table = Table("objective", box=SIMPLE, show_edge=False, pad_edge=False, padding=(0, 1), collapse_padding=True)
    for head in (*plain.values(), *in_percent.values()):
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows.to_dict("records"):
        cells = [_number(row[name]) for name in plain] + [percent(row[name]) for name in in_percent]
        table.add_row(Text(row["method"]), *cells)
    return table


def _number(number: float) -> str:
    """Three digits; two of a number that needs an exponent, and all before the point of one that is just too large."""
    text = f"{number:.3g}"
    if "e" not in text:
        return text
    return f"{number:,.0f}" if 1 < abs(number) < 1e5 else f"{number:.1e}"


def percent(share: float) -> str:
    """A share in %, such that only 0 and 1 are written as 0 and 100; ``–`` where it is NaN."""
    if math.isnan(share):
        return "–"
    if share in (0, 1):
        return f"{100 * share:.0f}"
    return "<0.1" if share < 5e-4 else ">99.9" if share >= 0.9995 else f"{100 * share:.1f}"
