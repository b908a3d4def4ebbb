"""The lock of a run directory, with real processes: two starts at once, kills, freezes, and a holder elsewhere."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

import pytest

from gipo.errors import GipoError
from gipo.files import temporary, write_json
from gipo.runs import lock
from gipo.runs.lock import NAME, Holder, locked

HOLDER = """
import signal, sys, time
from pathlib import Path
from gipo import processes
from gipo.runs import lock
from gipo.errors import GipoError

directory, machine, heartbeat, stale, interrupt = sys.argv[1:]
signal.signal(signal.SIGINT, signal.SIG_IGN if interrupt == "ignored" else signal.default_int_handler)
lock.HEARTBEAT, lock.STALE = float(heartbeat), float(stale)
if machine != "here":
    processes.machine = lambda: machine
try:
    with lock.locked(Path(directory), lambda line: print(line, flush=True)):
        print("locked", flush=True)
        while True:
            time.sleep(0.05)
except GipoError as error:
    print(error, flush=True)
    sys.exit(3)
"""


class Process:
    """A process that holds the lock until it is killed."""

    def __init__(
        self,
        directory: Path,
        machine: str = "here",
        heartbeat: float = 0.1,
        stale: float = 1.0,
        interrupt: str = "heard",
    ) -> None:
        command = [sys.executable, "-c", HOLDER, str(directory), machine, str(heartbeat), str(stale), interrupt]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, str]:
        output = self.process.communicate(timeout=20)[0]
        return self.process.returncode, output.strip()


@pytest.fixture
def started() -> Iterator[list[Process]]:
    """Processes to be cleared away after the test."""
    processes: list[Process] = []
    yield processes
    for process in processes:
        if process.process.poll() is None:
            process.process.kill()
        process.process.wait()
        if process.process.stdout:
            process.process.stdout.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT", 0.1)
    monkeypatch.setattr(lock, "STALE", 1.0)


def hold(directory: Path, started: list[Process], **settings: str | float) -> Process:
    process = Process(directory, **settings)
    started.append(process)
    assert process.line() == "locked"
    return process


def test_the_lock_is_gone_after_the_block_also_where_it_failed(tmp_path: Path):
    run = tmp_path / "a" / "run"
    with locked(run):
        assert (run / NAME).exists()
    with pytest.raises(ZeroDivisionError), locked(run):
        raise ZeroDivisionError
    assert list(run.iterdir()) == []


def test_a_second_start_names_the_holder(tmp_path: Path, started: list[Process], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    process = hold(tmp_path, started)
    message = (
        rf"in use by process {process.pid} on {os.uname().nodename} \(SLURM job 4711\), whose last sign .* \d+ s old"
    )
    with pytest.raises(GipoError, match=message), locked(tmp_path):
        pass
    process.send(signal.SIGINT)
    process.end()
    with locked(tmp_path):
        pass


def test_a_killed_holder_is_replaced_at_once(tmp_path: Path, started: list[Process]):
    process = hold(tmp_path, started)
    process.send(signal.SIGKILL)
    process.process.wait()
    lines: list[str] = []
    begin = time.monotonic()
    with locked(tmp_path, lines.append):
        assert time.monotonic() - begin < 5
    assert f"breaking the lock of process {process.pid} on" in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_a_killed_holder_that_nobody_has_waited_for_is_gone(tmp_path: Path, started: list[Process]):
    process = hold(tmp_path, started)
    process.send(signal.SIGKILL)
    while b"Z" not in Path(f"/proc/{process.pid}/stat").read_bytes().rpartition(b")")[2]:
        time.sleep(0.01)
    with locked(tmp_path):
        pass


def test_a_frozen_holder_of_this_machine_keeps_its_lock(tmp_path: Path, started: list[Process], quick: None):
    process = hold(tmp_path, started)
    process.send(signal.SIGSTOP)
    time.sleep(1.5)  # longer than STALE
    with pytest.raises(GipoError, match="is in use by"), locked(tmp_path):
        pass
    process.send(signal.SIGCONT)
    process.send(signal.SIGINT)
    assert process.end()[0] != 3


def test_another_process_with_the_holders_pid_is_not_the_holder(tmp_path: Path):
    write_json(tmp_path / NAME, asdict(replace(Holder.this(), started="1")))
    with locked(tmp_path):
        pass


def test_a_lock_that_was_never_written_is_broken_when_it_is_old(tmp_path: Path, quick: None):
    (tmp_path / NAME).touch()
    begin = time.monotonic()
    with locked(tmp_path):
        assert time.monotonic() - begin > 0.8


def test_a_living_holder_elsewhere_is_seen_by_its_touches(tmp_path: Path, started: list[Process], quick: None):
    hold(tmp_path, started, machine="elsewhere")
    lines: list[str] = []
    with pytest.raises(GipoError, match="is in use by"), locked(tmp_path, lines.append):
        pass
    assert "waiting for a sign of life of process" in lines[0]


def test_a_killed_holder_elsewhere_is_replaced_after_a_while(tmp_path: Path, started: list[Process], quick: None):
    process = hold(tmp_path, started, machine="elsewhere")
    process.send(signal.SIGKILL)
    begin = time.monotonic()
    with locked(tmp_path):
        assert 0.5 < time.monotonic() - begin < 10


@pytest.mark.parametrize("interrupt", ["heard", "ignored"])  # nohup and shells in the background ignore it
def test_a_frozen_holder_elsewhere_loses_its_lock_and_ends_when_it_wakes(
    tmp_path: Path, started: list[Process], quick: None, interrupt: str
):
    process = hold(tmp_path, started, machine="elsewhere", interrupt=interrupt)
    process.send(signal.SIGSTOP)
    with locked(tmp_path):
        process.send(signal.SIGCONT)
        code, output = process.end()
        assert (tmp_path / NAME).exists()
    assert code == 3
    assert "frozen for so long that another took over" in output


def test_of_many_that_find_a_stale_lock_one_gets_it(tmp_path: Path, started: list[Process]):
    for _ in range(2):
        process = hold(tmp_path, started)
        process.send(signal.SIGKILL)
        process.process.wait()
        rivals = [Process(tmp_path) for _ in range(6)]
        started.extend(rivals)
        outcomes = [outcome(rival) for rival in rivals]
        assert sorted(outcomes) == ["in use"] * 5 + ["locked"]
        winner = rivals[outcomes.index("locked")]
        winner.send(signal.SIGKILL)
        winner.process.wait()
        (tmp_path / NAME).unlink()


def outcome(process: Process) -> str:
    """Whether a process got the lock."""
    while line := process.line():
        if line == "locked":
            return line
        if "is in use by" in line:
            return "in use"
    return "nothing"


def test_threads_that_break_the_same_lock_remove_nobody_elses(tmp_path: Path):
    """Each says that it saw the same stale lock; only one may remove it, whatever follows it."""
    path = tmp_path / NAME
    write_json(path, asdict(replace(Holder.this(), started="1")))
    content = path.read_bytes()
    breakers = [lock._Lock(path) for _ in range(8)]
    winners: list[int] = []

    def break_and_make(number: int) -> None:
        breakers[number]._remove(path, content)
        if breakers[number]._make():
            winners.append(number)

    threads = [threading.Thread(target=break_and_make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(winners) == 1
    assert path.read_bytes() == breakers[winners[0]].content


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_claims_that_killed_processes_left_are_removed(tmp_path: Path, depth: int):
    """Each was killed while it removed what the one before had left."""
    path = tmp_path / NAME
    for _ in range(depth + 1):
        dead = replace_start(lock._Lock(path).content)
        path.write_bytes(dead)
        path = path.with_name(f"{path.name}.{sha256(dead).hexdigest()[:12]}")
    with locked(tmp_path):
        assert [found.name for found in tmp_path.iterdir()] == [NAME]
    assert list(tmp_path.iterdir()) == []


def test_a_claim_of_a_killed_process_elsewhere_is_removed_after_a_while(tmp_path: Path, quick: None):
    dead = replace_start(lock._Lock(tmp_path / NAME).content)
    (tmp_path / NAME).write_bytes(dead)
    (tmp_path / f"{NAME}.{sha256(dead).hexdigest()[:12]}").touch()
    begin = time.monotonic()
    with locked(tmp_path):
        assert time.monotonic() - begin > 0.8


def test_whoever_gets_the_lock_clears_away_what_killed_processes_left(tmp_path: Path):
    living = temporary(tmp_path / "kept" / "policy.pt")
    dead = living.with_name(living.name.replace(f"-{os.getpid()}-", "-999999999-"))
    elsewhere = living.with_name(f".policy.00000000-{os.getpid()}-1.pt")
    living.parent.mkdir()
    for path in (living, dead, elsewhere, tmp_path / "checkpoint.pt"):
        path.touch()
    (tmp_path / f"{NAME}.0123456789ab").write_bytes(replace_start(lock._Lock(tmp_path / NAME).content))
    with locked(tmp_path):
        pass
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {living, tmp_path / "checkpoint.pt"}


def test_a_lock_that_cannot_be_written_is_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Nobody could tell whose it is, and the next would wait for a sign of life."""

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(GipoError, match=r"cannot lock .*No space left"), locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_released_though_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with locked(tmp_path):
        monkeypatch.setattr("os.write", full)
    assert list(tmp_path.iterdir()) == []


def replace_start(content: bytes) -> bytes:
    """The lock of a process that is gone."""
    holder = Holder.parse(content)
    assert holder is not None
    return lock.json.dumps(asdict(replace(holder, started="1"))).encode()


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(GipoError, match="cannot lock"), locked(tmp_path / "file" / "run"):
        pass


def test_a_file_system_without_links_has_locks_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def no_links(*_: object) -> None:
        raise PermissionError(lock.errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(lock.os, "link", no_links)
    with locked(tmp_path):
        assert Holder.parse((tmp_path / NAME).read_bytes()) is not None
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_never_there_without_its_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Whatever is written, no file of the lock's name is there before it is whole."""
    fsync = os.fsync

    def look(descriptor: int) -> None:
        assert not (tmp_path / NAME).exists()
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(lock.os, "fsync", look)
        context = locked(tmp_path)
        context.__enter__()
    assert Holder.parse((tmp_path / NAME).read_bytes()) is not None
    context.__exit__(None, None, None)
