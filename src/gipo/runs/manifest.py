"""The manifest of a finished run: which files belong to it, what they are of, and on what machines they were made."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gipo.config import NonNegativeInt, PositiveInt, Section
from gipo.manifest import Manifest, Sha256
from gipo.runs.provenance import Time
from gipo.runs.spec import RunSpec


class Attempt(Section):
    """One start of a run: from which update on, on what machine, with which libraries."""

    started_at: Time
    from_update: NonNegativeInt
    """Updates that were made before, by earlier attempts."""
    numeric_class: Annotated[str, Field(min_length=1, max_length=600)]
    """Attempts of one class give the same bytes, see `gipo.runs.numerics`."""
    device: str
    """Where the learner ran: ``cpu``, or the name of the GPU."""
    host: str
    cpu: str
    cores: PositiveInt
    python: str
    libraries: dict[str, str]
    git_commit: str | None
    git_dirty: bool | None


class Receipt(Manifest):
    """Written when runs have been recorded in MLflow; it has no files."""

    runs: list[str]
    """Their ids; none where the server was away."""


class RunManifest(Manifest):
    """``manifest.json`` in a run's directory. It is written last: where it is, the run is finished."""

    run_id: str
    spec_digest: Sha256
    code_digest: Sha256
    """Of all modules that trained it, see `gipo.runs.code.training_modules`."""
    attempts: Annotated[list[Attempt], Field(min_length=1)]
    """In the order of their start. One that died before its first checkpoint left nothing, and is none of them."""

    def is_of(self, spec: RunSpec) -> bool:
        """Whether it is the manifest of this run."""
        return (self.run_id, self.spec_digest) == (spec.run_id, spec.digest())

    @property
    def numeric_classes(self) -> list[str]:
        """The distinct classes of the attempts, in the order in which they came."""
        return list(dict.fromkeys(attempt.numeric_class for attempt in self.attempts))
