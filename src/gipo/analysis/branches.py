"""Branches of the world models of a study beside the simulator's, in one tidy table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from gipo.analysis.collect import RUN, identity
from gipo.runs.finished import FinishedRun
from gipo.stages import BRANCHES, BRANCHES_FILE, StudyFolder
from gipo.tables import RUN_IMAGINATION, Schema, table_bytes

SCHEMA: Schema = RUN | RUN_IMAGINATION
"""A row per run with a world model, evaluation, branch and step of it."""


def collect(run_dirs: Iterable[Path], study: StudyFolder) -> None:
    """Write the table of finished runs with a world model; equal runs give equal bytes, in whatever order.

    Raises:
        GipoError: a run is missing, unfinished or unreadable, or has no world model.
    """
    runs = sorted(map(FinishedRun.read, set(run_dirs)), key=lambda run: run.spec.run_id)
    rows = pd.concat([run.imagination().assign(**identity(run.spec)) for run in runs])
    inputs = {run.spec.run_id: run.manifest.digest() for run in runs}
    study.write_stage(BRANCHES, {BRANCHES_FILE: table_bytes(rows, SCHEMA)}, inputs)


def read(study: StudyFolder) -> pd.DataFrame:
    """That table.

    Raises:
        GipoError: it is missing, or not as it was made.
    """
    return study.read_table(BRANCHES_FILE, SCHEMA)
