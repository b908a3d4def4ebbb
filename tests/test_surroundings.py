"""Where commands are called: in a copied checkout, beside a Snakemake that was killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from checkout import ROOT, Checkout, copy_checkout
from gipo import surroundings
from gipo.errors import GipoError
from slurm_needs import on_slurm

WORKER = """
import signal, sys, time
from pathlib import Path
from gipo.surroundings import take_turn
state = Path(sys.argv[1])
take_turn(state, lambda line: None)
(state / "locks").mkdir(exist_ok=True)
(state / "locks" / "0.output.lock").touch()
print("works", flush=True)
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    time.sleep(100)
except KeyboardInterrupt:
    pass
"""


def work_in(state: Path) -> subprocess.Popen[str]:
    """A process that locks as Snakemake does, and then sleeps."""
    state.mkdir(exist_ok=True)
    process = subprocess.Popen([sys.executable, "-c", WORKER, str(state)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "works\n"
    return process


def end(process: subprocess.Popen[str], number: signal.Signals) -> None:
    process.send_signal(number)
    process.communicate(timeout=120)


def said(state: Path) -> list[str]:
    lines: list[str] = []
    surroundings.take_turn(state, lines.append)
    return lines


def test_the_lock_of_a_killed_process_is_removed(tmp_path: Path):
    killed = work_in(tmp_path)
    end(killed, signal.SIGKILL)
    (line,) = said(tmp_path)
    assert f"removed the lock of process {killed.pid} on" in line
    assert not (tmp_path / "locks").exists()


def test_the_lock_of_a_living_process_stays_though_another_was_killed(tmp_path: Path):
    killed, living = work_in(tmp_path), work_in(tmp_path)
    end(killed, signal.SIGKILL)
    try:
        (line,) = said(tmp_path)
        assert f"process {living.pid} on" in line
        assert (tmp_path / "locks" / "0.output.lock").exists()
    finally:
        end(living, signal.SIGKILL)


def test_a_lock_of_another_machine_stays_and_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    end(work_in(tmp_path), signal.SIGKILL)
    monkeypatch.setattr("gipo.processes.machine", lambda: "another")
    monkeypatch.setattr("platform.node", lambda: "another")
    (line,) = said(tmp_path)
    assert line.endswith("if it is gone, `make unlock`")
    assert (tmp_path / "locks" / "0.output.lock").exists()


def test_a_lock_from_before_this_machine_was_started_anew_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """After a power cut, say."""
    killed = work_in(tmp_path)
    end(killed, signal.SIGKILL)
    monkeypatch.setattr("gipo.processes.machine", lambda: "this machine, started anew")
    monkeypatch.setattr("gipo.processes.booted", lambda: time.time() + 1)
    (line,) = said(tmp_path)
    assert f"removed the lock of process {killed.pid} on" in line
    assert not (tmp_path / "locks").exists()


def test_a_lock_of_another_machine_of_this_name_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It was made after this one was started."""
    end(work_in(tmp_path), signal.SIGKILL)
    monkeypatch.setattr("gipo.processes.machine", lambda: "another")
    (line,) = said(tmp_path)
    assert line.endswith("if it is gone, `make unlock`")


def test_whoever_works_alone_is_told_so_and_no_other(tmp_path: Path):
    state = tmp_path / "state"
    assert surroundings.take_turn(state, print) is True
    other = work_in(state)
    try:
        assert surroundings.take_turn(state, print) is False
    finally:
        end(other, signal.SIGKILL)


def test_a_lock_of_nobody_known_stays(tmp_path: Path):
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "0.input.lock").touch()
    (line,) = said(tmp_path)
    assert line.endswith("if it is gone, `make unlock`")


def test_a_process_that_ends_leaves_no_note(tmp_path: Path):
    end(work_in(tmp_path), signal.SIGINT)
    assert list((tmp_path / "processes").iterdir()) == []


