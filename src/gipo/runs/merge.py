"""Runs of other results folders, of another cluster or user, added to this one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from gipo.errors import GipoError
from gipo.files import atomic_path
from gipo.runs.code import code_digest, training_modules
from gipo.runs.directory import RunDirectory
from gipo.runs.finished import FinishedRun
from gipo.runs.lock import locked

NAMED = 5
"""Conflicts that are named one by one."""


def merge(folders: Sequence[Path], results: Path, tell: Callable[[str], None] = print) -> None:
    """Add the finished runs of other results folders. What a run is called says what it is, so equal ones are one.

    Everything is read and compared first: where one run cannot be taken, none is.

    Args:
        folders: the others, with runs below ``runs``.
        results: where they are added.
        tell: takes a line for each folder, and one on runs that were made by other code than today's.

    Raises:
        GipoError: a folder has no runs; a run in it is damaged, or lies under another name than its own; two runs of
            one name have different results; or a run that is to be added is being trained in `results`.
    """
    taken: dict[str, FinishedRun] = {}
    conflicts: list[str] = []
    for folder in folders:
        runs, unfinished = _runs(folder)
        new = 0
        for run in runs:
            name = run.spec.run_id
            own = RunDirectory(results / "runs" / name)
            other = taken.get(name) or (FinishedRun.read(own.path) if own.finished else None)
            if other is None:
                taken[name] = run
                new += 1
            elif _results(run) != _results(other):
                conflicts.append(f"{name}: {_where(run)}, {_where(other)}")
        tell(f"{folder}: {new} of {len(runs)} finished runs are new here; {unfinished} unfinished ones are left out")
    if conflicts:
        more = f"\nand {len(conflicts) - NAMED} more" if len(conflicts) > NAMED else ""
        raise GipoError("the results of one run differ; nothing was copied\n" + "\n".join(conflicts[:NAMED]) + more)
    today = {modules: code_digest(*modules) for modules in {training_modules(run.spec) for run in taken.values()}}
    if foreign := sum(run.provenance["code_digest"] != today[training_modules(run.spec)] for run in taken.values()):
        tell(f"{foreign} of them were made by other code or another Python than today's; the report names all")
    for name, run in taken.items():
        _copy(run, RunDirectory(results / "runs" / name), tell)


def _runs(folder: Path) -> tuple[list[FinishedRun], int]:
    """Finished runs of a results folder, all readable, and the number of unfinished ones."""
    directories = [RunDirectory(spec.parent) for spec in sorted(folder.glob("runs/*/*/*/*/spec.json"))]
    if not directories:
        raise GipoError(f"{folder} has no runs; expected a results folder, with runs/<task>/<regime>/<method>/<seed>")
    runs = [FinishedRun.read(directory.path) for directory in directories if directory.finished]
    for run in runs:
        if run.directory.path != folder / "runs" / run.spec.run_id:
            raise GipoError(f"{run.directory.path} holds another run, {run.spec.run_id}")
        run.metrics(), run.evaluation()
        if not run.directory.policy.exists():
            raise GipoError(f"{run.directory.policy} is missing")
    return runs, len(directories) - len(runs)


def _results(run: FinishedRun) -> tuple[bytes, bytes]:
    return run.directory.metrics.read_bytes(), run.directory.evaluation.read_bytes()


def _where(run: FinishedRun) -> str:
    made = run.provenance
    commit = (made["git_commit"] or "unknown")[:10]
    return f"made on {made['host']} at {made['finished_at']} by commit {commit}, in {run.directory.path}"


def _copy(run: FinishedRun, to: RunDirectory, tell: Callable[[str], None]) -> None:
    """Copy the files of a run, each whole or not at all and its provenance last: until then it is unfinished."""
    own = run.directory
    skipped = {own.checkpoint.name, own.log.name, own.progress.name, own.provenance.name}
    files = [path for path in own.path.iterdir() if path.is_file() and path.name not in skipped]
    with locked(to.path, tell):
        for path in [*(path for path in files if not path.name.startswith((".", "run.lock"))), own.provenance]:
            with atomic_path(to.path / path.name) as temporary:
                shutil.copyfile(path, temporary)
        to.checkpoint.unlink(missing_ok=True)
