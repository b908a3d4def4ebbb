"""Success rates on MetaWorld over training, beside the returns of figure 2."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from gipo import suites
from gipo.figures import words
from gipo.figures.learning import draw_success, success_table
from gipo.stages import StudyFolder

TITLE = "Success over training"
SUBTITLE = "Share of evaluation episodes with a success, on every task, fresh and stale"

METAWORLD = suites.get("metaworld")


def table(sources: StudyFolder, resamples: int = 2000) -> pd.DataFrame:
    """See `gipo.figures.learning.success_table`."""
    return success_table(sources, resamples)


def draw(table: pd.DataFrame) -> Figure:
    """A column of panels per task, a row per regime."""
    return draw_success(table, METAWORLD, {"update": "learner updates"})


def caption(table: pd.DataFrame) -> str:
    """Say what is shown, n, interval method."""
    return (
        f"Share of evaluation episodes in which the task was solved at some step, {words.runs(table)} per method and "
        "regime: mean over seeds, band: its pointwise interval. A return can rise without a success, so a study whose "
        "curves stay at 0 here compares how near policies come to solving a task. "
        f"{words.intervals(table)} The paper shows returns."
    )
