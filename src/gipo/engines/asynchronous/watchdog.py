"""Finds processes that hang: each gives signs of life, and the supervisor counts how long it heard none.

A sign of life is a touch of a file, once a second, by a thread of the process. It stays away when the process is
stopped or its interpreter stands still, for instance in C code that holds the lock; and the thread stops by itself when
a piece of work takes longer than it may. Waiting is no work, so a process may wait as long as it likes. A process that
hangs is found `Watch.SILENCE` seconds after its last sign of life, one with a simulator, which may hold the interpreter
for as long as a call may take, perhaps later, and one that never gave any `Watch.START` seconds after its start.
"""

from __future__ import annotations

import asyncio
import ctypes
import mmap
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gipo.engines.asynchronous.processes import Process

WORK_SECONDS = 600.0
"""Longest time that a forward pass, an update, a turn of an event loop or an action of the evaluation may take."""


class Heartbeat:
    """The signs of life of this process.

    With them it ends at once when it is asked to: Ray would first wait for the calls under way, of which `run` does not
    end, and the process would live on without an answer to anybody.

    Args:
        process: which one this is.
    """

    EVERY = 1.0  # seconds
    SIZE = 256  # bytes for what it is doing

    def __init__(self, process: Process) -> None:
        # the default action, which Python would set in the main thread only
        ctypes.CDLL(None).signal(signal.SIGTERM, None)
        process.folder.mkdir(parents=True, exist_ok=True)
        process.doing.write_bytes(bytes(self.SIZE))
        with process.doing.open("r+b") as file:
            self._doing = mmap.mmap(file.fileno(), self.SIZE)
        process.beat.write_text(f"{socket.gethostname()} {os.getpid()} {_born(os.getpid())}", encoding="utf-8")
        self._file = process.beat.open("rb")
        self._ends: dict[str, float] = {}
        """By when each piece of work under way has to be done."""
        threading.Thread(target=self._beat, daemon=True).start()

    @contextmanager
    def watch(self, doing: str, seconds: float = WORK_SECONDS) -> Iterator[None]:
        """No signs of life any more if the body takes longer."""
        self._doing[:] = doing.encode()[: self.SIZE].ljust(self.SIZE, b"\0")
        self.renew(doing, seconds)
        try:
            yield
        finally:
            del self._ends[doing]
            self._doing[:] = bytes(self.SIZE)

    def renew(self, doing: str, seconds: float = WORK_SECONDS) -> None:
        """As much time as at its start for a piece of work that has moved on."""
        self._ends[doing] = time.monotonic() + seconds

    async def attend(self) -> None:
        """No signs of life any more if the event loop stands still; never returns."""
        while True:
            self.renew("event loop")
            await asyncio.sleep(self.EVERY)

    def _beat(self) -> None:
        while True:
            if all(end > time.monotonic() for end in list(self._ends.values())):
                os.utime(self._file.fileno())
            time.sleep(self.EVERY)


class Watch:
    """The supervisor's side: how long each process has been silent, in time that the supervisor itself was awake.

    Every look counts `STEP` seconds at most, so nobody is blamed for a machine that slept, or for a disk that stood
    still: the supervisor touches a file of its own among theirs.

    Args:
        folder: where the files of all processes lie.
        clock: gives the time in seconds.
    """

    SILENCE = 120.0  # seconds
    START = 600.0  # seconds from the start of a process to its first sign of life: it is imported, perhaps it queues
    STEP = 2.0  # seconds

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._own, self._clock = folder / "supervisor.beat", clock
        self._looked = clock()
        self._patience: dict[Process, float] = {}
        self._silence: dict[Process, float] = {}
        self._beats: dict[Process, int] = {}

    def begin(self, process: Process, call_seconds: float = 0.0) -> None:
        """Watch a process from now on, one call of which may hold the interpreter for so long."""
        self._patience[process] = max(self.SILENCE, call_seconds)
        self._silence[process], self._beats[process] = 0.0, 0

    def end(self, process: Process) -> None:
        """Watch it no more."""
        self._silence.pop(process, None)

    def silent(self) -> list[Process]:
        """Those that have been silent for too long; to be called about once a second."""
        self._own.touch()
        elapsed = min(self._clock() - self._looked, self.STEP)
        self._looked += self._clock() - self._looked
        for process in self._silence:
            if (beat := _last_beat(process)) == self._beats[process]:
                self._silence[process] += elapsed
            else:
                self._silence[process], self._beats[process] = 0.0, beat
        return [process for process, seconds in self._silence.items() if seconds > self.patience(process)]

    def patience(self, process: Process) -> float:
        """Seconds that it may be silent."""
        return self._patience[process] if self._beats[process] else self.START


def last_words(process: Process) -> str:
    """The work of a process when it died or fell silent; empty if that is not known."""
    try:
        return process.doing.read_bytes().rstrip(b"\0").decode(errors="replace")
    except FileNotFoundError:
        return ""


def kill(process: Process, seconds: float = 30.0) -> None:
    """End a process of this machine for certain, a stopped one too, and wait until it is gone; none elsewhere."""
    try:
        host, pid, born = process.beat.read_text(encoding="utf-8").split()
    except (FileNotFoundError, ValueError):
        return
    end = time.monotonic() + seconds
    with suppress(ProcessLookupError):
        while host == socket.gethostname() and _born(int(pid)) == born and time.monotonic() < end:
            os.kill(int(pid), signal.SIGKILL)
            time.sleep(0.05)


def _last_beat(process: Process) -> int:
    try:
        with process.beat.open("rb") as file:  # opened, as a network file system may know an old time otherwise
            return os.fstat(file.fileno()).st_mtime_ns
    except FileNotFoundError:
        return 0


def _born(pid: int) -> str:
    """When a process of this machine was started, in ticks since boot; empty if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in "ZX" else fields[19]
