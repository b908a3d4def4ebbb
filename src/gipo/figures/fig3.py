"""Figure 3: success rates on LIBERO over training."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from gipo import suites
from gipo.figures import words
from gipo.figures.learning import draw_success, success_table
from gipo.stages import StudyFolder

TITLE = "Figure 3"
SUBTITLE = "LIBERO, success rate on every suite over training, fresh and stale"

LIBERO = suites.get("libero")
AXES = {"env_steps": "env steps (chunks)", "update": "learner updates"}
"""Horizontal axes: column to label."""


def table(sources: StudyFolder, resamples: int = 2000) -> pd.DataFrame:
    """See `gipo.figures.learning.success_table`."""
    return success_table(sources, resamples)


def draw(table: pd.DataFrame) -> Figure:
    """A column of panels per suite; a row per regime against env steps, then a row per regime against updates."""
    return draw_success(table, LIBERO, AXES)


def caption(table: pd.DataFrame) -> str:
    """Say what is shown, n, interval method."""
    count = len(table[["task", "regime", "method"]].drop_duplicates())
    return (
        f"Success rate of evaluations over training, {count} curves, {words.runs(table)} per method and regime: mean "
        "over seeds, band: its pointwise interval. Above against env steps, a chunk of up to eight actions each, below "
        "against learner updates; where a regime is a number of rollout actors, how many steps come with an update is "
        f"measured and not set. {words.intervals(table)} The paper's figure 3 shows four suites, two regimes and three "
        "methods, close when fresh and GIPO > SAPO > PPO when stale [P]."
    )
