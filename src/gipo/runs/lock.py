"""One process at a time in a run directory: a lock file that outlives a killed holder and is then broken safely.

The file holds who made it, and is made whole, by a link that fails where there is one. A thread of the holder touches
it every `HEARTBEAT` seconds. A lock is stale when its holder is gone: on this machine its process no longer exists
(pid and start time, as pids are used again); from another machine, which sees only files, when it was not touched for
`STALE` seconds of the file server's own clock. Until that is certain a newcomer waits; at the first sign of life it
gives up.

Whoever removes a lock, its holder or a newcomer that found it stale, first makes a claim file named after the content
of the lock, in the same way, and looks once more: so nobody removes the lock of a third. A claim is held for
milliseconds, says whose it is, and when that one is gone is removed in the same way. Whoever gets the lock clears away
what others left: claims of locks that are no more, and temporary files.
"""

from __future__ import annotations

import _thread
import errno
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

from gipo import processes
from gipo.errors import GipoError
from gipo.files import clear_temporary, temporary

NAME = "run.lock"
HEARTBEAT = 20.0
"""Seconds between touches."""
STALE = 180.0
"""Seconds without a touch after which a holder on another machine counts as gone."""
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""Errors of file systems that have no links."""
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


def holder(path: Path) -> tuple[str, bool]:
    """Who made a lock or a claim, in words, and whether that one is gone, by this machine's clock; nothing is removed.

    A file that vanishes meanwhile is nobody's.
    """
    if (found := _read(path)) is None:
        return "nobody", False
    who = Holder.parse(found[0])
    alive = who.alive() if who else None
    return str(who or "a killed process"), alive is False or (alive is None and time.time() - found[1] > STALE)


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
        pid = os.getpid()
        return cls(platform.node(), pid, processes.started(pid), processes.machine(), job, uuid.uuid4().hex)

    @classmethod
    def parse(cls, content: bytes) -> Holder | None:
        """Whoever wrote `content`; None where it is not whole, as its writer was killed at that moment."""
        try:
            return cls(**json.loads(content))
        except (ValueError, TypeError):
            return None

    def alive(self) -> bool | None:
        """Whether the process exists; None where that cannot be seen from here."""
        return processes.exists(self.machine, self.pid, self.started)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" + (f" (SLURM job {self.job})" if self.job else "")


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
            self._clear()
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
            if self._is_gone(content, touched):
                tell(f"{self.path.parent}: breaking the lock of {holder or 'a killed process'}, which is gone")
                self._remove(self.path, content, touched)
            else:
                if watched is None:
                    wait = STALE - (self._now() - touched)
                    tell(f"{self.path.parent}: waiting for a sign of life of {holder}, for {wait:.0f} s at most")
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
        with suppress(OSError):  # the next one finds that this process is gone
            self._remove(self.path, self.content)

    def _make(self) -> bool:
        """Make the lock; false where there is one."""
        return self._put(self.path)

    def _put(self, path: Path) -> bool:
        """Make a file that says who this is, whole at once, so that none names nobody; false where there is one."""
        whole = temporary(path.with_name(f"{path.stem}-{uuid.uuid4().hex}{path.suffix}"))
        try:
            with whole.open("wb") as file:
                file.write(self.content)
                file.flush()
                os.fsync(file.fileno())
            os.link(whole, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            return _make(path, self.content)
        finally:
            whole.unlink(missing_ok=True)
        return True

    def _is_gone(self, content: bytes, touched: float) -> bool:
        """Whether the process that made a file is gone: seen on this machine, else by the age of the last touch."""
        holder = Holder.parse(content)
        alive = holder.alive() if holder else None
        return alive is False or (alive is None and self._now() - touched > STALE)

    def _remove(self, path: Path, content: bytes, touched: float | None = None) -> None:
        """Remove a file if it still has this content, and was not touched since; a claim that was left is removed."""
        claim = path.with_name(f"{path.name}.{hashlib.sha256(content).hexdigest()[:12]}")
        try:
            made = self._put(claim)
        except OSError:  # a full disk: while it is held, nobody has to know whose it is
            made = _make(claim, b"")
        if not made:
            if (found := _read(claim)) and self._is_gone(*found):
                self._remove(claim, *found)
            else:
                time.sleep(0.05)
            return
        try:
            found = _read(path)
            if found and found[0] == content and touched in (None, found[1]):
                path.unlink()
        finally:
            claim.unlink(missing_ok=True)

    def _clear(self) -> None:
        """Remove what processes that are gone left in the directory, which is this one's now."""
        clear_temporary(self.path.parent, alone=True)
        for claim in self.path.parent.glob(f"{NAME}.*"):
            if (found := _read(claim)) and self._is_gone(*found):
                claim.unlink(missing_ok=True)

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
        probe = temporary(self.path)
        try:
            with probe.open("wb") as file:
                os.utime(file.fileno())
                return os.fstat(file.fileno()).st_mtime
        finally:
            probe.unlink(missing_ok=True)


def _make(path: Path, content: bytes) -> bool:
    """Make a file that is empty for a moment; false where there is one."""
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        return False
    return True


def _read(path: Path) -> tuple[bytes, float] | None:
    """Content and time of the last touch; None where there is no such file. Opening asks the server, not a cache."""
    try:
        with path.open("rb") as file:
            return file.read(), os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return None
