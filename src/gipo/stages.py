"""The folder of a study, and the manifest that each stage of the workflow leaves there for the files that it makes.

A stage reads what earlier ones made and makes files of its own: tables, weights, gridworld, scorecard, figures, report.
Nothing else opens these files: a `StudyFolder` reads their bytes once, checks them against the manifest that names
them, and remembers what was read, which goes into the manifest of what is made of it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from gipo.errors import GipoError, shortened
from gipo.files import atomic_path
from gipo.manifest import FileFacts, FileName, Manifest, Sha256
from gipo.tables import Schema, parse_table


class StageManifest(Manifest):
    """Files of one stage; their paths are relative to the folder of the study."""

    stage: FileName
    """See `stage_of`."""
    inputs: dict[FileName, Sha256]
    """All that was read, with the digest of its manifest: a stage of the same study (``gridworld``, ``sweeps/lag``)
    or of another (``paper/scorecard``); tables were made from runs (by their ids) and ``baselines/<task>-<digest>``."""


BRANCHES = "branches"
"""Stage with what world models foretold (`gipo.analysis.branches`)."""
BRANCHES_FILE = f"{BRANCHES}/branches.parquet"

GRIDS = ("tables", "sweeps/", BRANCHES)
"""Beginnings of the stages that were made from runs."""

VIDEOS = "videos"
"""Stage that films final policies (`gipo.videos`)."""
VIDEO_INDEX = f"{VIDEOS}/videos.json"
"""``films``, a list of what each video shows, and ``note``: why there is none, else empty."""


def stage_of(name: str) -> str:
    """Stage that makes a file, by its path relative to the folder of the study.

    ``figures/fig4`` of ``figures/fig4.csv``, ``sweeps/lag`` of ``sweeps/lag/runs.parquet``, ``tables`` of
    ``tables/runs.parquet``, ``weights`` of ``weights.csv``.
    """
    folder, _, file = name.rpartition("/")
    return str(PurePosixPath(folder, PurePosixPath(file).stem)) if folder in {"", "figures"} else folder


def csv_bytes(table: pd.DataFrame, digits: int) -> bytes:
    """A table as the content of a CSV; floats have that many significant digits."""
    return table.to_csv(index=False, float_format=f"%.{digits}g").encode()


@dataclass(frozen=True)
class StudyFolder:
    """Derived files of a study, ``results/<scale>`` or a published ``reports/<scale>``.

    Attributes:
        path: the folder.
        read: manifests of the stages that were read from it so far.
    """

    path: Path
    read: dict[str, StageManifest] = field(default_factory=dict)

    def manifest_path(self, stage: str) -> Path:
        """Where the manifest of a stage lies."""
        return self.path / "manifests" / f"{stage}.json"

    def manifest_of(self, stage: str) -> StageManifest:
        """Manifest of a stage.

        Raises:
            GipoError: it is missing or damaged, or the stage was made from others than those that are here.
        """
        if stage not in self.read:
            manifest = self._manifest(stage)
            if not stage.startswith(GRIDS):
                for name in manifest.inputs:
                    self._check_input(manifest, name)
            self.read[stage] = manifest
        return self.read[stage]

    def has(self, stage: str) -> bool:
        """Whether a stage is finished: its manifest is whole, it was made from what is here, and its files exist."""
        try:
            return all((self.path / name).is_file() for name in self.manifest_of(stage).files)
        except GipoError:
            return False

    def has_sweep(self, name: str) -> bool:
        """Whether anything is there of the tables of a sweep, be it whole or damaged."""
        return (self.path / "sweeps" / name).is_dir() or self.manifest_path(f"sweeps/{name}").exists()

    def read_bytes(self, name: str) -> bytes:
        """Content of a file, checked against the manifest of its stage.

        Args:
            name: path relative to the folder.

        Raises:
            GipoError: it is missing, no manifest names it, or it is not the file that the manifest names.
        """
        if not (self.path / name).is_file():
            raise self._refused(f"{self.path / name} is missing")
        if not self.manifest_path(stage_of(name)).exists():
            raise self._refused(f"{self.path / name} stands in no manifest")
        manifest = self.manifest_of(stage_of(name))
        try:
            return manifest.read_bytes(self.path, name)
        except GipoError as error:
            raise self._refused(str(error)) from error

    def read_csv(self, name: str, columns: Sequence[str] = (), **options: Any) -> pd.DataFrame:
        """The named columns of a CSV, or all where none is named; `options` are passed on to `pandas.read_csv`.

        Raises:
            GipoError: as `read_bytes`, or a column is missing.
        """
        content = self.read_bytes(name)
        try:
            rows = pd.read_csv(io.BytesIO(content), **options)
        except ValueError as error:
            raise self._refused(f"{self.path / name} is no CSV: {shortened(str(error))}") from error
        if missing := [column for column in columns if column not in rows]:
            raise self._refused(f"{self.path / name}: column {missing[0]!r} is missing")
        return rows[list(columns)] if columns else rows

    def read_table(self, name: str, schema: Schema) -> pd.DataFrame:
        """The declared columns of a parquet file.

        Raises:
            GipoError: as `read_bytes`, or a column is not as declared.
        """
        content = self.read_bytes(name)
        try:
            return parse_table(content, self.path / name, schema)
        except GipoError as error:
            raise self._refused(str(error)) from error

    def write_stage(self, stage: str, files: Mapping[str, bytes], inputs: Mapping[str, Sha256] | None = None) -> None:
        """Write all files of a stage, each atomically, and its manifest after them.

        Args:
            stage: that of all the files, see `stage_of`.
            files: content by path relative to the folder.
            inputs: what was read to make them; see `inputs_from`.

        Raises:
            GipoError: the operating system refused.
        """
        if strangers := [name for name in files if stage_of(name) != stage]:
            raise ValueError(f"{strangers[0]} is no file of stage {stage}")
        for name, content in files.items():
            with atomic_path(self.path / name) as path:
                path.write_bytes(content)
        facts = {name: FileFacts.of(content, name) for name, content in files.items()}
        manifest = StageManifest(stage=stage, files=facts, inputs=dict(inputs or {}))
        manifest.write(self.manifest_path(stage))
        self.read.pop(stage, None)

    def inputs_from(self, sources: Iterable[StudyFolder]) -> dict[str, Sha256]:
        """All that was read from folders, as inputs of a stage of this one."""
        return {
            stage if source.path == self.path else f"{source.path.name}/{stage}": manifest.digest()
            for source in sources
            for stage, manifest in source.read.items()
        }

    def input_manifest(self, name: str) -> tuple[StudyFolder, str]:
        """Folder and stage of an input that is a stage: one of this study, or of another one beside it."""
        study, _, stage = name.partition("/")
        if not stage or study in {"figures", "sweeps"}:
            return StudyFolder(self.path), name
        return StudyFolder(self.path.parent / study), stage

    def _manifest(self, stage: str) -> StageManifest:
        path = self.manifest_path(stage)
        try:
            manifest = StageManifest.read(path)
        except GipoError as error:
            raise self._refused(str(error)) from error
        if manifest.stage != stage:
            raise self._refused(f"{path} is the manifest of another stage, {manifest.stage}")
        return manifest

    def _check_input(self, manifest: StageManifest, name: str) -> None:
        """Refuse a stage that was made from another version of an input than the one that is here."""
        study, stage = self.input_manifest(name)
        if study.manifest_path(stage).exists() and study._manifest(stage).digest() != manifest.inputs[name]:
            raise self._refused(f"{self.path / manifest.stage} was made from another {name} than the one that is here")

    def _refused(self, what: str) -> GipoError:
        """An error that says how the files of this folder come back."""
        return GipoError(f"{what}: {self.remedy}")

    @property
    def remedy(self) -> str:
        """The way to get the files of this folder again."""
        folder = self.path.resolve()
        match folder.parent.name:
            case "results":
                return f"`make reproduce SCALE={folder.name}` makes it again"
            case "reports":
                return f"git checkout -- reports/{folder.name} brings it back"
        return f"copy {self.path} again, from where it was made"
