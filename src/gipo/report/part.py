"""A study as the report is told of it: where its results lie, and which there are to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from gipo import suites
from gipo.analysis.collect import Tables
from gipo.runs.directory import RunDirectory
from gipo.stages import StudyFolder


@dataclass(frozen=True)
class Part:
    """One study of the page.

    Attributes:
        name: of its scale.
        title: one line.
        suite: name of its benchmark.
        folder: with ``tables/``, ``scorecard.csv``, ``figures/`` and, where the study has sweeps, ``sweeps/``.
        figures: those it has, in the order of the page.
        run_ids: of all its training runs, whether finished or not.
        verdicts: whether its scale gives any.
        is_partial: whether the folder holds less than all runs, see `gipo.report.partial`.
    """

    name: str
    title: str
    suite: str
    folder: StudyFolder
    figures: Sequence[str]
    run_ids: Sequence[str]
    verdicts: bool = True
    is_partial: bool = False

    @property
    def is_finished(self) -> bool:
        """Whether all runs are there and judged; single figures may be missing.

        Tables of other runs than the study's, as its config was when they were made, do not count.

        Raises:
            GipoError: a table is damaged.
        """
        if not (self.folder.has("scorecard") and self.folder.has("tables")):
            return False
        tables = [Tables.read(self.folder).runs, *self.sweeps().values()]
        return {run_id for runs in tables for run_id in runs["run_id"]} == set(self.run_ids)

    def sweeps(self) -> dict[str, pd.DataFrame]:
        """Tables of the runs of each sweep that the study has.

        Raises:
            GipoError: a table is missing or damaged.
        """
        names = [name for name in suites.get(self.suite).sweeps if self.folder.has_sweep(name)]
        return {name: Tables.read(self.folder, f"sweeps/{name}").runs for name in names}

    def progress(self, runs: Path) -> dict[str, str]:
        """How far a study is that has not finished, in words; `runs` is the folder of all runs."""
        finished = sum(RunDirectory(runs / run_id).finished for run_id in self.run_ids)
        state = "not finished yet" if finished else "not run yet"
        state += f", {finished:,} of {len(self.run_ids):,} training runs are there"
        return {"name": self.name, "title": self.title, "suite": suites.get(self.suite).title, "state": state}
