"""Where on the page stands what a claim rests on: its figure with the data behind it, and its runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from gipo.analysis import methods
from gipo.analysis.claims import Claim
from gipo.analysis.verdicts import MEASURED

ALL_RUNS = "runs"
"""Id of the table of all runs."""


def run_anchor(regime: str, method: str) -> str:
    """Id of the runs of a method in a regime; `method` is a name of `gipo.analysis.methods`."""
    return "runs-" + re.sub(r"[^A-Za-z0-9.-]+", "-", f"{regime}-{methods.read(method).label}")


def figure_anchor(part: str, figure: str, several: bool) -> str:
    """Id of a figure of a part; `several`: whether the page has more than one part."""
    return f"{part}-{figure}" if several else figure


def of_claim(claim: Claim, views: Mapping[str, Mapping[str, Any]], several: bool) -> dict[str, Any]:
    """Links of a claim.

    Args:
        claim: the claim.
        views: parts of the page by name, each with ``suite``, ``figures`` and ``every_run``.
        several: whether the page has more than one part.

    Returns:
        ``figure``, an id or empty, and ``runs``, words to id: of the groups of runs that the claim names, or of all.
    """
    suite = claim.measure.suite
    own = {name: view for name, view in views.items() if suite in {None, view["suite"].name}}
    shown = [name for name, view in own.items() if claim.figure in [figure["name"] for figure in view["figures"]]]
    runs = {words: run_anchor(*pair) for view in own.values() for words, pair in _runs(claim, view["every_run"])}
    return {
        "figure": figure_anchor(shown[0], str(claim.figure), several) if shown else "",
        "runs": runs or ({"all": ALL_RUNS} if claim.kind == MEASURED else {}),
    }


def _runs(claim: Claim, runs: pd.DataFrame) -> list[tuple[str, tuple[str, str]]]:
    """Regime and method of the groups of runs behind a claim, those of all methods left out, with words for them."""
    found = []
    for cell in [cell for cell in claim.measure.cells() if cell.method]:
        names = methods.find(runs.loc[runs["regime"] == cell.regime, "method"], cell.label)
        found += [(f"{cell.regime} {methods.read(name).label}", (cell.regime, name)) for name in names]
    return found
