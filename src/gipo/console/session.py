"""The state of a study while Snakemake works on it, from Snakemake's events and from the run directories."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from gipo.cluster.requests import PLAN
from gipo.console.estimate import planned_seconds, seconds_left
from gipo.runs.directory import RunDirectory
from gipo.runs.progress import Progress, label, read_progress

SHORT = 5.0
"""Seconds of a job that is no training run, before the first one of them was seen."""


@dataclass
class Job:
    """A job that was started, on this machine, or submitted to a cluster."""

    rule: str
    outputs: list[str]
    run: Path | None
    """Directory of a training run."""
    began: float = field(default_factory=time.monotonic)
    progress: Progress | None = None
    """Of a training run, as soon as this job has left one."""
    before: int = 0
    """When the progress file was written that an earlier attempt had left, ns."""
    ended: bool = False
    """The results are there. A group of jobs tells Snakemake only when the last of them has ended."""

    @property
    def name(self) -> str:
        """Labels of a run, else the rule with its first output."""
        return label(str(self.run)) if self.run else " ".join([self.rule, *self.outputs[:1]])


class Session:
    """One call of Snakemake."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.study: list[Path] = []
        """Directories of all runs of the study."""
        self.left: Counter[str] = Counter()
        """Jobs of each rule that have not ended well."""
        self.running: dict[int, Job] = {}
        self.failed: dict[int, Job] = {}
        self.runs_done = self.jobs_done = 0
        self._seen: dict[Path, float] = {}
        """Wall time of runs that were made here."""
        self._done: set[Path] = set()
        self._planned: dict[str, float] = {}
        self._short: list[float] = []
        """Wall time of jobs that were no training runs."""

    def begin(self, counts: Mapping[str, int]) -> None:
        """Snakemake is about to start so many jobs of each rule."""
        self.left = Counter({rule: number for rule, number in counts.items() if rule != "total"})
        self._planned = planned_seconds(PLAN)
        for run in self.study:
            if (progress := read_progress(run)) and progress.whole_seconds:
                self._seen[run] = progress.whole_seconds
        finished = {run for run in self.study if RunDirectory(run).finished}
        if len(self.study) - len(finished) == self.runs_left:  # else some of the finished ones are made again
            self._done = finished

    @property
    def runs_left(self) -> int:
        """Training runs that have not ended well."""
        return sum(number for rule, number in self.left.items() if rule.startswith("train"))

    @property
    def others_left(self) -> int:
        """Jobs other than training runs that have not ended well."""
        return sum(self.left.values()) - self.runs_left

    @property
    def being_made(self) -> list[Job]:
        """Training runs that have left a sign of life and no results; one in a cluster's queue has left neither."""
        return [job for job in self.running.values() if job.progress and not job.ended]

    def started(self, number: int, rule: str, outputs: Sequence[str]) -> None:
        """A job begins, or is submitted."""
        self.failed.pop(number, None)
        manifests = (Path(path) for path in outputs if Path(path).name == "manifest.json")
        run = next((path.parent for path in manifests if rule.startswith("train")), None)
        self.running[number] = Job(rule, list(outputs), run, before=_written(run) if run else 0)

    def finished(self, number: int) -> Job | None:
        """A job has ended well; None for one of which that was known, or that was not announced."""
        job = self.running.pop(number, None)
        if job is None or job.ended:
            return None
        self._count(job, 1)
        if job.run:  # an earlier attempt may have left what is put back now
            job.progress = read_progress(job.run)
        else:
            self._short.append(time.monotonic() - job.began)
        return job

    def broke(self, number: int) -> Job | None:
        """A job has failed; it may be tried again."""
        job = self.running.pop(number, None)
        if job:
            self.failed[number] = job
            if job.ended:  # Snakemake removes the results of every member of a failed group
                self._count(job, -1)
        return job

    def look(self) -> list[Job]:
        """Read how far the runs are; those that have ended since the last look."""
        ended = []
        for job in self.being_made + [job for job in self.running.values() if not job.progress]:
            self._look_at(job)
            if job.run and job.progress and job.progress.share == 1 and RunDirectory(job.run).finished:
                self._count(job, 1)
                ended.append(job)
        return ended

    def _count(self, job: Job, sign: int) -> None:
        """Count a job as done, or take that back."""
        job.ended = sign > 0
        self.left[job.rule] -= sign
        self.jobs_done += sign
        if job.run:
            self.runs_done += sign
            (self._done.add if job.ended else self._done.discard)(job.run)

    def seconds_left(self) -> float | None:
        """About how long it still takes; None where nothing is known yet."""
        now = self.being_made
        started = {job.run for job in now}
        waiting = [run for run in self.study if run not in self._done | started]
        number_waiting = max(0, self.runs_left - len(now) - sum(job.run is not None for job in self.failed.values()))
        left = [job.progress.seconds_left if job.progress else None for job in now]
        training = seconds_left(left, waiting, number_waiting, self._seen, self._planned)
        if training is None:
            return None
        short = fmean(self._short) if self._short else SHORT
        return training + self.others_left * short / max(1, len(self.running))

    def _look_at(self, job: Job) -> None:
        if not job.run or _written(job.run) in (0, job.before):
            return
        job.progress = read_progress(job.run) or job.progress
        if job.progress and job.progress.whole_seconds:
            self._seen[job.run] = job.progress.whole_seconds


def _written(run: Path) -> int:
    """When the progress file of a run was written last, ns; 0 where there is none."""
    try:
        return RunDirectory(run).progress.stat().st_mtime_ns
    except OSError:
        return 0
