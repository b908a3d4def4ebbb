"""Finished runs: the only reader of their results. Bytes are read once, checked against the manifest, then parsed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from pydantic import ValidationError

from gipo.config import Section, explain
from gipo.errors import GipoError
from gipo.runs.directory import RunDirectory
from gipo.runs.manifest import RunManifest
from gipo.runs.provenance import Provenance
from gipo.runs.spec import CHECKED, RunSpec
from gipo.tables import RUN_EVALUATION, RUN_IMAGINATION, RUN_METRICS, STATISTICS, Schema, parse_table

_MENDS = "make reproduce, or training it again, restores it"
_ANEW = "delete that directory, then train the run again"
_MAY_BE_NAN = {"explained_variance", "near_zero_old", "near_zero_old_code", "old_share", "ess_eff_old"}
"""Statistics that are undefined where a batch has no old sample, or targets that do not vary (`gipo.diagnostics`)."""

_Content = TypeVar("_Content", bound=Section)


@dataclass(frozen=True)
class FinishedRun:
    """A run's directory, spec, provenance and manifest; its tables are read when asked for."""

    directory: RunDirectory
    spec: RunSpec
    provenance: Provenance
    manifest: RunManifest

    @classmethod
    def read(cls, path: Path) -> FinishedRun:
        """Read the run in the directory `path`, which has the run's name.

        Raises:
            GipoError: as `anywhere`, or the directory is named after another run.
        """
        run = cls.anywhere(path)
        if (name := Path(run.manifest.run_id).name) != path.name:
            raise GipoError(
                f"{path} holds the results of another run, {name}: name it so if it was moved here, else {_ANEW}"
            )
        return run

    @classmethod
    def anywhere(cls, path: Path) -> FinishedRun:
        """Read the run in the directory `path`, whatever its name.

        Raises:
            GipoError: The directory is missing, the run is unfinished, or manifest, spec or provenance is damaged or
                of another run than the others.
        """
        directory = RunDirectory(path)
        if not path.is_dir():
            raise GipoError(f"missing results directory {path}")
        if not directory.finished:
            raise GipoError(f"run {path} is unfinished: it has no manifest.json; train it to its end first")
        manifest = _manifest(directory)
        spec = _parse(directory, manifest, directory.spec, RunSpec)
        if not manifest.is_of(spec):
            own = manifest.run_id
            raise GipoError(f"{directory.spec} describes another run than the manifest beside it, {own}: {_ANEW}")
        run = cls(directory, spec, _parse(directory, manifest, directory.provenance, Provenance), manifest)
        run._check_provenance()
        return run

    def metrics(self) -> pd.DataFrame:
        """One row per logged update, see `gipo.tables`.

        Raises:
            GipoError: it is damaged, or no table of this run: rows are missing, doubled or foreign.
        """
        path, every = self.directory.metrics, self.spec.diagnostics.every
        table = self._table(path, RUN_METRICS)
        self._check(
            list(table["update"]) == self.spec.learner.due(every), path, f"has not one row for every {every} updates"
        )
        undefined = {name for name in STATISTICS if table[name].isna().any()} - _MAY_BE_NAN
        self._check(not undefined, path, f"has no number in some rows of {sorted(undefined)}")
        self._check_steps(path, table)
        return table

    def evaluation(self) -> pd.DataFrame:
        """One row per evaluation episode, see `gipo.tables`.

        Raises:
            GipoError: it is damaged, or no table of this run: rows are missing, doubled or foreign.
        """
        path, settings = self.directory.evaluation, self.spec.evaluation
        table = self._table(path, RUN_EVALUATION)
        updates = [0, *self.spec.learner.due(settings.every)]
        due = [(update, number) for update in updates for number in range(settings.episodes)]
        found = list(zip(table["update"], table["episode"], strict=True))
        self._check(found == due, path, f"has not {settings.episodes} episodes for every {settings.every} updates")
        self._check(bool(np.isfinite(table["return"]).all()), path, "has no number in some returns")
        self._check_steps(path, table)
        return table

    def check(self) -> None:
        """Check every file that belongs to the run.

        Raises:
            GipoError: one of them is missing, damaged, or not of this run.
        """
        self.check_tables()
        for name in self.manifest.files:
            self.read_bytes(name)

    def imagination(self) -> pd.DataFrame:
        """One row per checked branch and step at which it is compared, see `gipo.tables`; of a run with a world model.

        Raises:
            GipoError: it is damaged, or no table of this run: rows are missing, doubled or foreign.
        """
        path, settings = self.directory.imagination, self.spec.imagination
        if settings is None:
            raise GipoError(f"run {self.spec.run_id} has no world model")
        table = self._table(path, RUN_IMAGINATION)
        due = self.spec.learner.due(self.spec.evaluation.every)
        updates = [update for update in due if update >= table["update"].min()]  # from the first fit on
        found = list(zip(table["update"], table["branch"], table["horizon"], strict=True))
        rows = [
            (u, branch, step) for u in updates for branch in range(settings.branches) for step in range(1, CHECKED + 1)
        ]
        self._check(
            bool(updates) and found == rows, path, "has not every branch for every evaluation since a first fit"
        )
        self._check(not table.drop(columns="kept").isna().to_numpy().any(), path, "has no number in some rows")
        self._check_steps(path, table)
        return table

    def check_tables(self) -> None:
        """Read every table of the run.

        Raises:
            GipoError: one is missing, damaged, or not of this run.
        """
        self.metrics(), self.evaluation()
        if self.spec.imagination:
            self.imagination()

    def check_code(self, today: str) -> None:
        """Check that the code of today made the run.

        Args:
            today: `gipo.runs.code.code_of` its spec.

        Raises:
            GipoError: other code made it.
        """
        if self.manifest.code_digest != today:
            commit = (self.provenance.git_commit or "an unknown commit")[:12]
            raise GipoError(
                f"{self.directory.path} was made by other code than today's, of commit {commit}: "
                "make reproduce trains it again; or check out that commit"
            )

    def read_bytes(self, name: str) -> bytes:
        """Content of one of the run's files.

        Raises:
            GipoError: it is missing or damaged, or it is none of them.
        """
        return _read_bytes(self.directory, self.manifest, name)

    def _table(self, path: Path, schema: Schema) -> pd.DataFrame:
        return parse_table(self.read_bytes(path.name), path, schema)

    def _check_provenance(self) -> None:
        made, path = self.provenance, self.directory.provenance
        updates = self.spec.learner.updates
        self._check(made.updates == updates, path, f"is of {made.updates:,} updates, not of all {updates:,}")
        self._check(made.code_digest == self.manifest.code_digest, path, "names other code than the manifest")
        self._check(made.interruptions == len(self.manifest.attempts) - 1, path, "counts other attempts")

    def _check_steps(self, path: Path, table: pd.DataFrame) -> None:
        """Env steps never fall; of the asynchronous engine they are what a replay says that may have been lost."""
        steps = [0, *table["env_steps"], self.provenance.env_steps]
        self._check(bool(self.spec.asynchronous) or steps == sorted(steps), path, "has env steps of another run")

    def _check(self, holds: bool, path: Path, problem: str) -> None:
        if not holds:
            raise GipoError(f"{path} {problem}; training does not write that: {_ANEW}")


def _manifest(directory: RunDirectory) -> RunManifest:
    """Manifest of a run, which names the files that every run has."""
    try:
        manifest = RunManifest.read(directory.manifest)
    except GipoError as error:
        raise GipoError(f"{error}; {_MENDS}") from error
    if missing := sorted({path.name for path in directory.results} - manifest.files.keys()):
        raise GipoError(f"{directory.manifest} does not name {missing[0]}: {_ANEW}")
    return manifest


def _read_bytes(directory: RunDirectory, manifest: RunManifest, name: str) -> bytes:
    try:
        return manifest.read_bytes(directory.path, name)
    except GipoError as error:
        raise GipoError(f"{error}; {_MENDS}") from error


def _parse(directory: RunDirectory, manifest: RunManifest, path: Path, kind: type[_Content]) -> _Content:
    """Content of a JSON file."""
    content = _read_bytes(directory, manifest, path.name)
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise GipoError(f"{path}: {explain(error)}; {_ANEW}") from error
