"""Ends a process whose simulator hangs, and keeps what it was doing for the supervisor to tell."""

from __future__ import annotations

import faulthandler
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE = 256


class Watchdog:
    """Watches the calls of one process into its simulator.

    The clock is a thread of the interpreter's that needs no lock, so it also ends a process that hangs in C code.

    Args:
        path: file that outlives the process.
        seconds: longest time that one watched call may take.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self.seconds = seconds
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(SIZE))
        self._traceback = path.with_suffix(".traceback").open("w", encoding="utf-8")
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), SIZE)

    @contextmanager
    def watch(self, doing: str) -> Iterator[None]:
        """End the process if the body takes too long."""
        self._memory[:] = doing.encode()[:SIZE].ljust(SIZE, b"\0")
        faulthandler.dump_traceback_later(self.seconds, exit=True, file=self._traceback)
        yield
        faulthandler.cancel_dump_traceback_later()
        self._memory[:] = bytes(SIZE)


def last_words(path: Path) -> str:
    """The simulator call during which the process with this file ended; empty if it was in none."""
    return path.read_bytes().rstrip(b"\0").decode(errors="replace") if path.exists() else ""


def hung(path: Path) -> bool:
    """Whether a watchdog ended the process with this file."""
    traceback = path.with_suffix(".traceback")
    return traceback.exists() and traceback.stat().st_size > 0
