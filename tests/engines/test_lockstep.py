"""The engine on the real simulator: determinism, interruption, the version-gap law, and clear errors for faults."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from scipy import stats

from gipo.engines import attempt, lockstep
from gipo.engines.record import Record
from gipo.engines.suites import make_suite
from gipo.engines.workers import WorkerPool
from gipo.errors import GipoError
from gipo.files import read_json
from gipo.learner import Learner
from gipo.models.mlp import make_model
from gipo.runs import checkpoint
from gipo.runs.directory import RunDirectory
from gipo.runs.finished import FinishedRun
from gipo.runs.manifest import RunManifest
from gipo.study import Study
from small_study import STUDY

NOWHERE = Path("models-that-a-small-network-needs-not")
BYTES = ("metrics.parquet", "evaluation.parquet", "policy.pt")
"""Results whose every byte follows from the spec."""
RESULTS = (*BYTES, "spec.json", "provenance.json", "manifest.json")


def make_spec(regime="stale", **sections):
    study = STUDY | {name: STUDY[name] | content for name, content in sections.items()}
    return Study.model_validate(study).run("door-open-v3", regime, "gipo-1-1", 5)


def train(spec, path, **settings):
    lockstep.train(spec, path, tell=lambda line: None, **settings)
    return {name: (path / name).read_bytes() for name in BYTES}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    path = tmp_path_factory.mktemp("undisturbed") / make_spec().run_id
    return path, train(make_spec(), path)


def test_the_run_directory_holds_the_results_and_no_checkpoint(undisturbed):
    path, _ = undisturbed
    assert {p.name for p in path.iterdir()} == {
        *RESULTS,
        "run.log",
        "progress.json",
        "kept",
    }
    provenance = read_json(path / "provenance.json")
    assert provenance["updates"] == 200
    assert provenance["interruptions"] == 0
    metrics = pd.read_parquet(path / "metrics.parquet")
    assert metrics["update"].tolist() == list(range(10, 201, 10))
    evaluation = pd.read_parquet(path / "evaluation.parquet")
    assert evaluation.groupby("update")["episode"].apply(list).to_dict() == {u: [0, 1, 2] for u in (0, 100, 200)}
    assert (evaluation["success_any"] >= evaluation["success_last"]).all()
    assert "update 200/200" in (path / "run.log").read_text()


def test_what_a_run_leaves_is_read_as_finished(undisturbed):
    FinishedRun.read(undisturbed[0]).check()


def test_the_policy_on_disk_is_the_one_that_was_evaluated(undisturbed):
    path, _ = undisturbed
    spec = RunDirectory(path).read_spec()
    suite = make_suite(spec, NOWHERE)
    actor = suite.make_actor(torch.device("cpu"))
    actor.load(torch.load(path / "policy.pt", weights_only=True))
    rows = [row for episodes in spec.evaluation_groups for row in suite.evaluate(actor, 200, episodes)]
    evaluation = pd.read_parquet(path / "evaluation.parquet")
    assert [row["return"] for row in rows] == evaluation.loc[evaluation["update"] == 200, "return"].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_workers_changes_nothing(undisturbed, tmp_path, workers):
    assert train(make_spec(), tmp_path, workers=workers) == undisturbed[1]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_killed_again_and_again_equals_one_that_was_not(undisturbed, tmp_path, workers):
    config = tmp_path / "study.yaml"
    config.write_text(yaml.safe_dump(STUDY))
    run = tmp_path / "run"
    command = [sys.executable, "-m", "gipo", "train", str(config), str(run), "--task=door-open-v3", "--regime=stale"]
    command += ["--method=gipo-1-1", "--seed=5", f"--workers={workers}", "--checkpoint-seconds=0"]
    delays = iter(np.random.default_rng(0).uniform(0.0, 0.4, size=2))
    kills = 0
    for delay in delays:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
        before = RunDirectory(run).checkpoint.stat().st_mtime_ns if RunDirectory(run).checkpoint.exists() else 0
        while process.poll() is None:
            saved = RunDirectory(run).checkpoint
            if saved.exists() and saved.stat().st_mtime_ns > before:
                time.sleep(delay)
                os.killpg(process.pid, signal.SIGKILL)
                kills += process.wait() == -signal.SIGKILL
            time.sleep(0.01)
        process.communicate()
    subprocess.run(command, check=True, capture_output=True)
    assert kills >= 1
    assert read_json(run / "provenance.json")["interruptions"] >= 1
    assert {name: (run / name).read_bytes() for name in BYTES} == undisturbed[1]


def interrupt_after(spec, path, updates, train=train):
    """Leave a run with a checkpoint, as an abort at ``updates`` would."""

    original = Learner.update

    def update(self, index, again=False):
        if self.updates == updates:
            raise KeyboardInterrupt
        return original(self, index, again)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "update", update)
        with pytest.raises(KeyboardInterrupt):
            train(spec, path, checkpoint_seconds=0)


def test_an_aborted_run_goes_on_from_its_checkpoint(undisturbed, tmp_path):
    interrupt_after(make_spec(), tmp_path, 120)
    lines = []
    lockstep.train(make_spec(), tmp_path, tell=lines.append)
    assert "going on from update" in lines[0]
    assert {name: (tmp_path / name).read_bytes() for name in BYTES} == undisturbed[1]


def test_a_run_that_dies_while_it_writes_its_results_leaves_the_trained_policy_when_started_again(
    undisturbed, tmp_path, monkeypatch
):
    def full_disk(*_):
        raise GipoError("no space left")

    saved = tmp_path / "run" / "checkpoint.pt"
    with monkeypatch.context() as patch:
        patch.setattr(Record, "write", full_disk)
        with pytest.raises(GipoError, match="no space left"):
            train(make_spec(), tmp_path / "run", checkpoint_seconds=0)
    assert checkpoint.load(saved)["learner"]["updates"] == 200
    assert train(make_spec(), tmp_path / "run") == undisturbed[1]


def test_a_run_interrupted_before_its_first_update_evaluates_the_start_once(undisturbed, tmp_path):
    interrupt_after(make_spec(), tmp_path, 0)
    assert train(make_spec(), tmp_path) == undisturbed[1]


def test_a_checkpoint_of_other_code_is_not_used(undisturbed, tmp_path, monkeypatch):
    interrupt_after(make_spec(), tmp_path, 50)
    monkeypatch.setattr(attempt, "code_of", lambda spec: "0" * 64)
    lines = []
    lockstep.train(make_spec(), tmp_path, tell=lines.append)
    assert "other code" in lines[0]
    assert {name: (tmp_path / name).read_bytes() for name in BYTES} == undisturbed[1]


def test_a_checkpoint_of_another_run_is_refused_and_stays(tmp_path):
    interrupt_after(make_spec("fresh"), tmp_path / "other", 50)
    interrupt_after(make_spec(), tmp_path / "run", 50)
    saved = RunDirectory(tmp_path / "run").checkpoint
    content = RunDirectory(tmp_path / "other").checkpoint.read_bytes()
    saved.write_bytes(content)
    with pytest.raises(GipoError, match=r"checkpoint .* is of another run, door-open-v3/fresh/.*; delete it"):
        train(make_spec(), tmp_path / "run")
    assert saved.read_bytes() == content


def test_every_start_is_an_attempt_of_the_manifest(undisturbed, tmp_path):
    interrupt_after(make_spec(), tmp_path, 50)
    interrupt_after(make_spec(), tmp_path, 120)
    train(make_spec(), tmp_path)
    starts = [attempt.from_update for attempt in RunManifest.read(tmp_path / "manifest.json").attempts]
    assert starts[0] == 0 < starts[1] <= 50 < starts[2] <= 120
    assert read_json(tmp_path / "provenance.json")["interruptions"] == 2
    assert len(RunManifest.read(undisturbed[0] / "manifest.json").attempts) == 1


@pytest.mark.parametrize("damage", [lambda data: data[:-100], lambda data: data[:5000] + b"x" + data[5001:]])
def test_a_corrupt_checkpoint_is_named(tmp_path, damage):
    interrupt_after(make_spec(), tmp_path, 50)
    saved = RunDirectory(tmp_path).checkpoint
    saved.write_bytes(damage(saved.read_bytes()))
    with pytest.raises(GipoError, match=r"checkpoint .*checkpoint\.pt is corrupt"):
        train(make_spec(), tmp_path)


def test_a_checkpoint_for_which_there_is_no_memory_is_not_called_corrupt(tmp_path, monkeypatch):
    def no_memory(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    checkpoint.save(tmp_path / "checkpoint.pt", {})
    monkeypatch.setattr(torch, "load", no_memory)
    with pytest.raises(RuntimeError, match="memory"):
        checkpoint.load(tmp_path / "checkpoint.pt")


def test_of_two_starts_at_once_one_trains_and_the_other_names_it(undisturbed, tmp_path):
    config = tmp_path / "study.yaml"
    config.write_text(yaml.safe_dump(STUDY))
    command = [sys.executable, "-m", "gipo", "train", str(config), str(tmp_path / "run"), "--task=door-open-v3"]
    command += ["--regime=stale", "--method=gipo-1-1", "--seed=5"]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = {process.pid: process.communicate()[1] for process in both}
    done = [process.pid for process in both if process.returncode == 0]
    refused = [process.pid for process in both if process.returncode == 1]
    assert len(done) == len(refused) == 1
    assert f"is in use by process {done[0]} on" in errors[refused[0]]
    assert {name: (tmp_path / "run" / name).read_bytes() for name in BYTES} == undisturbed[1]


@pytest.mark.slow
def test_a_dead_worker_is_named():
    pool = WorkerPool(make_spec(), NOWHERE, workers=2)
    pool.start(make_model(make_spec(), 39, 4).state_dict(), 0)
    pool.finish()
    pool.processes[1].kill()
    with pytest.raises(GipoError, match=r"worker 1 of run .* died \(exit code -9\)"):
        pool.state()
    pool.close()


def test_nan_in_training_ends_the_run_and_keeps_the_checkpoint(tmp_path, monkeypatch):
    original = Learner.targets

    def targets(self, segments):
        advantages, value_targets = original(self, segments)
        return advantages, value_targets * (float("nan") if self.updates > 100 else 1)

    monkeypatch.setattr(Learner, "targets", targets)
    with pytest.raises(GipoError, match=r"update \d+: loss_value is nan"):
        train(make_spec(), tmp_path, checkpoint_seconds=0)
    assert RunDirectory(tmp_path).checkpoint.exists()
    assert not RunDirectory(tmp_path).finished


@pytest.mark.slow
@pytest.mark.parametrize(("regime", "old_frac"), [("fresh", 0.0), ("stale", 0.884)])
def test_the_version_gap_of_a_real_run_is_uniform_up_to_the_lifetime(tmp_path, monkeypatch, regime, old_frac):
    """K and L are the paper's shares of all updates. Rounds are short against L, as the law assumes."""
    spec = make_spec(
        regime,
        environment={"episode_steps": 50},
        replay={"capacity": 4096, "segment_length": 8, "environments": 4, "group_size": 4, "warmup_steps": 32},
        learner={"updates": 2000},
        evaluation={"every": 2000, "episodes": 1},
    )
    gaps: list[tuple[int, np.ndarray]] = []
    original = Learner.update

    def update(self, index, again=False):
        losses, norms = original(self, index, again)
        if losses is not None:
            gaps.append((self.updates, losses.gap.numpy()))
        return losses, norms

    monkeypatch.setattr(Learner, "update", update)
    train(spec, tmp_path)
    lifetime = spec.lifetime_updates
    window = [(u, gap) for u, gap in gaps if u > 0.8 * spec.learner.updates]
    relative = np.concatenate([gap / min(u, lifetime) for u, gap in window])
    assert stats.kstest(relative, stats.uniform(0, 1).cdf).statistic < 0.03
    share_old = np.mean(np.concatenate([gap for _, gap in window]) >= spec.old_gap_updates)
    assert share_old == pytest.approx(old_frac, abs=0.015)
