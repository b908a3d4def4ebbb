"""The smoke scale through real SLURM, with jobs that are cancelled, requeued and frozen and a Snakemake that is ended.

Up to the scorecard, which needs every run, baseline and table.

Needs a cluster at hand: sbatch on PATH, or a tool beside the checkout that starts one.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from checkout import Checkout, copy_checkout, read_plan
from gipo.files import read_json
from gipo.tables import PROVENANCE
from slurm_needs import missing_slurm, on_slurm

pytestmark = pytest.mark.slow

SITE = """
scale: smoke
cpu_partition: main
train_partition: gpu
gres: gpu:h200:1
device: cpu
cores_per_run: 1
runs_at_once: 2
runs_per_job: 4
checkpoint_seconds: 0
poll_seconds: 3
"""


@pytest.fixture(scope="module")
def cluster(checkout: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout that is set up for this cluster."""
    if reason := missing_slurm():
        pytest.skip(reason)
    return on_slurm(copy_checkout(checkout.root, tmp_path_factory.mktemp("slurm") / "it's my cluster #1"), SITE)


class Study:
    """``snakemake --profile slurm`` in a checkout, as a process of its own."""

    def __init__(self, checkout: Checkout) -> None:
        self.checkout = checkout
        self.output = (checkout.root / "snakemake.log").open("a+")
        self.process = subprocess.Popen(
            ["snakemake", "scorecard", "--profile", "slurm", "--config", "scale=smoke"],
            cwd=checkout.root,
            env=checkout.environment,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests in the background ignore it
        )

    def text(self) -> str:
        """Everything that was printed."""
        self.output.flush()
        return Path(self.output.name).read_text()

    def wait_for(self, condition: Callable[[], object], seconds: float = 900) -> object:
        """What `condition` returns once it is true."""
        until = time.monotonic() + seconds
        while not (found := condition()):
            assert self.process.poll() is None, self.text()[-5000:]
            assert time.monotonic() < until, self.text()[-5000:]
            time.sleep(0.02)
        return found

    def training(self, but: set[str]) -> tuple[str, int] | None:
        """SLURM job and process of a run that has a checkpoint and is in none of the jobs `but`; it is frozen."""
        for lock in self.checkout.root.glob("results/runs/*/*/*/*/run.lock"):
            try:
                holder = read_json(lock)
            except Exception:  # it is being written or was removed
                continue
            if holder["job"] is None:  # Snakemake's own, while it puts a run in order before the study starts
                continue
            if holder["job"] in but or not lock.with_name("checkpoint.pt").exists():
                continue
            try:
                os.kill(holder["pid"], signal.SIGSTOP)
            except ProcessLookupError:
                continue
            if lock.exists() and not lock.with_name("metrics.parquet").exists():
                return holder["job"], holder["pid"]
            os.kill(holder["pid"], signal.SIGCONT)
        return None


