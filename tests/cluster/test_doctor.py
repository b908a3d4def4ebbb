"""The doctor against commands with given answers; against a real SLURM it is tested with the workflow."""

import os
import re
import sys
import time
from pathlib import Path

import pytest

from gipo.cluster import doctor, probe, requests
from gipo.cluster.site import Site
from gipo.errors import GipoError

SITE = Site(scale="smoke", cpu_partition="main", train_partition="gpu", gres="gpu:h200:1", max_minutes=600)


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder at the head of PATH, for commands with given answers."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def answer(folder: Path, command: str, script: str) -> None:
    path = folder / command
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def texts(findings: object) -> dict[str, bool | None]:
    return {finding.text: finding.ok for finding in findings}


def test_partitions_that_fit(answers: Path):
    answer(
        answers,
        "sinfo",
        """case "$3" in main) echo 'main|up|1-00:00:00|(null)|4';; *) echo 'gpu|up|10:00:00|gpu:h200:8|2';; esac""",
    )
    found = texts(doctor.partition_findings(SITE))
    assert found == {
        "partition main is up, 4 nodes": True,
        "partition gpu is up, 2 nodes": True,
        "its time limit 1-00:00:00 holds what follows training = 121 minutes": True,
        "its time limit 10:00:00 holds max_minutes = 600 minutes": True,
        "its nodes have gpu:h200:8; asked is gpu:h200:1": True,
    }


def test_partitions_that_do_not(answers: Path):
    answer(
        answers,
        "sinfo",
        """case "$*" in *main*) ;; *gpu*) echo 'gpu|down|08:00:00|gpu:a100:8|2';; *) echo 'gpu\nlong';; esac""",
    )
    found = texts(doctor.partition_findings(SITE))
    assert set(found.values()) == {False}
    assert next(iter(found)) == "no partition 'main'; this cluster has: gpu, long"
    assert "its nodes have gpu:a100:8; asked is gpu:h200:1" in found


def test_a_short_time_limit_of_the_other_partition_is_found(answers: Path):
    answer(answers, "sinfo", "echo 'any|up|30:00|gpu:h200:8|2'")
    found = texts(doctor.partition_findings(SITE))
    assert [ok for text, ok in found.items() if text.startswith("its time limit 30:00 holds what follows")] == [False]


def test_a_training_job_is_tried_with_what_it_will_ask_for(answers: Path):
    answer(answers, "sbatch", "echo 'sbatch: Job 1 to start' >&2")
    site = SITE.model_copy(update={"scale": "full", "device": "cuda", "cores_per_run": 3, "runs_at_once": 4})
    metaworld, libero = (finding.text for finding in doctor.test_only(site))
    runs = site.studies().runs.values()
    largest = max(requests.memory_mb(run, 3, 1) for run in runs if run.suite == "metaworld")
    assert f"--gres=gpu:h200:1 -c 12 --mem={4 * largest} " in metaworld
    assert re.search(r"--gpus=8 --nodes=1 -c 17 --mem=6\d{4} -t 600$", libero)


@pytest.mark.parametrize(("seconds", "ok"), [("300", True), ("100", False)])
def test_a_queue_that_forgets_too_soon_is_named(answers: Path, tmp_path: Path, seconds: str, ok: bool):
    answer(answers, "scontrol", f"echo 'MinJobAge               = {seconds} sec'")
    answer(answers, "squeue", "true")
    assert list(texts(doctor.queue_findings(SITE, tmp_path)).values()) == [ok]


def test_jobs_left_behind_are_named_with_what_ends_them(answers: Path, tmp_path: Path):
    answer(answers, "scontrol", "echo 'MinJobAge = 3600 sec'")
    answer(answers, "squeue", f"echo 'gipo_one|{tmp_path}'; echo 'gipo_two|/elsewhere'; echo 'other|{tmp_path}'")
    left = [text for text, ok in texts(doctor.queue_findings(SITE, tmp_path)).items() if ok is None]
    assert len(left) == 1
    assert left[0].endswith("`scancel --name gipo_one`, `make unlock`")


def test_a_node_is_judged_by_what_its_job_saw(answers: Path, tmp_path: Path):
    answer(answers, "apptainer", "case $2 in *bad.sif) echo 'FATAL: no squashfs' >&2; exit 255;; esac")
    saw = probe.look([tmp_path / "bad.sif", tmp_path / "good.sif"], gpu=False)
    assert saw["gpu"] == {}
    assert texts(doctor._images(saw)) == {
        "bad.sif does not start: FATAL: no squashfs": False,
        f"image good.sif starts on {saw['host']}": True,
    }
    assert saw["cores"] == len(os.sched_getaffinity(0))
    host = saw["host"]
    good = texts(doctor._seen("gpu", saw | {"gpu": {"x.sif": "NVIDIA H200"}, "cores": 1}, time.time(), 2.0))
    assert set(good.values()) == {True}
    bad = texts(doctor._seen("gpu", saw | {"time": time.time() - 60, "gpu": {"x.sif": ""}}, time.time(), 2.0))
    assert [text for text, ok in bad.items() if ok is False] == [
        f"clocks of {host} and of the file server are 60.0 s apart",
        f"PyTorch of x.sif on {host} sees no GPU; try another gres",
    ]


def test_the_pytorch_that_will_learn_is_asked_for_its_gpu(answers: Path, tmp_path: Path):
    """Where jobs run in images, the one outside of them may be for CPUs, or the other way round."""
    answer(answers, "apptainer", """case "$*" in *true) ;; *--nv*libero*) echo 'NVIDIA H200';; esac""")
    images = [tmp_path / name for name in ("base-1.sif", "libero-1.sif", "metaworld-1.sif", "report-1.sif")]
    assert probe.look(images, gpu=True)["gpu"] == {"libero-1.sif": "NVIDIA H200", "metaworld-1.sif": ""}
    assert probe.look([], gpu=True)["gpu"] == {"make's environment": probe.asked([sys.executable])}


def test_a_machine_without_slurm_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "site.yaml").write_text("cpu_partition: main\ntrain_partition: gpu\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    lines: list[str] = []
    with pytest.raises(GipoError, match=r"\d of \d checks failed"):
        doctor.examine(tmp_path / "site.yaml", tmp_path, 1.0, lines.append)
    assert "FAIL  not on PATH: sbatch, squeue, sinfo, scancel, scontrol; this is no machine that submits jobs" in lines
