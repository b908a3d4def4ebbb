"""The processes of a run: what each is called, and the counts that it leaves behind when it dies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[Any]
"""Named numbers in a file: a structured array without dimensions, or [processes]."""

ROLLOUT = np.dtype([("env_steps", "i8"), ("episodes", "i8")])
"""Env steps taken, and episodes ended, whether or not the replay ever had them."""
INFERENCE = np.dtype([("inference_batches", "i8"), ("inference_rows", "i8")])
"""Forward passes, and the observations in them."""
LEARNER = np.dtype([("updates", "i8"), ("d95", "f8"), ("dead", "f8")])
"""Updates made, and D0.95 and dead share of the latest that was logged, NaN before."""


@dataclass(frozen=True)
class Process:
    """One process of a run.

    Args:
        folder: where the files of all processes of the run lie.
        role: what it does.
        incarnation: a number higher than that of every earlier process of this role.
    """

    folder: Path
    role: str
    incarnation: int

    @property
    def name(self) -> str:
        """Name of the actor: Ray does not always forget that of a dead one, so each has its own."""
        return f"{self.role}#{self.incarnation}"

    @property
    def beat(self) -> Path:
        """File that is touched while the process lives (`gipo.engines.asynchronous.watchdog`)."""
        return self.folder / f"{self.name}.beat"

    @property
    def doing(self) -> Path:
        """File that says what it is doing."""
        return self.folder / f"{self.name}.doing"

    def count(self, dtype: np.dtype[Any]) -> Counts:
        """Its counts, zero at first, in a file: what is counted is not lost when the process is killed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return map_counts(self.folder / f"{self.name}.counts", dtype)


def map_counts(path: Path, dtype: np.dtype[Any], size: tuple[int, ...] = ()) -> Counts:
    """Counts in a file: zeros if it is new, else what was there."""
    if not path.exists() or not path.stat().st_size:
        path.write_bytes(bytes(dtype.itemsize * int(np.prod(size))))  # not sparse: a full disk is told here
    return np.memmap(path, dtype, mode="r+", shape=size)


def read_counts(folder: Path, role: str, dtype: np.dtype[Any]) -> Counts:
    """Counts of all processes that ever had this role, dead ones as well, oldest first, [processes]."""
    paths = sorted(folder.glob(f"{role}#*.counts"), key=lambda path: int(path.stem.rpartition("#")[2]))
    return np.concatenate([np.empty(0, dtype), *(np.fromfile(path, dtype) for path in paths)])