def ask(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def mine(root: Path) -> list[str]:
    """Jobs in the queue that were sent from a directory."""
    lines = ask("squeue", "-h", "-o", "%i|%Z").splitlines()
    return [job for job, _, place in (line.partition("|") for line in lines) if place == str(root)]


@pytest.fixture(scope="module")
def disturbed(cluster: Checkout) -> Checkout:
    """A checkout in which everything happened to a study that a cluster does to jobs, run to its end."""
    try:
        disturb(cluster)
    finally:
        for job in mine(cluster.root):
            ask("scancel", job)
    return cluster


def disturb(cluster: Checkout) -> None:
    """Run the study: stop Snakemake, start it again, cancel one job, let one end by its time limit, requeue one."""
    first = Study(cluster)
    first.wait_for(lambda: first.training(but=set()))
    first.process.send_signal(signal.SIGINT)  # the frozen run dies with its job
    first.process.wait(timeout=900)
    assert "Terminating processes on user request" in first.text()
    wait_until_empty(cluster.root)

    second = Study(cluster)
    cancelled, _ = second.wait_for(lambda: second.training(but=set()))
    ask("scancel", cancelled)
    overdue, _ = second.wait_for(lambda: second.training(but={cancelled}))  # it stays frozen
    ask("scontrol", "update", f"JobId={overdue}", "TimeLimit=1")
    requeued, _ = second.wait_for(lambda: second.training(but={cancelled, overdue}))
    ask("scontrol", "requeue", requeued)
    second.process.wait(timeout=1500)
    assert second.process.returncode == 0, second.text()[-5000:]
    for job, state in ((cancelled, "CANCELLED"), (overdue, "TIMEOUT")):
        assert ask("sacct", "-X", "-n", "-P", "-j", job, "-o", "state").startswith(state)
    assert "Restarts=1" in ask("scontrol", "show", "job", requeued)


def wait_until_empty(root: Path) -> None:
    for _ in range(1800):
        if not mine(root):
            return
        time.sleep(0.1)
    raise AssertionError(f"jobs are left in the queue: {mine(root)}")


def test_the_tables_equal_those_of_an_undisturbed_run_without_slurm(disturbed: Checkout, finished: Path):
    here, there = disturbed.root / "results" / "smoke", finished / "results" / "smoke"
    tables = sorted(path.relative_to(there) for path in there.rglob("*.parquet"))
    assert len(tables) == 6 * 4
    made = [name for name in PROVENANCE if name not in ("env_steps", "updates", "code_digest")]
    for table in tables:
        if table.stem == "runs":
            ours, theirs = (pd.read_parquet(root / table).drop(columns=made) for root in (here, there))
            pd.testing.assert_frame_equal(ours, theirs)
        else:
            assert (here / table).read_bytes() == (there / table).read_bytes(), table
    for csv in (path.relative_to(here) for path in here.rglob("*.csv")):
        assert (here / csv).read_bytes() == (there / csv).read_bytes(), csv


def test_interrupted_runs_went_on_from_their_checkpoints(disturbed: Checkout):
    runs = pd.read_parquet(disturbed.root / "results" / "smoke" / "tables" / "runs.parquet")
    sweeps = [pd.read_parquet(path) for path in (disturbed.root / "results/smoke/sweeps").glob("*/runs.parquet")]
    interruptions = pd.concat([runs, *sweeps]).drop_duplicates("run_id")["interruptions"]
    assert interruptions.sum() >= 1
    assert not list(disturbed.root.glob("results/runs/*/*/*/*/run.lock*"))


def test_nothing_is_left_to_do_with_or_without_slurm(disturbed: Checkout):
    for profile in ((), ("--profile", "slurm")):
        done = disturbed.run("snakemake", "scorecard", *profile, "--dry-run", "--config", "scale=smoke")
        assert done.returncode == 0, done.stderr
        assert read_plan(done.stdout).jobs == {}


def test_runs_share_jobs_with_one_gpu_each_and_the_rest_has_none(disturbed: Checkout):
    rows = ask("sacct", "-X", "-n", "-P", "-o", "comment,partition,alloctres,workdir", "-S", "now-1hours").splitlines()
    # Snakemake's; the doctor sends jobs from the same place
    jobs = [row.split("|") for row in rows if re.match(rf"rule_.*\|{disturbed.root}$", row)]
    trained = [job for job in jobs if job[0].startswith("rule_train-")]
    others = [job for job in jobs if job not in trained]
    assert {job[1] for job in trained} == {"gpu"}
    assert all("gres/gpu=1" in job[2] for job in trained if job[2])
    assert {cpus for job in trained for cpus in re.findall(r"cpu=(\d+)", job[2])} <= {"1", "2"}
    assert {job[1] for job in others} == {"main"}
    assert not any("gpu" in job[2] for job in others)
    # 15 runs in 6 jobs and their repetitions, all baselines in one, all after training in one, the gridworld
    assert len({job[0] for job in trained}) == 5
    names = {re.sub("_.*", "", job[0].removeprefix("rule_")) for job in others}
    assert names == {"baselines", "analysis-smoke", "gridworld"}


def test_logs_and_the_efficiency_of_jobs_are_kept(disturbed: Checkout):
    logs = list((disturbed.root / ".snakemake" / "slurm_logs").rglob("*.log"))
    assert any("rule train:" in log.read_text() for log in logs)
    assert all("update 200/200" in log.read_text() for log in disturbed.root.glob("results/runs/*/*/*/*/run.log"))
    reports = list((disturbed.root / "results" / "slurm").glob("efficiency_report_gipo_*.csv"))
    assert reports
    efficiency = pd.concat([pd.read_csv(path) for path in reports])
    assert (efficiency["Elapsed_sec"] > 0).any()


def test_the_doctor_finds_this_cluster_well(cluster: Checkout):
    done = cluster.run("gipo", "doctor", "--profile", "slurm", "--seconds", "120")
    assert done.returncode == 0, done.stderr
    for line in (
        "partition gpu is up",
        "a full training job: sbatch: Job",
        "partition gpu: a job on",
        "partition main: a job",
    ):
        assert re.search(rf"^ok    {line}", done.stderr, re.MULTILINE), done.stderr


@pytest.mark.parametrize(
    ("old", "new", "failure"),
    [
        ("device: cpu", "device: cuda", r"FAIL  PyTorch of make's environment on \S+ sees no GPU"),
        ("train_partition: gpu", "train_partition: fast", "FAIL  no partition 'fast'; this cluster has: gpu, main"),
        ("gres: gpu:h200:1", "gres: gpu:h200:9", "FAIL  a full training job: "),
    ],
)
def test_the_doctor_names_what_is_wrong(cluster: Checkout, tmp_path: Path, old: str, new: str, failure: str):
    ill = copy_checkout(cluster.root, tmp_path / "ill")
    (ill.root / "slurm").symlink_to("profiles/slurm")
    ill.edit("profiles/slurm/site.yaml", old, new)
    done = ill.run("gipo", "doctor", "--profile", "slurm", "--seconds", "60")
    assert done.returncode == 1
    assert re.search(rf"^{failure}", done.stderr, re.MULTILINE), done.stderr
