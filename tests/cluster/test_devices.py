"""Which GPU each training run takes, on a machine with GPUs in name only."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from gipo.cluster import devices
from gipo.errors import GipoError

CLAIM = """
import os, sys
from gipo.cluster.devices import VISIBLE, claimed
with claimed(int(sys.argv[1])):
    print(os.environ[VISIBLE], flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with eight GPUs, and a folder of its own for temporary files."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3,4,5,6,7")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    return tmp_path


@contextmanager
def run(gpus: int) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A process that holds GPUs, and which ones."""
    command = [sys.executable, "-c", CLAIM, str(gpus)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process, process.stdout.readline().strip().split(",")


@pytest.mark.usefixtures("node")
def test_runs_of_one_gpu_are_spread_over_the_node():
    with ExitStack() as stack:
        first = [stack.enter_context(run(1))[1][0] for _ in range(8)]
        assert sorted(first) == list("01234567")
        second = [stack.enter_context(run(1))[1][0] for _ in range(4)]
        assert set(Counter(first + second).values()) == {1, 2}


@pytest.mark.usefixtures("node")
def test_runs_of_several_gpus_share_none():
    with run(4) as (_, one), run(3) as (_, two), run(1) as (_, three):
        assert sorted(one + two + three) == list("01234567")


@pytest.mark.usefixtures("node")
def test_the_gpu_of_a_killed_run_is_free_again():
    with run(7), run(1) as (killed, gpu):
        killed.kill()
        killed.wait()
        with run(1) as (_, next_one):
            assert next_one == gpu


@pytest.mark.usefixtures("node")
def test_what_was_visible_is_visible_again():
    with devices.claimed(2):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
        with devices.claimed(1):
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert devices.visible() == list("01234567")


@pytest.mark.usefixtures("node")
def test_too_few_gpus_are_one_line():
    with pytest.raises(GipoError, match=r"the run needs 9 GPUs, and 8 are here"), devices.claimed(9):
        pass


@pytest.mark.parametrize(
    ("setting", "there"), [("", []), ("-1", []), ("3", ["3"]), ("GPU-a, GPU-b", ["GPU-a", "GPU-b"])]
)
def test_what_cuda_is_shown_is_what_there_is(setting: str, there: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", setting)
    assert devices.visible() == there


def test_gpus_are_counted_as_the_driver_lists_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert devices.visible() == []
    listed = tmp_path / "nvidia-smi"
    listed.write_text(
        "#!/bin/sh\necho 'GPU 0: NVIDIA H200 (UUID: GPU-1)'\necho '  MIG 1g Device 0'\necho 'GPU 1: NVIDIA'\n"
    )
    listed.chmod(0o755)
    assert devices.visible() == ["0", "1"]
