"""The directory of one run: what lies where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from gipo.config import explain
from gipo.errors import GipoError
from gipo.files import read_json, write_json
from gipo.runs.spec import RunSpec


@dataclass(frozen=True)
class RunDirectory:
    """Paths of a run. Checkpoint, log and progress are no results: no rule of the workflow declares or deletes them."""

    path: Path

    @property
    def spec(self) -> Path:
        """The RunSpec, JSON."""
        return self.path / "spec.json"

    @property
    def metrics(self) -> Path:
        """Logged updates, parquet (`gipo.tables.RUN_METRICS`)."""
        return self.path / "metrics.parquet"

    @property
    def evaluation(self) -> Path:
        """Evaluation episodes, parquet (`gipo.tables.RUN_EVALUATION`)."""
        return self.path / "evaluation.parquet"

    @property
    def policy(self) -> Path:
        """Final weights of the model, a torch state dict."""
        return self.path / "policy.pt"

    @property
    def provenance(self) -> Path:
        """By what code the run was made, when, and what it cost, JSON (`gipo.runs.provenance.Provenance`)."""
        return self.path / "provenance.json"

    @property
    def manifest(self) -> Path:
        """Digests of the results, JSON (`gipo.runs.manifest.RunManifest`); written last: then all are written."""
        return self.path / "manifest.json"

    @property
    def kept(self) -> Path:
        """Folder with an independent copy of the results and their manifest (`gipo.runs.kept`)."""
        return self.path / "kept"

    @property
    def checkpoint(self) -> Path:
        """State of an unfinished run."""
        return self.path / "checkpoint.pt"

    @property
    def scratch(self) -> Path:
        """Folder in which the processes of an unfinished asynchronous run keep the replay and snapshots."""
        return self.path / "scratch"

    @property
    def engine(self) -> Path:
        """Counts of the asynchronous engine, over all attempts, JSON."""
        return self.path / "engine.json"

    @property
    def imagination(self) -> Path:
        """Branches of the world model compared with the simulator, parquet (`gipo.tables.RUN_IMAGINATION`)."""
        return self.path / "imagination.parquet"

    @property
    def log(self) -> Path:
        """Log of the run, the lines of all attempts."""
        return self.path / "run.log"

    @property
    def progress(self) -> Path:
        """How far the latest attempt is (`gipo.runs.progress`), JSON; stays when the run is finished."""
        return self.path / "progress.json"

    @property
    def results(self) -> list[Path]:
        """Files that every finished run has beside its manifest."""
        return [self.spec, self.metrics, self.evaluation, self.policy, self.provenance]

    @property
    def of_some(self) -> list[Path]:
        """Results that only some runs have."""
        return [self.engine, self.imagination]

    @property
    def beside(self) -> list[Path]:
        """All that may lie beside the results and is none; ``errors.log`` is the workflow's."""
        return [self.kept, self.checkpoint, self.scratch, self.log, self.progress, self.path / "errors.log"]

    @property
    def finished(self) -> bool:
        """All results are written."""
        return self.manifest.exists()

    def clear_results(self) -> None:
        """Remove results and manifest, the manifest first: without it they are none.

        Raises:
            GipoError: one cannot be removed.
        """
        for path in (self.manifest, *self.results, *self.of_some):
            remove(path)

    def write_spec(self, spec: RunSpec) -> None:
        """Write the spec into a new directory, or over a damaged one."""
        write_json(self.spec, spec.model_dump(mode="json"))

    def read_spec(self) -> RunSpec:
        """The spec of the run in this directory.

        Raises:
            GipoError: the file is missing, damaged, or not a RunSpec.
        """
        try:
            return RunSpec.model_validate(read_json(self.spec))
        except ValidationError as error:
            raise GipoError(f"{self.spec}: {explain(error)}") from error


def remove(path: Path) -> None:
    """Remove a file of a run, if it is there.

    Raises:
        GipoError: the operating system refuses, or it is a folder.
    """
    try:
        path.unlink(missing_ok=True)
    except IsADirectoryError as error:
        raise GipoError(f"{path} is a folder, where a file of the run belongs: delete it") from error
    except OSError as error:
        raise GipoError(f"cannot remove {path}: {error.strerror}") from error
