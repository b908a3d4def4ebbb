"""How far a training run is: a small file in its directory, which anyone may read, and a line for people.

It is for looking on while runs are made. Nothing is computed from it, and it is no result: merging leaves it behind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from time import monotonic
from typing import Any

from gipo.errors import GipoError
from gipo.files import read_json, write_json
from gipo.runs.directory import RunDirectory
from gipo.runs.spec import RunSpec


@dataclass(frozen=True)
class Progress:
    """Where a run stands. A number that is not known yet is None."""

    update: int
    """Updates made."""
    updates: int
    """Updates of the whole run."""
    env_steps: int
    seconds: float
    """Wall time of this attempt at the run."""
    updates_per_second: float | None
    """In this attempt, evaluation included."""
    episode_return: float | None
    """Mean return of the latest evaluation."""
    success: float | None
    """Share of its episodes that succeeded at any of their steps."""
    d95: float | None
    """D0.95 of the latest update that was logged (`gipo.diagnostics`)."""
    dead: float | None = None
    """Share of its samples without gradient; None too in files that were written before it was kept."""

    @property
    def share(self) -> float:
        """Share of the updates that are made."""
        return self.update / self.updates

    @property
    def whole_seconds(self) -> float | None:
        """Wall time of the whole run at this rate."""
        return self.updates / self.updates_per_second if self.updates_per_second else None

    @property
    def seconds_left(self) -> float | None:
        """Wall time until the last update at this rate."""
        return (self.updates - self.update) / self.updates_per_second if self.updates_per_second else None

    def line(self) -> str:
        """All of it in one line."""
        words = [f"update {self.update:,}/{self.updates:,}", f"{self.env_steps:,} env steps"]
        if self.updates_per_second:
            words.append(f"{self.updates_per_second:,.3g} updates/s")
        words += [f"{name} {value}" for name, value in self.measured().items() if value]
        if self.seconds_left:
            words.append(f"about {duration(self.seconds_left)} left")
        return " · ".join(words)

    def measured(self) -> dict[str, str]:
        """Return, success and D0.95 in words; empty where they are not known."""
        return {
            "return": "" if self.episode_return is None else f"{self.episode_return:,.1f}",
            "success": "" if self.success is None else f"{self.success:.2f}",
            "D0.95": "" if self.d95 is None else f"{self.d95:.3f}",
        }


def read_progress(run: Path) -> Progress | None:
    """Content of the progress file in the directory of a run; None where there is none or it cannot be read."""
    try:
        return Progress(**read_json(RunDirectory(run).progress))
    except (GipoError, TypeError):
        return None


def label(run_id: str) -> str:
    """Task, regime, method and seed of a run, in words; ``run_id`` is `RunSpec.run_id` or a path that ends with it."""
    task, regime, method, seed = Path(run_id).parts[-4:]
    return f"{task} {regime} {method} seed {seed.removeprefix('seed').rpartition('-')[0]}"


def duration(seconds: float) -> str:
    """Seconds in words, with two digits or so."""
    for size, unit in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 1.5 * size:
            number = seconds / size
            return f"{number:.0f} {unit}" if number >= 10 or unit == "min" else f"{number:.1f} {unit}"
    return f"{seconds:.0f} s"


class ProgressLog:
    """Keeps the progress file of a run, and tells of it in a line, both at most every ten seconds.

    Args:
        spec: the run.
        directory: of the run.
        tell: takes the line.
    """

    INTERVAL = 10.0  # seconds

    def __init__(self, spec: RunSpec, directory: RunDirectory, tell: Callable[[str], None]) -> None:
        self.spec, self.directory, self.tell = spec, directory, tell
        self.started = self.told = monotonic()
        self.first: tuple[int, float] | None = None
        """Update and time from which the rate is counted."""

    @property
    def is_due(self) -> bool:
        """Whether the last line is old."""
        return monotonic() - self.told >= self.INTERVAL

    def log(
        self,
        update: int,
        env_steps: int,
        episodes: Iterable[Mapping[str, Any]],
        d95: float | None,
        dead: float | None,
    ) -> None:
        """Write and tell.

        Args:
            update: updates made.
            env_steps: env steps of collecting.
            episodes: evaluation episodes, of which the latest evaluation counts.
            d95: of the latest update that was logged.
            dead: of the same.

        Raises:
            GipoError: the file cannot be written.
        """
        self.told = now = monotonic()
        if self.first is None or update < self.first[0]:  # the learner was started again from an older checkpoint
            self.first = update, now
        updates, seconds = update - self.first[0], now - self.first[1]
        rows = list(episodes)
        latest = [row for row in rows if row["update"] == rows[-1]["update"]]
        progress = Progress(
            update=update,
            updates=self.spec.learner.updates,
            env_steps=env_steps,
            seconds=now - self.started,
            updates_per_second=updates / seconds if updates and seconds else None,
            episode_return=_known(fmean(row["return"] for row in latest)) if latest else None,
            success=fmean(row["success_any"] for row in latest) if latest else None,
            d95=None if d95 is None else _known(d95),
            dead=None if dead is None else _known(dead),
        )
        write_json(self.directory.progress, asdict(progress))
        self.tell(f"{label(self.spec.run_id)}: {progress.line()}")


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
