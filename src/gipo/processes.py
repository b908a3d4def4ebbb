"""Whether a process still exists, as far as this machine can see."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self


def machine() -> str | None:
    """Boot and process namespace in which a pid means one process; None where the system does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def started(pid: int) -> str | None:
    """Start of a process in ticks; None where there is none, or only what is left of one that was killed."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def booted() -> float | None:
    """When this machine was started, in seconds since the epoch; None where the system does not tell."""
    try:
        lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((float(line.split()[1]) for line in lines if line.startswith("btime ")), None)


def exists(where: str | None, pid: int, start: str | None) -> bool | None:
    """Whether a process exists; None where that cannot be seen from here.

    Args:
        where: the `machine` of that process.
        pid: its number there.
        start: when it started (`started`), as numbers are used again.
    """
    if where is None or where != machine():
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's, of whose start some systems do not tell
        return None
    return started(pid) == start


@dataclass(frozen=True)
class Mark:
    """A process in a few letters, for the name of a file that is its own."""

    machine: str
    """Digest of its machine and boot, 8 hexadecimal digits."""
    pid: int
    started: str

    PATTERN = r"[0-9a-f]{8}-\d+-\d+"

    def __str__(self) -> str:
        return f"{self.machine}-{self.pid}-{self.started}"

    @classmethod
    def own(cls) -> Self:
        """Of this process."""
        return cls(_here(), os.getpid(), started(os.getpid()) or "0")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Of what `str` gave, which matches `PATTERN`."""
        where, pid, start = text.split("-")
        return cls(where, int(pid), start)

    def exists(self) -> bool | None:
        """Whether the process exists; None where that cannot be seen from here."""
        return exists(machine(), self.pid, self.started) if self.machine == _here() else None


@cache
def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:8]


def _here() -> str:
    return _digest(machine() or "unknown")
