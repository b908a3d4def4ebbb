"""Every byte of a study accounted for: runs, their kept copies, reference policies, and all that was made of them.

A manifest says what a file has to be, and the inputs of a manifest say what other manifests have to be. What is no part
of the study is named too, and so is what killed processes left.

Two look: `gipo verify`, which reads everything, and the workflow at its start (`gipo.recovery`), which reads what was
changed since its manifest was written, and brings it into order.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from gipo.errors import GipoError
from gipo.figures import NAMES
from gipo.files import is_left_behind, is_temporary
from gipo.manifest import FileFacts, Manifest
from gipo.runs import lock
from gipo.runs.baseline import MANIFEST, Baseline
from gipo.runs.code import baseline_modules, code_digest, code_of
from gipo.runs.directory import RunDirectory
from gipo.runs.finished import FinishedRun
from gipo.runs.manifest import Receipt, RunManifest
from gipo.runs.spec import RunSpec
from gipo.scale import Scale
from gipo.stages import BRANCHES, GRIDS, VIDEOS, StageManifest, StudyFolder, stage_of

Mend = Literal["run", "baseline", "stage", "temporary", "lock", ""]

RECEIPT = "tracked.json"
"""Written when all runs of a study had been recorded in MLflow; it names none where the server was away."""
NOT_MADE_HERE = {RECEIPT, "report-partial.html"}
"""Files of a study's folder that stand in no manifest; the second is the page of an unfinished study."""
OPTIONAL = {"report", "picture", VIDEOS, *(f"figures/{name}" for name in NAMES)}
"""Stages that a folder may have, as a scale of its own or where it is published."""


@dataclass(frozen=True)
class Problem:
    """Something that is not as it should be."""

    path: Path
    problem: str
    """In words that follow the path."""
    remedy: str
    mend: Mend = ""
    """Kind of thing that `gipo.recovery` can put in order; empty where only people can."""
    place: Path = Path()
    """Folder of that run, manifest of that baseline or stage, or that file."""

    def __str__(self) -> str:
        return f"{self.path} {self.problem}: {self.remedy}"

    def content(self) -> dict[str, str]:
        """Path, problem and remedy, for JSON."""
        return {"path": str(self.path), "problem": self.problem, "remedy": self.remedy}


