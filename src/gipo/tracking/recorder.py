"""Brings one experiment up to date with the run directories, as often as it is asked to; then it does what is new."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path

from gipo import suites
from gipo.errors import GipoError
from gipo.runs.code import code_of
from gipo.runs.directory import RunDirectory
from gipo.runs.finished import FinishedRun
from gipo.stages import VIDEOS, StudyFolder
from gipo.tracking import curves
from gipo.tracking.curves import Curves
from gipo.tracking.experiments import Experiment, cell_of
from gipo.tracking.store import PARENT, REPORT, Point, Record, Store, now, points_of
from gipo.watch import Look

Tell = Callable[[str], None]
STATUS = {"running": "RUNNING", "stopped": "KILLED"}
"""Of MLflow, for a run that is not finished."""


class Recorder:
    """The records of one experiment.

    A record is complete when it is FINISHED and has the digest of what it was made of. Any other one of a finished run
    is made anew: that of a run while it trained, one whose making was interrupted, or of a run that was trained again.

    Args:
        store: where to record.
        experiment: what to record.
        results: folder of all results.
        tell: takes a line on a finished run that cannot be recorded, once.
    """

    def __init__(self, store: Store, experiment: Experiment, results: Path, tell: Tell) -> None:
        self.store, self.experiment, self.results, self.tell = store, experiment, results, tell
        self.id = store.experiment(experiment.name, experiment.description())
        self.records: dict[str, Record] = {}
        self.done: dict[str, object] = {}
        """State of each finished run when its record was compared with it."""
        self.refused: dict[str, str] = {}
        """Why a finished run cannot be recorded."""
        self.read: dict[str, Curves] = {}
        """Curves of the runs whose seeds are at hand."""
        self.references: dict[str, tuple[float, float]] = {}
        for record in store.records(self.id):
            self._keep(record)

    def update(self) -> None:
        """Record what is new of each run, of its seeds together, and of the report."""
        for cell, run_ids in self.experiment.cells.items():
            for run_id in run_ids:
                self._run(run_id)
            self._cell(cell, run_ids)
            self.read.clear()
        self._report()

    @property
    def is_complete(self) -> bool:
        """Whether all runs are recorded as finished."""
        return all(run_id in self.done for run_id in self.experiment.runs)

    def _keep(self, record: Record) -> None:
        """Take a record as the one of its key: of two the complete one."""
        other = self.records.get(record.key)
        if other and (other.is_complete or not record.is_complete):
            self.store.delete(record)
            return
        if other:
            self.store.delete(other)
        self.records[record.key] = record

    def _forget(self, key: str) -> None:
        if record := self.records.pop(key, None):
            self.store.delete(record)

    def _run(self, run_id: str) -> None:
        directory = RunDirectory(self.results / "runs" / run_id)
        if not directory.finished:
            self._unfinished(run_id)
            return
        reference = self._reference(run_id)
        seen = (directory.manifest.stat().st_mtime_ns, reference)
        if self.done.get(run_id) == seen:
            return
        try:
            run = read(directory.path)
            self._finished(run, reference)
        except GipoError as error:
            if self.refused.get(run_id) != str(error):
                self.refused[run_id] = str(error)
                self.tell(f"left out: {error}")
            return
        self.done[run_id] = seen
        self.refused.pop(run_id, None)

    def _unfinished(self, run_id: str) -> None:
        self.done.pop(run_id, None)
        look = Look.at(run_id, self.results)
        status = STATUS.get(look.state)
        if status is None or look.progress is None:
            return
        record = self.records.get(run_id)
        if record is None or record.content:  # of an earlier training
            self._forget(run_id)
            start = now() - int(1000 * look.progress.seconds)
            record = self._new(run_id, start, {})
        elif (record.status, status) == ("KILLED", "KILLED"):
            return
        update, time = look.progress.update, now()
        self.store.add(record, {}, points_of(curves.of_progress(look.progress), time, time, max(1, update)))
        left = f", {look.progress.line().rpartition(' · ')[2]}" if look.progress.seconds_left else ""
        self.store.set_tags(record, {"progress": f"{look.progress.share:.0%}{left}"})
        if record.status != status:
            self.store.set_status(record, status)

    def _finished(self, run: FinishedRun, reference: tuple[float, float] | None) -> None:
        run_id = run.spec.run_id
        content = _digest([*(facts.sha256 for facts in run.manifest.files.values()), repr(reference)])
        record = self.records.get(run_id)
        if record and record.is_complete and record.content == content:
            return
        found = self._curves(run)
        self._forget(run_id)
        start, end = times(run)
        facts = {"content": content, "progress": "done", "git_commit": run.provenance.git_commit or "unknown"}
        facts["numeric_classes"] = "; ".join(run.manifest.numeric_classes)
        shown = points_of(_thinned(found), start, end, run.spec.learner.updates)
        record = self._new(run_id, start, facts, shown)
        names = [*run.manifest.files, run.directory.manifest.name]
        self.store.attach(record, {name: run.directory.path / name for name in names})
        self.store.finish(record, end)

    def _new(self, run_id: str, start: int, facts: dict[str, str], shown: Sequence[Point] = ()) -> Record:
        """A record of a run below the one of its seeds."""
        run, cell = self.experiment.runs[run_id], cell_of(run_id)
        parent = self.records.get(cell) or self._new_cell(cell, start)
        tags = {"level": "seed", "run_id": run_id, "digest": run.digest()[:8], "seed": str(run.seed)}
        tags |= self.experiment.tags(run) | {PARENT: parent.id} | facts
        record = self.store.create(self.id, f"seed {run.seed}", run_id, tags, start)
        self.store.add(record, self.experiment.parameters(run), shown)
        self.records[run_id] = record
        return record

    def _new_cell(self, cell: str, start: int) -> Record:
        """A record above those of all seeds, which are put below it."""
        run_ids = self.experiment.cells[cell]
        run = self.experiment.runs[run_ids[0]]
        tags = {"level": "method"} | self.experiment.tags(run)
        record = self.store.create(self.id, self.experiment.title_of(run), cell, tags, start)
        self.store.add(record, self.experiment.parameters(run), ())
        for seed in (self.records[run_id] for run_id in run_ids if run_id in self.records):
            self.store.set_tags(seed, {PARENT: record.id})
        self.records[cell] = record
        return record

    def _cell(self, cell: str, run_ids: list[str]) -> None:
        """The record above those of all seeds: complete when they are."""
        seeds = [self.records[run_id] for run_id in run_ids if run_id in self.records]
        if not seeds:
            return
        complete = [seed.content for seed in seeds if seed.is_complete]
        content = _digest([*run_ids, *complete])
        record = self.records.get(cell)
        if self.done.get(cell) == content or (record and record.is_complete and record.content == content):
            return
        if record and record.is_complete:
            self._forget(cell)
            record = None
        record = record or self._new_cell(cell, min(seed.start for seed in seeds))
        self.store.set_tags(record, {"progress": f"{len(complete)} of {len(run_ids)} seeds", "content": content})
        if len(complete) == len(run_ids):
            self._finish_cell(record, [read(self.results / "runs" / run_id) for run_id in run_ids])
        self.done[cell] = record.content = content

    def _finish_cell(self, record: Record, runs: list[FinishedRun]) -> None:
        together = curves.over_seeds([self._curves(run) for run in runs])
        start, end = min(times(run)[0] for run in runs), max(times(run)[1] for run in runs)
        updates = max(run.spec.learner.updates for run in runs)
        self.store.add(record, {}, points_of(_thinned(together), start, end, updates))
        self.store.finish(record, end)

    def _curves(self, run: FinishedRun) -> Curves:
        run_id = run.spec.run_id
        if run_id not in self.read:
            reference = self._reference(run_id)
            has_score = suites.get(run.spec.suite).score == "success" or reference is not None
            self.read[run_id] = curves.of_run(run, reference, has_score)
        return self.read[run_id]

    def _report(self) -> None:
        """Page, figures and videos of the study, as soon as there is a page."""
        manifests: list[str] = []
        files: dict[str, Path] = {}
        for folder in map(StudyFolder, self.experiment.pages):
            stages = [f"figures/{path.stem}" for path in sorted(folder.path.glob("manifests/figures/*.json"))]
            for stage in filter(folder.has, ["report", VIDEOS, *stages]):
                manifest = folder.manifest_of(stage)
                manifests.append(manifest.digest())
                files |= {name: folder.path / name for name in manifest.files}
        content = _digest(manifests)
        record = self.records.get(REPORT)
        if "report.html" not in files or (record and record.is_complete and record.content == content):
            return
        self._forget(REPORT)
        tags = {"level": "study", "content": content}
        self.records[REPORT] = record = self.store.create(self.id, REPORT, REPORT, tags, now())
        self.store.attach(record, files)
        self.store.finish(record, now())

    def _reference(self, run_id: str) -> tuple[float, float] | None:
        """Mean returns of the reference policies of a run's task, once they are there."""
        run = self.experiment.runs[run_id]
        if run.task not in self.references and (found := self.experiment.reference(run)):
            self.references[run.task] = found
        return self.references.get(run.task)


def read(path: Path) -> FinishedRun:
    """A finished run of today's code.

    Raises:
        GipoError: it is missing, unfinished, damaged, or the work of other code.
    """
    run = FinishedRun.read(path)
    run.check_code(code_of(run.spec))
    return run


def times(run: FinishedRun) -> tuple[int, int]:
    """Start and end of the training in milliseconds."""
    end = int(1000 * datetime.fromisoformat(run.provenance.finished_at).timestamp())
    return end - int(1000 * run.provenance.wall_seconds), end


def _thinned(found: Curves) -> Curves:
    return {name: curve.thinned() for name, curve in found.items()}


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