def test_no_note_is_left_though_snakemake_leaves_its_directory_before_it_ends(tmp_path: Path):
    """As it does after ``--directory``."""
    (tmp_path / "elsewhere").mkdir()
    code = """
import os
from pathlib import Path
from gipo.surroundings import take_turn
take_turn(Path(".snakemake"), print)
os.chdir("elsewhere")
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert list((tmp_path / ".snakemake" / "processes").iterdir()) == []


@pytest.mark.parametrize("character", [",", ":", "'", "$"])
def test_a_path_that_images_cannot_be_given_is_named(character: str):
    path = Path(f"/my{character}study")
    with pytest.raises(GipoError, match=r"Apptainer cannot work in .*: rename the folder"):
        surroundings.check_path(path, surroundings.NOT_FOR_IMAGES, "Apptainer")
    surroundings.check_path(Path("/für my study #1 & more"), surroundings.NOT_FOR_IMAGES, "Apptainer")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "user"),
    [("it's mine", ("-n", "--sdm", "apptainer"), "Apptainer"), ("100 %", ("-n", "--profile", "slurm"), "SLURM")],
)
def test_a_folder_that_jobs_cannot_be_given_is_named_before_they_are_sent(
    tmp_path: Path, name: str, options: tuple[str, ...], user: str
):
    pytest.importorskip("snakemake_executor_plugin_slurm")
    copied = on_slurm(copy_checkout(ROOT, tmp_path / name), "cpu_partition: main\ntrain_partition: gpu\n")
    done = copied.run("snakemake", "results/smoke/weights.csv", *options, "--config", "scale=smoke")
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert f"{user} cannot work in {copied.root}, because of " in said
    assert said.count("rename the folder") == 1
    assert "Traceback" not in said


@pytest.fixture
def copied(tmp_path: Path) -> Checkout:
    """A copy that is entered with the environment of the original."""
    return copy_checkout(ROOT, tmp_path / "copy")


def call_with_the_package_of_this_checkout(copied: Checkout, *command: str) -> subprocess.CompletedProcess[str]:
    here = Checkout(ROOT).environment
    return subprocess.run(command, cwd=copied.root, env=here, capture_output=True, text=True)


@pytest.mark.parametrize("command", [("snakemake", "-n"), ("gipo", "weights", "w.csv")])
def test_a_copy_that_runs_the_code_of_its_original_is_refused(copied: Checkout, command: tuple[str, ...]):
    done = call_with_the_package_of_this_checkout(copied, *command)
    assert done.returncode == 1
    assert (
        f"this checkout is {copied.root}, but gipo is that of {ROOT}: `make setup` makes an environment here"
        in done.stdout + done.stderr
    )
    assert not (copied.root / "w.csv").exists()


def test_a_command_in_a_folder_of_the_copy_is_refused_too(copied: Checkout):
    inside = Checkout(copied.root / "workflow")
    assert call_with_the_package_of_this_checkout(inside, "gipo", "weights", "w.csv").returncode == 1


@pytest.mark.slow
def test_snakemake_without_the_package_says_how_to_get_one(copied: Checkout, tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "sys.path[:] = [path for path in sys.path if not path.endswith('/src')]\n"
        "sys.meta_path[:] = [finder for finder in sys.meta_path if 'editable' not in repr(finder)]\n"
    )
    environment = Checkout(ROOT).environment | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(["snakemake", "-n"], cwd=copied.root, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "has no module gipo; `make setup` makes an environment that has" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.slow
def test_jobs_find_their_commands_though_the_environment_was_not_entered(copied: Checkout):
    environment = copied.environment | {"PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "snakemake", "results/smoke/weights.csv", "--config", "scale=smoke"]
    done = subprocess.run(command, cwd=copied.root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class Study:
    """Snakemake at a run that takes minutes, in a session of its own."""

    def __init__(self, checkout: Checkout) -> None:
        self.checkout = checkout
        self.process = subprocess.Popen(
            ["snakemake", "--config", "scale=laptop"],
            cwd=checkout.root,
            env=checkout.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=lambda: [signal.signal(n, signal.SIG_DFL) for n in (signal.SIGHUP, signal.SIGINT)],
        )
        while not self.run_locks():
            assert self.process.poll() is None
            time.sleep(0.1)

    def run_locks(self) -> list[Path]:
        return list(self.checkout.root.glob("results/runs/*/*/*/*/run.lock"))

    def locks(self) -> list[Path]:
        return list(self.checkout.root.glob(".snakemake/locks/*"))


@pytest.mark.slow
def test_a_lost_terminal_ends_the_jobs_and_leaves_no_lock(copied: Checkout):
    study = Study(copied)
    study.process.send_signal(signal.SIGHUP)
    study.process.wait(timeout=60)  # a run takes minutes
    assert study.run_locks() == study.locks() == []


@pytest.mark.slow
def test_after_a_kill_the_next_call_goes_on(copied: Checkout):
    study = Study(copied)
    assert study.locks()
    os.killpg(study.process.pid, signal.SIGKILL)
    study.process.wait()
    done = copied.snakemake(copied.root, "results/laptop/weights.csv", scale="laptop")
    assert done.returncode == 0, done.stderr
    assert f"removed the lock of process {study.process.pid} on" in done.stderr
