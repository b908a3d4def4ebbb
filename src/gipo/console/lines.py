"""The words and columns of the console."""

from __future__ import annotations

import time
from collections import Counter, deque
from pathlib import Path

from gipo.console.session import Job, Session
from gipo.runs.progress import Progress, duration, label

COLUMNS = {"done": 4, "return": 8, "success": 7, "D0.95": 6}
"""Columns between the name of a run and its time, with their width."""
NAMED = 4
"""Jobs that a summary names."""
TAIL = 12
"""Lines of a failed job's log that are shown."""


TIME = 11
"""Width of the time, the last column."""


def header(width: int) -> str:
    """Names of the columns; ``width`` is that of the first one."""
    return "  ".join(["training run".ljust(width), *(name.rjust(size) for name, size in COLUMNS.items()), "time"])


def _row(name: str, width: int, progress: Progress | None, done: str, took: str) -> str:
    values = {"done": done} | (progress.measured() if progress else {})
    cells = [values.get(column, "").rjust(size) for column, size in COLUMNS.items()]
    return "  ".join([_fitted(name, width), *cells, took]).rstrip()


def _fitted(name: str, width: int) -> str:
    """A name of that width; what is cut off is its beginning, as seeds and methods tell runs apart."""
    return name.ljust(width) if len(name) <= width else f"…{name[len(name) - width + 1 :]}"


def running_row(job: Job, width: int) -> str:
    """A run that is being made."""
    progress = job.progress
    left = progress.seconds_left if progress else None
    took = "starts" if left is None else f"{duration(left)} left" if left else "ends"
    return _row(job.name, width, progress, f"{progress.share:.0%}" if progress else "", took)


def finished_row(job: Job, width: int) -> str:
    """A run that is finished."""
    seconds = job.progress.seconds if job.progress else time.monotonic() - job.began
    return _row(job.name, width, job.progress, "100%", duration(seconds))


def width(session: Session, columns: int | None) -> int:
    """Of the names of all runs, as far as a terminal of so many columns has room for them."""
    named = [str(job.run) for job in session.running.values() if job.run]
    longest = max((len(label(run)) for run in [*map(str, session.study), *named]), default=0)
    others = sum(2 + size for size in COLUMNS.values()) + 2 + TIME
    return longest if columns is None else max(1, min(longest, columns - others))


def opening(session: Session) -> str:
    """Lines on the work that is about to start."""
    jobs = _count(session.others_left, "job")
    if session.runs_left:
        jobs = f"{_count(session.runs_left, 'training run')} and {jobs.replace('job', 'other job')}"
    return f"{jobs} to be done"


def summary(session: Session) -> str:
    """How far all of it is."""
    elapsed = duration(time.monotonic() - session.began)
    words = [f"{session.runs_done} of {_count(session.runs_done + session.runs_left, 'run')} done"]
    if not session.runs_left:
        words = ["all runs done"] if session.runs_done else []
        words.append(f"{_count(session.others_left, 'job')} left")
    if failed := len(session.failed):
        words.append(f"{failed} failed")
    left = session.seconds_left()
    words.append(f"{elapsed} so far" + (f", about {duration(left)} left" if left else ""))
    return " · ".join(words)


def others(session: Session) -> str:
    """Jobs that run now and are no training runs, or none that has left a sign of life; empty where there is none."""
    rules = Counter(job.rule for job in session.running.values() if not (job.progress or job.ended))
    return ", ".join(rule if number == 1 else f"{number} {rule}" for rule, number in rules.items())


def now(session: Session) -> str:
    """The jobs that run now, in a few words."""
    runs = [f"{job.name} {job.progress.share:.0%}" for job in session.being_made if job.progress]
    more = [f"{len(runs) - NAMED} more runs"] if len(runs) > NAMED else []
    return ", ".join([*runs[:NAMED], *more, *filter(None, [others(session)])])


def ending(session: Session, target: str | None, log: str | None) -> list[str]:
    """How the study ended, and where to read on."""
    elapsed = duration(time.monotonic() - session.began)
    runs = session.runs_done + session.runs_left
    made = _count(session.runs_done, "training run") if runs else _count(session.jobs_done, "job")
    made = f"{made} in {elapsed}"
    if session.failed:
        left = sum(session.left.values()) - len(session.failed)
        verdict = f"{_count(len(session.failed), 'job')} failed, {left} not done; the same command goes on from here"
    elif any(session.left.values()):
        verdict = "stopped; the same command goes on from here"
    else:
        verdict = "none failed"
        made = f"{target}: {made}" if target else made
    return [f"{made}, {verdict}", *([f"Log: {log}"] if log else [])]


def failure(name: str, logs: list[str], details: dict[str, str], tail: int = TAIL) -> list[str]:
    """Lines on a job that failed: its logs, so many of their last lines, and other details."""
    lines = [f"failed: {name}", *(f"  {detail}: {value}" for detail, value in details.items() if value)]
    for log in logs:
        lines += [f"  log: {log}", *(f"    {line}" for line in _last_lines(log, tail))]
    return lines


def _last_lines(log: str, number: int) -> list[str]:
    try:
        with Path(log).open(encoding="utf-8", errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, number)]
    except OSError as error:
        return [f"cannot be read: {error.strerror}"]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
