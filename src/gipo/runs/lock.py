"""One process at a time in a run directory: a lock file that outlives a killed holder and is then broken safely.

The file is made with O_EXCL and holds who made it. A thread of the holder touches it every `HEARTBEAT` seconds. A lock
is stale when its holder is gone: on this machine its process no longer exists (pid and start time, as pids are used
again); from another machine, which sees only files, when it was not touched for `STALE` seconds of the file server's
own clock. Until that is certain a newcomer waits; at the first sign of life it gives up.

Whoever removes a lock, its holder or a newcomer that found it stale, first makes a claim file named after the content
of the lock, again with O_EXCL, and looks once more: so nobody removes the lock of a third.
"""

from __future__ import annotations

import _thread
import hashlib
import json
import os
import platform
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from gipo.errors import GipoError

NAME = "run.lock"
HEARTBEAT = 20.0
"""Seconds between touches."""
STALE = 180.0
"""Seconds without a touch after which a holder on another machine counts as gone."""
LOST = signal.SIGUSR1
"""How the thread that touches the file ends the main one. SIGINT would not do: `nohup` and shells ignore it."""


@contextmanager
def locked(directory: Path, tell: Callable[[str], None] = print) -> Iterator[None]:
    """Keep `directory` to this process; to be entered by its main thread.

    Args:
        directory: is made where it does not exist.
        tell: takes a line when this has to wait, and one when it breaks a stale lock.

    Raises:
        GipoError: another process holds the directory; or this one was frozen for so long that it lost it, in which
            case it was interrupted at once when it woke up.
    """
    lock = _Lock(directory / NAME)
    before = signal.signal(LOST, signal.default_int_handler)
    try:
        lock.acquire(tell)
        try:
            yield
        finally:
            lock.release()
    except KeyboardInterrupt:
        if lock.lost:
            raise GipoError(f"this process was frozen for so long that another took over {directory}") from None
        raise
    finally:
        signal.signal(LOST, before)


@dataclass(frozen=True)
class Holder:
    """Who holds a lock."""

    host: str
    pid: int
    started: str | None
    """Start of the process, in ticks since the machine started; None where the system does not tell."""
    machine: str | None
    """Boot and process namespace in which the pid means this process; None where the system does not tell."""
    job: str | None
    """SLURM job."""
    token: str
    """Another one for each lock that is made."""

    @classmethod
    def this(cls) -> Holder:
        """This process."""
        job = os.environ.get("SLURM_JOB_ID")
        return cls(platform.node(), os.getpid(), _started(os.getpid()), _machine(), job, uuid.uuid4().hex)

    @classmethod
    def parse(cls, content: bytes) -> Holder | None:
        """Whoever wrote `content`; None where it is not whole, as its writer was killed at that moment."""
        try:
            return cls(**json.loads(content))
        except (ValueError, TypeError):
            return None

    def alive(self) -> bool | None:
        """Whether the process exists; None where that cannot be seen from here."""
        if self.machine is None or self.machine != _machine():
            return None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # another user's, of whose start some systems do not tell
            return None
        return _started(self.pid) == self.started

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" + (f" (SLURM job {self.job})" if self.job else "")


def _machine() -> str | None:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def _started(pid: int) -> str | None:
    """Start of a process in ticks; None where there is none, or only what is left of one that was killed."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


class _Lock:
    """The lock file as one process sees it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = json.dumps(asdict(Holder.this())).encode()
        self.lost = False
        self._released = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="run lock", daemon=True)

    def acquire(self, tell: Callable[[str], None]) -> None:
        """Make the file, once nobody else's is there.

        Raises:
            GipoError: somebody else is alive, or the file system refuses.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._wait_for(tell)
        except OSError as error:
            raise GipoError(f"cannot lock {self.path.parent}: {error}") from error
        self._heart.start()

    def _wait_for(self, tell: Callable[[str], None]) -> None:
        watched: tuple[bytes, float] | None = None
        while not self._make():
            if (found := _read(self.path)) is None:
                continue
            content, touched = found
            holder = Holder.parse(content)
            alive = holder.alive() if holder else None
            if alive or (watched and watched[0] == content and watched[1] != touched):
                raise GipoError(self._refusal(holder, touched))
            age = self._now() - touched
            if alive is False or age > STALE:
                tell(f"{self.path.parent}: breaking the lock of {holder or 'a killed process'}, which is gone")
                self._remove(content, touched)
            else:
                if watched is None:
                    tell(f"{self.path.parent}: waiting for a sign of life of {holder}, for {STALE - age:.0f} s at most")
                watched = found
                time.sleep(min(5.0, STALE / 20))

    def _refusal(self, holder: Holder | None, touched: float) -> str:
        age = max(0.0, self._now() - touched)
        return (
            f"{self.path.parent} is in use by {holder or 'another process'}, "
            f"whose last sign of life is {age:.0f} s old; wait for it or end it (its lock is {self.path.name})"
        )

    def release(self) -> None:
        """Remove the file, if it still is this process's."""
        self._released.set()
        self._heart.join()
        with suppress(OSError, GipoError):  # the next one finds that this process is gone
            self._remove(self.content)

    def _make(self) -> bool:
        """Make the file; false where there is one."""
        try:
            descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(descriptor, "wb") as file:
            file.write(self.content)
            file.flush()
            os.fsync(descriptor)
        found = _read(self.path)  # frozen before the write, this process may have lost it already
        return found is not None and found[0] == self.content

    def _remove(self, content: bytes, touched: float | None = None) -> None:
        """Remove the file if it still has this content, and was not touched since.

        Raises:
            GipoError: the claim was left behind by a process that was killed within it.
        """
        claim = self.path.with_name(f"{self.path.name}.{hashlib.sha256(content).hexdigest()[:12]}")
        try:
            os.close(os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        except FileExistsError:
            if (found := _read(claim)) and self._now() - found[1] > STALE:
                raise GipoError(f"{claim} was left behind by a killed process; delete it") from None
            time.sleep(0.05)
            return
        try:
            found = _read(self.path)
            if found and found[0] == content and touched in (None, found[1]):
                self.path.unlink()
        finally:
            claim.unlink()

    def _beat(self) -> None:
        """Body of the thread: touch the file until it is released or lost."""
        while not self._released.wait(HEARTBEAT):
            try:
                found = _read(self.path)
                if found is None or found[0] != self.content:
                    self.lost = True
                    _thread.interrupt_main(LOST)
                    return
                os.utime(self.path)  # with the server's time
            except OSError:  # the server does not answer: the next touch may succeed
                continue

    def _now(self) -> float:
        """Time of the file server."""
        probe = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}")
        probe.touch()
        try:
            return probe.stat().st_mtime
        finally:
            probe.unlink()


def _read(path: Path) -> tuple[bytes, float] | None:
    """Content and time of the last touch; None where there is no such file. Opening asks the server, not a cache."""
    try:
        with path.open("rb") as file:
            return file.read(), os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return None
