"""The asynchronous engine as a whole, on Ray and the real simulator: what it measures, and what it survives."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from asynchronous_study import STUDY, make_spec
from gipo.engines import lockstep
from gipo.engines.asynchronous import supervisor
from gipo.engines.asynchronous.snapshots import Snapshots
from gipo.errors import GipoError
from gipo.files import read_json
from gipo.runs.directory import RunDirectory

pytestmark = pytest.mark.slow

LAG = {
    "replay": {"capacity": 2048},
    "learner": {"updates": 1200, "batch_size": 64},
    "evaluation": {"every": 1200, "episodes": 1},
}
"""A replay that is replaced 1.14 times, so that most of the run has the gaps of a full one."""


def gaps(path):
    """Mean and 95 % quantile of the version gap as shares of L, over the last fifth of the run."""
    metrics = pd.read_parquet(path / "metrics.parquet").tail(24)
    return metrics[["gap_mean", "gap_q95"]].mean().to_numpy() / (0.5 * 1200)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("asynchronous")
    lines = []
    spec = make_spec(**LAG).model_copy(update={"replay": make_spec(**LAG).replay.model_copy(update={"lifetime": 0.5})})
    supervisor.train(spec, path, tell=lines.append)
    return spec, path


def test_it_leaves_the_same_results_as_lockstep_and_how_it_ran(run):
    _, path = run
    assert {p.name for p in path.iterdir()} >= {
        *("spec.json", "metrics.parquet", "evaluation.parquet", "policy.pt", "provenance.json", "engine.json"),
    }
    assert not RunDirectory(path).scratch.exists()
    assert pd.read_parquet(path / "evaluation.parquet")["update"].tolist() == [0, 1200]
    assert pd.read_parquet(path / "metrics.parquet")["update"].tolist() == list(range(10, 1201, 10))
    engine = read_json(path / "engine.json")
    assert engine["segments_lost"] == 0
    assert engine["episodes"] > 100
    assert engine["inference_rows"] >= engine["env_steps"]


def test_at_the_same_lifetime_the_version_gaps_are_those_of_lockstep(run, tmp_path):
    spec, path = run
    lockstep.train(spec.model_copy(update={"asynchronous": None}), tmp_path, tell=lambda line: None)
    np.testing.assert_allclose(gaps(path), gaps(tmp_path), atol=0.08)
    np.testing.assert_allclose(gaps(path), [0.5, 0.95], atol=0.08)  # uniform on [0, L]


def test_a_loss_that_is_not_finite_is_one_clear_error(tmp_path):
    spec = make_spec(learner={"warmup_updates": 0, "policy_start": 0})
    learner = spec.learner.model_copy(update={"policy_learning_rate": 1e30})  # more than a config may ask for
    spec = spec.model_copy(update={"learner": learner})
    with pytest.raises(GipoError, match=r"update \d+: .* is (nan|inf)"):
        supervisor.train(spec, tmp_path, tell=lambda line: None)


def descendants(pid):
    """Process ids below ``pid``, with their names."""
    parents, names = {}, {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            names[int(path.name)] = (path / "cmdline").read_text().replace("\0", " ")
        except (OSError, IndexError):
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return {child: names[child] for child in found - {pid}}


def alive(pids):
    return [pid for pid in pids if Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text()]


def gone(pids, seconds=180):
    """Whether all of these processes have ended."""
    end = time.monotonic() + seconds
    while alive(pids) and time.monotonic() < end:
        time.sleep(0.2)
    return not alive(pids)


class Command:
    """``gipo train`` of a study in a process of its own."""

    def __init__(self, path, **sections):
        config = path / "study.yaml"
        config.write_text(yaml.safe_dump(STUDY | {name: STUDY[name] | content for name, content in sections.items()}))
        self.run = RunDirectory(path / "run")
        arguments = [str(config), str(self.run.path), "--task=door-open-v3", "--regime=stale", "--method=gipo-1-1"]
        self.command = [sys.executable, "-m", "gipo", "train", *arguments, "--seed=5", "--checkpoint-seconds=0.5"]

    def start(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True, start_new_session=True)

    def wait_for(self, condition):
        while not condition():
            assert self.process.poll() is None, self.process.stderr.read()
            time.sleep(0.05)

    def log(self):
        return self.run.log.read_text() if self.run.log.exists() else ""

    def kill(self, name):
        """Kill a process and wait for the supervisor to notice."""
        found = []
        self.wait_for(lambda: found.extend(p for p, n in descendants(self.process.pid).items() if name in n) or found)
        before = self.log().count("starting it again")
        os.kill(found[0], signal.SIGKILL)
        self.wait_for(lambda: self.log().count("starting it again") > before)

    def progressed(self):
        """Whether a checkpoint newer than now appears."""
        before = self.run.checkpoint.stat().st_mtime_ns if self.run.checkpoint.exists() else 0
        self.wait_for(lambda: self.run.checkpoint.exists() and self.run.checkpoint.stat().st_mtime_ns > before)


def test_every_process_may_die_and_the_run_goes_on(tmp_path):
    command = Command(tmp_path, learner={"updates": 4000}, evaluation={"every": 1000}, replay={"capacity": 8192})
    command.start()
    command.progressed()
    for name in ("Rollout", "Inference", "ReplayServer", "EvaluatorProcess", "LearnerProcess"):
        command.kill(f"ray::{name}")
        command.progressed()
    _, errors = command.process.communicate(timeout=300)
    assert command.process.returncode == 0, errors
    engine = read_json(command.run.engine)
    assert sum(number for name, number in engine.items() if name.startswith("restarts_")) == 5
    evaluation = pd.read_parquet(command.run.evaluation)
    assert evaluation.groupby("update")["episode"].apply(list).to_dict() == {u: [0, 1, 2] for u in range(0, 4001, 1000)}
    assert pd.read_parquet(command.run.metrics)["update"].tolist() == list(range(10, 4001, 10))


def test_no_process_outlives_the_run_and_it_resumes(tmp_path):
    command = Command(tmp_path, learner={"updates": 4000}, evaluation={"every": 2000})
    for with_signal in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        command.start()
        command.progressed()
        left = descendants(command.process.pid)
        os.kill(command.process.pid, with_signal)
        command.process.wait()
        assert gone(left), (with_signal, {pid: left[pid] for pid in alive(left)})
        assert not command.run.finished
    held = Snapshots(command.run.path).directory.parent / "replay" / "counts"
    segments = np.fromfile(held, np.int64)[0]
    assert segments > 0
    command.start()
    _, errors = command.process.communicate(timeout=300)
    assert command.process.returncode == 0, errors
    assert read_json(command.run.provenance)["interruptions"] == 3
