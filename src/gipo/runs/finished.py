"""Reading a run that training has finished."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from gipo.errors import GipoError
from gipo.files import read_json
from gipo.runs.directory import RunDirectory
from gipo.runs.spec import RunSpec
from gipo.tables import PROVENANCE, RUN_EVALUATION, RUN_METRICS, read_table


@dataclass(frozen=True)
class FinishedRun:
    """A run's directory, spec and provenance; its tables are read when asked for."""

    directory: RunDirectory
    spec: RunSpec
    provenance: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> FinishedRun:
        """Read the run in the directory `path`.

        Raises:
            GipoError: The directory is missing, the run is unfinished, or one of its JSON files is corrupt or not
                of this run.
        """
        directory = RunDirectory(path)
        if not path.is_dir():
            raise GipoError(f"missing results directory {path}")
        if not directory.finished:
            raise GipoError(f"run {path} is unfinished: it has no provenance.json; train it to its end first")
        spec = directory.read_spec()
        if (name := Path(spec.run_id).name) != path.name:
            raise GipoError(f"{directory.spec} was changed: it describes {name}, expected {path.name}")
        provenance = read_json(directory.provenance)
        if missing := sorted(PROVENANCE.keys() - provenance.keys()):
            raise GipoError(f"{directory.provenance} lacks {missing}")
        return cls(directory, spec, provenance)

    def metrics(self) -> pd.DataFrame:
        """One row per logged update, see `gipo.tables`."""
        return read_table(self.directory.metrics, RUN_METRICS)

    def evaluation(self) -> pd.DataFrame:
        """One row per evaluation episode, see `gipo.tables`."""
        return read_table(self.directory.evaluation, RUN_EVALUATION)
