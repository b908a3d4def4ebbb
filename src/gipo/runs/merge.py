"""Runs of other results folders, of another cluster or user, added to this one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from gipo.errors import GipoError
from gipo.files import atomic_path
from gipo.runs.code import code_of
from gipo.runs.directory import RunDirectory
from gipo.runs.finished import FinishedRun
from gipo.runs.kept import keep
from gipo.runs.lock import locked
from gipo.runs.manifest import RunManifest

NAMED = 5
"""Conflicts that are named one by one."""
MANIFEST_BYTES = 1_000_000
"""Size beyond which a file is no manifest of a run."""
CHUNK = 2**20  # bytes that are copied at a time


def merge(folders: Sequence[Path], results: Path, tell: Callable[[str], None] = print) -> None:
    """Add the finished runs of other results folders. What a run is called says what it is, so equal ones are one.

    Everything is read and compared first: where one run cannot be taken, none is. Results of one run that differ
    because CPU or libraries do, or the asynchronous engine made them, are replicas: the first stays the result, the
    others go below ``replicas`` (`replica_directory`). Only the files of a run's manifest are copied; a result is kept
    twice.

    Args:
        folders: the others, with runs below ``runs``.
        results: where they are added.
        tell: takes a line for each folder, and one on replicas.

    Raises:
        GipoError: a folder has no runs; a run in it is damaged, the work of other code than today's, or lies under
            another name than its own; two runs of one name and numeric class have different results; or a run that is
            to be added is being trained in `results`.
    """
    taken: dict[str, FinishedRun] = {}
    replicas: dict[Path, FinishedRun] = {}
    conflicts: list[str] = []
    for folder in folders:
        found = _find(folder)
        new = twins = 0
        for run in found.runs:
            name = run.spec.run_id
            own = RunDirectory(results / "runs" / name)
            first = taken.get(name) or (_read(own) if own.finished else None)
            if first is None:
                taken[name] = run
                new += 1
            elif _results_digest(run) == _results_digest(first):
                continue
            elif _may_differ(run, first):
                path = replica_directory(results, run)
                if not RunDirectory(path).finished and path not in replicas:
                    replicas[path] = run
                    twins += 1
            else:
                conflicts.append(f"{name}: {_where(run)}, {_where(first)}")
        tell(
            f"{folder}: {new} of {len(found.runs)} finished runs are new here, {twins} are new replicas; left out are "
            f"{found.unfinished} unfinished runs and {found.foreign} files that belong to no run"
        )
    if conflicts:
        more = f"\nand {len(conflicts) - NAMED} more" if len(conflicts) > NAMED else ""
        raise GipoError(
            "one numeric class, and different results of one run: one of the two is wrong; nothing was copied\n"
            + "\n".join(conflicts[:NAMED])
            + more
        )
    for name, run in taken.items():
        own = RunDirectory(results / "runs" / name)
        _copy(run, own, tell)
        keep(own, run.manifest)
    for path, run in replicas.items():
        _copy(run, RunDirectory(path), tell)


def replica_directory(results: Path, run: FinishedRun) -> Path:
    """Directory of a replica: ``replicas/<digest of what it found>/<run id>``."""
    return results / "replicas" / _results_digest(run)[:8] / run.spec.run_id


@dataclass(frozen=True)
class _Found:
    """Finished runs of a results folder, and how many other things lie among them."""

    runs: list[FinishedRun]
    unfinished: int
    foreign: int


def _find(folder: Path) -> _Found:
    """Finished runs of a results folder, all whole and of today's code. Links are not followed."""
    folders, foreign = [folder / "runs"], 0
    for _ in ("task", "regime", "method", "seed"):
        entries = [entry for parent in folders if _is_folder(parent) for entry in sorted(parent.iterdir())]
        folders = [entry for entry in entries if _is_folder(entry)]
        foreign += len(entries) - len(folders)
    directories = [RunDirectory(path) for path in folders]
    directories = [directory for directory in directories if directory.spec.exists() or directory.manifest.exists()]
    if not directories:
        raise GipoError(
            f"{folder} has no runs; expected a results folder, with runs/<task>/<regime>/<method>/<seed>, none a link"
        )
    runs = [_read(directory) for directory in directories if directory.finished]
    for run in runs:
        if run.directory.path != folder / "runs" / run.spec.run_id:
            raise GipoError(f"{run.directory.path} holds another run, {run.spec.run_id}")
    return _Found(runs, len(directories) - len(runs), foreign + sum(map(_foreign, runs)))


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _read(directory: RunDirectory) -> FinishedRun:
    """The run in a directory, every file checked, without opening what is no file of its size."""
    size = _size(directory.manifest)
    if size is None or size > MANIFEST_BYTES:
        raise GipoError(
            f"{directory.manifest} is no manifest of a run: expected a file of at most {MANIFEST_BYTES:,} bytes"
        )
    known = {path.name for path in (*directory.results, *directory.of_some)}
    for name, facts in RunManifest.read(directory.manifest).files.items():
        if name not in known:
            raise GipoError(f"{directory.manifest} names {name}, which is no result of a run")
        if (size := _size(directory.path / name)) != facts.size:
            found = "no file" if size is None else f"a file of {size:,} bytes"
            raise GipoError(f"{directory.path / name} is {found}, its manifest says {facts.size:,} bytes")
    run = FinishedRun.read(directory.path)
    run.check()
    run.check_code(code_of(run.spec))
    return run


