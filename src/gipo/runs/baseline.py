"""The two reference policies on one task as they lie on the disk: episodes, and a manifest that binds them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from gipo.config import Label, PositiveInt
from gipo.errors import GipoError
from gipo.manifest import Manifest, Sha256
from gipo.runs.directory import remove
from gipo.tables import BASELINES, parse_table, write_table

POLICIES = ("random", "expert")
EPISODES, MANIFEST = "episodes.parquet", "manifest.json"


class BaselineManifest(Manifest):
    """``manifest.json`` beside the episodes, written last."""

    task: Label
    episodes: PositiveInt
    """Episodes of each policy."""
    spec_digest: Sha256
    """Of the `gipo.study.BaselineSpec`; its first 8 digits end the directory's name."""
    code_digest: Sha256
    """Of `gipo.runs.code.baseline_modules`."""

    @property
    def baseline_id(self) -> str:
        """``task-digest``."""
        return f"{self.task}-{self.spec_digest[:8]}"


@dataclass(frozen=True)
class Baseline:
    """Directory of a measured baseline and its manifest."""

    path: Path
    manifest: BaselineManifest

    @classmethod
    def write(
        cls, path: Path, table: pd.DataFrame, *, task: str, episodes: int, spec_digest: str, code_digest: str
    ) -> None:
        """Write the episodes (`gipo.tables.BASELINES`), and their manifest last; the others see `BaselineManifest`."""
        remove(path / MANIFEST)
        write_table(path / EPISODES, table, BASELINES)
        files = BaselineManifest.facts(path, [EPISODES])
        BaselineManifest(
            files=files, task=task, episodes=episodes, spec_digest=spec_digest, code_digest=code_digest
        ).write(path / MANIFEST)

    @classmethod
    def read(cls, path: Path) -> Baseline:
        """Read the baseline in the directory `path`.

        Raises:
            GipoError: it is missing, or its manifest is damaged or another baseline's.
        """
        if not (path / MANIFEST).exists():
            raise GipoError(f"baseline {path} is missing or unfinished: it has no {MANIFEST}; {_AGAIN}")
        try:
            manifest = BaselineManifest.read(path / MANIFEST)
        except GipoError as error:
            raise GipoError(f"{error}; {_AGAIN}") from error
        if manifest.baseline_id != path.name:
            raise GipoError(f"{path} holds another baseline, {manifest.baseline_id}; {_AGAIN}")
        return cls(path, manifest)

    def episodes(self) -> pd.DataFrame:
        """One row per policy and episode, see `gipo.tables`.

        Raises:
            GipoError: the table is damaged, or not of this baseline: rows are missing, doubled or foreign.
        """
        path, task = self.path / EPISODES, self.manifest.task
        try:
            table = parse_table(self.manifest.read_bytes(self.path, EPISODES), path, BASELINES)
        except GipoError as error:
            raise GipoError(f"{error}; {_AGAIN}") from error
        due = {(task, policy, number) for policy in POLICIES for number in range(self.manifest.episodes)}
        found = list(zip(table["task"], table["policy"], table["episode"], strict=True))
        if len(found) != len(due) or set(found) != due or not np.isfinite(table["return"]).all():
            raise GipoError(f"{path} has not {self.manifest.episodes} episodes of each policy on task {task}; {_AGAIN}")
        return table

    def check_code(self, today: str) -> None:
        """Check that the code of today made it.

        Args:
            today: `gipo.runs.code.code_digest` of the suite's `baseline_modules`.

        Raises:
            GipoError: other code made it.
        """
        if self.manifest.code_digest != today:
            raise GipoError(f"{self.path} was made by other code than today's: make reproduce makes it again")


_AGAIN = "delete the directory, then make reproduce makes it again"