@dataclass
class Verdict:
    """Counts and problems of a study."""

    study: str
    problems: list[Problem] = field(default_factory=list)
    runs: int = 0
    """Runs of the study."""
    finished: int = 0
    """Those of them that are finished."""
    in_use: int = 0
    """Those of them that a process works on; they are not looked at."""
    stages: int = 0
    """Derived stages of the study: tables, figures, ..."""
    made: int = 0
    """Those of them that are made."""
    files: int = 0
    """Files that were compared with a manifest."""
    size: int = 0
    """Their bytes."""
    elsewhere: int = 0
    """Runs and reference policies that tables were made of and that do not lie here."""

    def content(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return asdict(self) | {"problems": [problem.content() for problem in self.problems]}

    def __str__(self) -> str:
        words = [f"{self.finished:,} of {self.runs:,} runs"] if self.runs else []
        words = [f"{' and '.join([*words, f'{self.made:,} of {self.stages:,} stages'])} are finished"]
        words += [f"left out as they are being trained: {self.in_use:,}"] if self.in_use else []
        words += [f"{self.elsewhere:,} runs and reference policies lie elsewhere"] if self.elsewhere else []
        words += [f"{self.files:,} files, {self.size / 1e6:,.0f} MB, were compared with their manifests"]
        words += [f"problems: {len(self.problems):,}" if self.problems else "all is as it was made"]
        return f"{self.study}: {'; '.join(words)}"


def verify(scale: Scale, folder: Path) -> Verdict:
    """Look at everything that a study has.

    The records of runs in MLflow are not compared: they are copies, which `gipo store` makes anew.

    Args:
        scale: one study, or several that make one report.
        folder: its results, ``results/<scale>`` with runs in ``results/runs``; or what was published of it,
            ``reports/<scale>``, without runs.
    """
    return Check(scale, folder, all_bytes=True).verdict()


class Check:
    """One look at a study.

    Args:
        scale: see `verify`.
        folder: see `verify`.
        all_bytes: read every file, and name strangers; else read those that were changed after their manifest was
            written, by the clock of their file system.
    """

    def __init__(self, scale: Scale, folder: Path, all_bytes: bool) -> None:
        self.scale, self.folder, self.results, self.all_bytes = scale, folder, folder.parent, all_bytes
        self.has_runs = self.results.resolve().name == "results" or (self.results / "runs").is_dir()
        self.again = f"`make reproduce SCALE={scale.name}` makes it again"
        self._found = Verdict(str(folder))
        self._counting = threading.Lock()
        self._digests: dict[str, str] = {}
        """Of intact manifests of runs and baselines, by the names that they have as inputs."""

    def verdict(self) -> Verdict:
        """Look at runs, reference policies and derived files."""
        problems = self._found.problems
        if self.has_runs:
            self._found.runs = len(self.scale.runs)
            problems += self._left_behind(self.results)
            with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
                for found in threads.map(lambda run: list(self._run(run)), self.scale.runs.values()):
                    problems += found
            for study in self.scale.parts.values():
                for part in study.parts():
                    for path in part.baseline_directories(self.results):
                        problems += self._baseline(path, study.suite)
            problems += self._receipt(self.folder / RECEIPT)
        for name, path in (self.scale.folders(self.folder) | {self.scale.name: self.folder}).items():
            problems += self._study(name, StudyFolder(path))
        return self._found

    def _count(self, **more: int) -> None:
        with self._counting:
            for name, number in more.items():
                setattr(self._found, name, getattr(self._found, name) + number)

    def _run(self, spec: RunSpec) -> Iterator[Problem]:
        """A run of the study, finished or not."""
        directory = RunDirectory(self.results / "runs" / spec.run_id)
        place = directory.path
        for path in sorted(place.glob(f"{lock.NAME}*")):
            who, is_gone = lock.holder(path)
            if not is_gone and path.name == lock.NAME:
                self._count(in_use=1)
                return
            if is_gone:
                yield Problem(path, f"is the lock of {who}, which is gone", self.again, "lock", place)
        yield from self._left_behind(place)
        if directory.finished:
            self._count(finished=1)
            damaged = list(self._results(spec, directory))
            yield from damaged or (self._tables(directory) if self.all_bytes else ())
            if spec.run_id in self._digests:
                yield from self._copy(spec, directory)
            if self.all_bytes:
                yield from self._strangers(directory)
        elif self._kept(spec, directory):
            yield Problem(place, "has lost its results, of which there is a copy", self.again, "run", place)

    def _results(self, spec: RunSpec, directory: RunDirectory) -> Iterator[Problem]:
        """Manifest and files of a finished run."""
        place = directory.path
        try:
            manifest = RunManifest.read(directory.manifest)
        except GipoError as error:
            yield Problem(directory.manifest, _after(directory.manifest, error), self.again, "run", place)
            return
        if not manifest.is_of(spec):
            yield Problem(directory.manifest, f"is of another run, {manifest.run_id}", self.again, "run", place)
            return
        if manifest.code_digest != code_of(spec):
            commit = (manifest.attempts[-1].git_commit or "unknown")[:12]
            problem = f"was made by other code than today's, of commit {commit}"
            yield Problem(place, problem, f"check out that commit, or {self.again}", "run", place)
            return
        self._digests[spec.run_id] = manifest.digest()
        for path, problem in self._damaged(manifest, directory.manifest, place):
            yield Problem(path, problem, self.again, "run", place)

    def _copy(self, spec: RunSpec, directory: RunDirectory) -> Iterator[Problem]:
        """The kept copy of a finished run whose manifest is intact."""
        kept = RunDirectory(directory.kept)
        if (manifest := self._kept(spec, directory)) is None:
            problem = "is not there, or damaged, or of other results: there is no whole copy of these"
            yield Problem(kept.manifest, problem, self.again, "run", directory.path)
            return
        for path, problem in self._damaged(manifest, kept.manifest, kept.path):
            yield Problem(path, problem, self.again, "run", directory.path)

    def _kept(self, spec: RunSpec, directory: RunDirectory) -> RunManifest | None:
        """Manifest of the copy of a run's results; None unless they are of today's code, and these where these are."""
        try:
            manifest = RunManifest.read(RunDirectory(directory.kept).manifest)
        except GipoError:
            return None
        same = self._digests.get(spec.run_id) in (None, manifest.digest())
        return manifest if same and manifest.is_of(spec) and manifest.code_digest == code_of(spec) else None

    def _tables(self, directory: RunDirectory) -> Iterator[Problem]:
        """Rows that training does not write, though a manifest names them."""
        try:
            run = FinishedRun.read(directory.path)
            run.check_tables()
        except GipoError as error:
            problem, _, remedy = str(error).rpartition(": ")
            yield Problem(directory.path, f"is not as training leaves it: {problem}", remedy)

    def _strangers(self, directory: RunDirectory) -> Iterator[Problem]:
        """Files in the folder of a finished run that are none of its."""
        results = {path.name for path in (directory.manifest, *directory.results, *directory.of_some)}
        names = results | {path.name for path in directory.beside}
        for place, known in ((directory.path, names), (directory.kept, results)):
            for path in sorted(place.iterdir()) if place.is_dir() else ():
                if path.name not in known and not is_temporary(path.name) and not path.name.startswith(lock.NAME):
                    yield _stranger(path)

    def _baseline(self, path: Path, suite: str) -> Iterator[Problem]:
        """The reference policies of a task."""
        if (name := f"baselines/{path.name}") in self._digests:
            return  # that of another grid too
        yield from self._left_behind(path)
        if not (path / MANIFEST).exists():
            return
        try:
            baseline = Baseline.read(path)
            self._digests[name] = baseline.manifest.digest()
            baseline.check_code(code_digest(*baseline_modules(suite)))
            if self.all_bytes:
                baseline.episodes()
        except GipoError as error:
            yield Problem(path, f"cannot be used: {error}", self.again, "baseline", path / MANIFEST)
            return
        for damaged, problem in self._damaged(baseline.manifest, path / MANIFEST, path):
            yield Problem(damaged, problem, self.again, "baseline", path / MANIFEST)
        for other in sorted(path.iterdir()) if self.all_bytes else ():
            if other.name not in {MANIFEST, *baseline.manifest.files} and not is_temporary(other.name):
                yield _stranger(other)

    def _receipt(self, path: Path) -> Iterator[Problem]:
        if not path.exists():
            return
        try:
            if Receipt.read(path).runs != list(self.scale.runs):
                yield Problem(path, "does not name all runs of this study", self.again, "stage", path)
        except GipoError as error:
            yield Problem(path, _after(path, error), self.again, "stage", path)

    def _study(self, name: str, folder: StudyFolder) -> Iterator[Problem]:
        """The folder of a scale."""
        yield from self._left_behind(folder.path)
        expected = self._stages(name)
        self._count(stages=len(expected))
        manifests = folder.path / "manifests"
        paths = {str(p.relative_to(manifests).with_suffix("")): p for p in sorted(manifests.rglob("*.json"))}
        named: set[str] = set()
        for stage, path in paths.items():
            if is_temporary(path.name):
                continue
            if stage not in expected | OPTIONAL:
                yield Problem(path, "is of no stage of this study", "delete it, and what it names")
            try:
                manifest = StageManifest.read(path)
            except GipoError as error:
                yield self._remade(folder, path, _after(path, error))
                continue
            if manifest.stage != stage:
                yield self._remade(folder, path, f"is of another stage, {manifest.stage}")
                continue
            self._count(made=int(stage in expected))
            named |= manifest.files.keys()
            for damaged, problem in self._damaged(manifest, path, folder.path):
                yield self._remade(folder, path, problem, damaged)
            yield from self._inputs(name, folder, manifest, path)
        if not self.has_runs:
            for stage in sorted(expected - paths.keys()):
                yield Problem(folder.manifest_path(stage), "is missing", folder.remedy)
        if self.all_bytes:
            yield from self._unnamed(folder, named, expected)

    def _inputs(self, name: str, folder: StudyFolder, manifest: StageManifest, path: Path) -> Iterator[Problem]:
        """Whether a stage was made of what is here."""
        if not manifest.stage.startswith(GRIDS):
            for other in manifest.inputs:
                if (found := _digest(*folder.input_manifest(other))) and found != manifest.inputs[other]:
                    yield self._remade(folder, path, f"was made from another {other} than the one that is here")
            return
        if not self.has_runs:
            self._count(elsewhere=len(manifest.inputs))
            return
        changed = [one for one, digest in manifest.inputs.items() if self._digests.get(one, digest) != digest]
        if changed:
            more = f" and {len(changed) - 1:,} more" if len(changed) > 1 else ""
            yield self._remade(folder, path, f"was made from another {changed[0]}{more} than what is here")
        elif manifest.inputs.keys() != self._of_grid(name, manifest.stage):
            yield self._remade(folder, path, "was made from other runs than those of this study")

    def _of_grid(self, name: str, stage: str) -> set[str]:
        """Names of the runs and reference policies of a grid."""
        study = self.scale.parts[name]
        if stage == BRANCHES:
            return {run.run_id for run in study.imagining_runs()}
        grid = study if stage == "tables" else study.sweep(stage.removeprefix("sweeps/"))
        baselines = {f"baselines/{path.name}" for path in grid.baseline_directories(self.results)}
        return {run.run_id for run in grid.runs()} | baselines

    def _stages(self, name: str) -> set[str]:
        """Stages that the folder of a scale has when the report is made."""
        stages = {"scorecard", *(f"figures/{figure}" for figure in self.scale.figures()[name])}
        if name in self.scale.parts:
            study = self.scale.parts[name]
            stages |= {"weights", "gridworld", "tables", *(f"sweeps/{sweep}" for sweep in study.sweeps)}
            stages |= {BRANCHES} if study.imagining_runs() else set()
        return stages | ({"report"} if name == self.scale.name else set())

    def _unnamed(self, folder: StudyFolder, named: set[str], expected: set[str]) -> Iterator[Problem]:
        """Files of a study that stand in no manifest."""
        for place, _, files in sorted(os.walk(folder.path)):
            for path in (Path(place, file) for file in sorted(files)):
                name = path.relative_to(folder.path).as_posix()
                if name in named | NOT_MADE_HERE or name.startswith("manifests/") or is_temporary(path.name):
                    continue
                if stage_of(name) in expected | OPTIONAL and not folder.manifest_path(stage_of(name)).exists():
                    yield Problem(path, "stands in no manifest", folder.remedy)
                else:
                    yield _stranger(path)

    def _remade(self, folder: StudyFolder, manifest: Path, problem: str, path: Path | None = None) -> Problem:
        """A problem of a stage, which the workflow makes again."""
        return Problem(path or manifest, problem, folder.remedy, "stage" if self.has_runs else "", manifest)

    def _left_behind(self, folder: Path) -> Iterator[Problem]:
        """Temporary files of processes that are gone; of the folder of all results, in itself and not below."""
        for place, below, names in os.walk(folder):
            for path in (Path(place, name) for name in sorted(names) if is_temporary(name)):
                if is_left_behind(path):
                    yield Problem(path, "was left by a killed process", "delete it", "temporary", path)
            if folder == self.results:
                below.clear()

    def _damaged(self, manifest: Manifest, path: Path, folder: Path) -> Iterable[tuple[Path, str]]:
        """Files of a manifest, which lies at `path`, that are not in a folder as they should be."""
        written = None if self.all_bytes else path.stat().st_ctime_ns
        for name, facts in manifest.files.items():
            is_unchanged = written is not None and _is_unchanged(folder / name, facts, written)
            if not is_unchanged and (problem := facts.damage(folder / name)):
                if self.all_bytes and self.has_runs:
                    _mark(folder / name)
                yield folder / name, problem
            self._count(files=1, size=facts.size)


def _is_unchanged(path: Path, facts: FileFacts, written: int) -> bool:
    """Whether a file has its size, and nobody changed it after its manifest was written."""
    try:
        status = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size == facts.size and status.st_ctime_ns <= written


def _mark(path: Path) -> None:
    """Let a damaged file count as changed now, whatever damaged it, so that the next start of the workflow reads it."""
    with suppress(OSError):
        path.chmod(stat.S_IMODE(path.stat().st_mode))


def _digest(folder: StudyFolder, stage: str) -> str | None:
    """Digest of the manifest of a stage; None where there is none, or it is damaged, which is a problem of its own."""
    try:
        return StageManifest.read(folder.manifest_path(stage)).digest()
    except GipoError:
        return None


def _stranger(path: Path) -> Problem:
    return Problem(path, "is no part of the study", "move it elsewhere or delete it")


def _after(path: Path, error: GipoError) -> str:
    """A message without the path that it begins with."""
    return str(error).removeprefix(f"{path} ")