def _size(path: Path) -> int | None:
    """Size of a regular file; None for whatever else has that name, a link included, and for nothing."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_size if S_ISREG(found.st_mode) else None


def _foreign(run: FinishedRun) -> int:
    """Entries of a run's directory that training does not write."""
    own = run.directory
    known = run.manifest.files.keys() | {path.name for path in (own.manifest, *own.beside)}
    return sum(entry.name not in known and not entry.name.startswith("run.lock") for entry in os.scandir(own.path))


def _results_digest(run: FinishedRun) -> str:
    """Digest of what a run found; how long it took is no part of it."""
    own = run.directory
    files = [run.manifest.files[path.name].sha256 for path in (own.metrics, own.evaluation, own.policy)]
    return hashlib.sha256("\n".join(files).encode()).hexdigest()


def _may_differ(run: FinishedRun, other: FinishedRun) -> bool:
    """Whether equal results of two runs of one spec are not to be expected."""
    return bool(run.spec.asynchronous) or run.manifest.numeric_classes != other.manifest.numeric_classes


def _where(run: FinishedRun) -> str:
    made, latest = run.provenance, run.manifest.attempts[-1]
    commit = (made.git_commit or "unknown")[:10]
    return f"made on {latest.host} at {made.finished_at} by commit {commit}, in {run.directory.path}"


def _copy(run: FinishedRun, to: RunDirectory, tell: Callable[[str], None]) -> None:
    """Copy the files of a run, each whole or not at all and the manifest last: until then it is unfinished."""
    with locked(to.path, tell):
        for name, facts in run.manifest.files.items():
            with atomic_path(to.path / name) as temporary:
                if _copy_file(run.directory.path / name, temporary, facts.size) != facts.sha256:
                    raise GipoError(f"{run.directory.path / name} has changed while it was copied")
        run.manifest.write(to.manifest)
        to.checkpoint.unlink(missing_ok=True)


def _copy_file(source: Path, target: Path, size: int) -> str:
    """Copy a file, of which no more than `size` bytes and one, and return the SHA-256 of what was copied."""
    digest, left = hashlib.sha256(), size + 1
    with source.open("rb") as reader, target.open("wb") as writer:
        while left and (chunk := reader.read(min(CHUNK, left))):
            digest.update(chunk)
            writer.write(chunk)
            left -= len(chunk)
    return digest.hexdigest()
