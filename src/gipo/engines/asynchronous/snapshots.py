"""Policies to be evaluated, as files between learner and evaluator: neither loses what the other left."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from torch import Tensor

from gipo.files import read_json, write_json
from gipo.runs import checkpoint
from gipo.runs.directory import RunDirectory


class Snapshots:
    """Snapshots of a run; one is deleted when its evaluation is there.

    Args:
        path: the run's directory.
    """

    MOST = 4
    """Snapshots that may wait; the learner waits with the next one."""
    PAUSE = 0.2  # seconds between looks

    def __init__(self, path: Path) -> None:
        self.directory = RunDirectory(path).scratch / "snapshots"
        self.directory.mkdir(parents=True, exist_ok=True)

    def leave(self, update: int, env_steps: int, policy: dict[str, Tensor]) -> None:
        """Leave a policy for evaluation."""
        while len(self.waiting()) >= self.MOST:
            time.sleep(self.PAUSE)
        checkpoint.save(
            self.directory / f"{update:09}.pt", {"update": update, "env_steps": env_steps, "policy": policy}
        )

    def waiting(self) -> list[Path]:
        """Snapshots that are not evaluated, oldest first."""
        return sorted([*self.directory.glob("[0-9]*.pt"), *self.directory.glob("[0-9]*.taken")])

    def take(self) -> Path | None:
        """The oldest one that waits, put aside: a learner that makes it anew does not touch what is being played."""
        for path in self.waiting()[:1]:
            return path.replace(path.with_suffix(".taken"))
        return None

    def evaluated(self, taken: Path, rows: list[dict[str, Any]]) -> None:
        """Keep the episodes of a snapshot and let it go, unless it was forgotten meanwhile."""
        if taken.exists():
            write_json(taken.with_suffix(".json"), rows)
            taken.unlink()

    def is_evaluated(self, update: int) -> bool:
        """Whether the evaluation at an update is there, and none of an earlier one is still to come."""
        return not self.waiting() and (self.directory / f"{update:09}.json").exists()

    def forget_after(self, update: int) -> None:
        """Remove what a learner left that had gone further than ``update`` and died."""
        for path in self.directory.glob("[0-9]*"):
            if int(path.stem) > update:
                path.unlink(missing_ok=True)

    def evaluations(self) -> list[dict[str, Any]]:
        """Episodes of all evaluations, in order."""
        return [row for path in self._evaluated() for row in read_json(path)]

    def evaluation(self, update: int) -> list[dict[str, Any]]:
        """Episodes of the evaluation at an update; none where it is not there."""
        path = self.directory / f"{update:09}.json"
        return read_json(path) if path.exists() else []

    def latest_evaluation(self) -> list[dict[str, Any]]:
        """Episodes of the latest one."""
        return [row for path in self._evaluated()[-1:] for row in read_json(path)]

    def _evaluated(self) -> list[Path]:
        return sorted(self.directory.glob("[0-9]*.json"))
