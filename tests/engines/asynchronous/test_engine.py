"""The asynchronous engine as a whole, on Ray and the real simulator: what it measures, and what it survives."""

import itertools
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import ray
import yaml
from ray.exceptions import RayActorError

from asynchronous_study import STUDY, make_spec
from gipo.engines import lockstep
from gipo.engines.asynchronous import supervisor
from gipo.engines.asynchronous.cluster import cluster
from gipo.engines.asynchronous.learner import LearnerProcess
from gipo.engines.asynchronous.processes import Process
from gipo.engines.asynchronous.ranks import Ranks
from gipo.engines.asynchronous.replay import ReplayServer
from gipo.engines.asynchronous.snapshots import Snapshots
from gipo.engines.asynchronous.supervisor import Supervisor
from gipo.engines.asynchronous.watchdog import Watch
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
        *("spec.json", "metrics.parquet", "evaluation.parquet", "policy.pt"),
        *("provenance.json", "engine.json", "manifest.json"),
    }
    assert not RunDirectory(path).scratch.exists()
    assert pd.read_parquet(path / "evaluation.parquet")["update"].tolist() == [0, 1200]
    assert pd.read_parquet(path / "metrics.parquet")["update"].tolist() == list(range(10, 1201, 10))
    engine = read_json(path / "engine.json")
    assert engine["episodes"] > 100
    assert engine["inference_rows"] >= engine["env_steps"] + engine["env_steps_lost"]
    assert not [name for name in engine if name.startswith("restarts_")]
    assert read_json(path / "provenance.json")["env_steps"] == engine["env_steps"]


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


@pytest.mark.parametrize("role", ["replay", "learner"])  # one that is a coroutine, and one that is a thread
def test_a_process_that_is_asked_to_end_ends(role, tmp_path):
    """Ray waits for the calls under way, and `run` is one; the process would live on, and answer nobody."""
    spec = make_spec()
    processes = {name: Process(tmp_path / "processes", name, 1) for name in ("replay", "learner")}
    ranks = Ranks(0, 1, tmp_path / "meeting")
    with cluster(spec):
        replay, learner = processes["replay"], processes["learner"]
        places = tmp_path / "pretrained", tmp_path / "replay"
        handles = {"replay": ray.remote(ReplayServer).options(name=replay.name).remote(spec, *places, replay)}
        given = spec, tmp_path / "run", "cpu", tmp_path / "pretrained", ranks, 60.0, learner
        actor = ray.remote(LearnerProcess).options(name=learner.name, max_concurrency=8)
        handles["learner"] = actor.remote(*given)
        ends = {name: handle.run.remote() for name, handle in handles.items()}
        while not all(process.beat.exists() and process.beat.read_text() for process in processes.values()):
            time.sleep(0.1)
        ready, _ = ray.wait([ends[role]], timeout=10)  # until both are at work
        assert not ready
        os.kill(int(processes[role].beat.read_text().split()[1]), signal.SIGTERM)
        with pytest.raises(RayActorError):
            ray.get(ends[role], timeout=30)


class Faults(threading.Thread):
    """Kills and stops processes of a run in turn, at random moments; half before its first checkpoint."""

    def __init__(self, run, roles, seed):
        super().__init__(daemon=True)
        self.checkpoint, self.folder, self.random = run.checkpoint, run.scratch / "processes", random.Random(seed)
        self.roles = list(zip(self.random.sample(roles, len(roles)), itertools.cycle((signal.SIGKILL, signal.SIGSTOP))))
        self.done = []

    def run(self):
        for number, (role, how) in enumerate(self.roles):
            while 2 * number >= len(self.roles) and not self.checkpoint.exists():
                time.sleep(0.05)
            time.sleep(self.random.uniform(0.0, 3.0))
            while not (pid := self.newest(role)):
                time.sleep(0.05)
            with suppress(ProcessLookupError):
                os.kill(pid, how)
                self.done.append((role, how.name))

    def newest(self, role):
        """Process id of the newest process of a role, once it has given a sign of life."""
        beats = sorted(self.folder.glob(f"{role}#*.beat"))
        words = beats[-1].read_text().split() if beats else []
        return int(words[1]) if len(words) == 3 and Path(f"/proc/{words[1]}").exists() else None


def held(spec, run):
    """Segments of a replay, and the episodes that ended in them, counted in its files."""
    segments = int(np.fromfile(run.scratch / "replay" / "counts", np.int64)[0])
    shape = -1, spec.replay.segment_length
    ends = [np.fromfile(run.scratch / "replay" / name, bool).reshape(shape) for name in ("terminated", "truncated")]
    assert segments < len(ends[0]), "nothing was overwritten"
    return segments, int((ends[0] | ends[1])[:segments].sum())


def test_counts_agree_with_the_replay_whoever_is_killed_or_hangs(tmp_path, monkeypatch):
    sections = {
        "replay": {"capacity": 65536, "lifetime": 2.0},
        "learner": {"updates": 3000},
        "evaluation": {"every": 1000},
    }
    spec, run, lines = make_spec(**sections), RunDirectory(tmp_path / "run"), []
    found = []
    summary = Supervisor.summary
    monkeypatch.setattr(Watch, "SILENCE", 10.0)
    monkeypatch.setattr(Supervisor, "summary", lambda self: found.append(held(spec, run)) or summary(self))
    roles = ["replay", "learner", "inference", "evaluator", *(f"rollout-{group}" for group in spec.replay.groups)]
    faults = Faults(run, roles, seed=1)
    faults.start()
    supervisor.train(spec, run.path, checkpoint_seconds=0.5, simulator_seconds=10.0, tell=lines.append)
    said = "\n".join(lines)
    print(said)
    assert len(faults.done) >= len(roles) - 1, "the run was over too soon"
    for role, _ in faults.done[:-1]:
        assert f"{role} died" in said or f"{role} gave no sign of life for 10 s" in said
    assert "gave no sign of life" in said
    engine, (segments, episodes) = read_json(run.engine), found[-1]
    assert engine["env_steps"] == segments * spec.replay.segment_length
    assert engine["env_steps"] == read_json(run.provenance)["env_steps"]
    assert engine["episodes"] == episodes
    workers = sum(engine.get(f"restarts_{role}", 0) + 1 for role in roles if role.startswith("rollout"))
    most = workers * spec.replay.segment_length * spec.replay.group_size
    assert 0 <= engine["env_steps_lost"] <= most
    assert 0 <= engine["episodes_lost"] <= most / spec.environment.episode_steps + workers * spec.replay.group_size
    assert engine["inference_rows"] >= engine["env_steps"] + engine["env_steps_lost"]
    restarts = sum(number for name, number in engine.items() if name.startswith("restarts_"))
    assert restarts == said.count("starting it again")
    evaluation = pd.read_parquet(run.evaluation)
    assert evaluation.groupby("update")["episode"].apply(list).to_dict() == {u: [0, 1, 2] for u in range(0, 3001, 1000)}
    metrics = pd.read_parquet(run.metrics)
    assert metrics["update"].tolist() == list(range(10, 3001, 10))
    assert metrics["env_steps"].is_monotonic_increasing
    assert metrics["env_steps"].iloc[-1] <= engine["env_steps"]
    assert (metrics["gap_mean"] >= 0).all()


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


def listening(pids):
    """Sockets of these processes that listen beyond the loopback, as lines of ``ss``."""
    found = subprocess.run(["ss", "-ltunpH"], capture_output=True, text=True, check=True).stdout.splitlines()
    own = [line for line in found if any(f"pid={pid}," in line for pid in pids)]
    assert own, "Ray listens somewhere"
    return [line for line in own if not re.search(r"\s(127\.|\[::1\]|\[::ffff:127\.)\S*:\d+\s", line)]


class Command:
    """``gipo train`` of a study in a process of its own."""

    def __init__(self, path, **sections):
        config = path / "study.yaml"
        config.write_text(yaml.safe_dump(STUDY | {name: STUDY[name] | content for name, content in sections.items()}))
        self.run = RunDirectory(path / "run")
        self.ray = Path(tempfile.mkdtemp(dir="/tmp"))
        arguments = [str(config), str(self.run.path), "--task=door-open-v3", "--regime=stale", "--method=gipo-1-1"]
        self.command = [sys.executable, "-m", "gipo", "train", *arguments, "--seed=5", "--checkpoint-seconds=0.5"]

    def start(self):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        environment["RAY_TMPDIR"] = str(self.ray)
        self.process = subprocess.Popen(
            self.command, stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment
        )

    def wait_for(self, condition):
        while not condition():
            assert self.process.poll() is None, self.process.stderr.read()
            time.sleep(0.05)

    def tokens(self, pids):
        """Files and command lines of a run that show its token."""
        environment = b"\0".join(Path(f"/proc/{pid}/environ").read_bytes() for pid in alive(pids))
        token = re.search(rb"RAY_AUTH_TOKEN=(\w+)", environment).group(1)
        folders = self.run.path, self.ray
        files = [path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
        assert any("gcs_server" in path.name for path in files), "the logs of Ray"
        shown = []
        for path in files:
            with suppress(FileNotFoundError):  # a snapshot that was evaluated meanwhile
                shown += [path] * (token in path.read_bytes())
        return shown + [pid for pid in alive(pids) if token in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def progressed(self):
        """Whether a checkpoint newer than now appears."""
        before = self.run.checkpoint.stat().st_mtime_ns if self.run.checkpoint.exists() else 0
        self.wait_for(lambda: self.run.checkpoint.exists() and self.run.checkpoint.stat().st_mtime_ns > before)


def test_no_process_outlives_the_run_and_it_resumes(tmp_path):
    command = Command(tmp_path, learner={"updates": 2400}, evaluation={"every": 1200})
    for with_signal in (signal.SIGTERM, signal.SIGKILL):
        command.start()
        command.progressed()
        left = descendants(command.process.pid)
        assert not listening(left), "beyond the loopback"
        assert not command.tokens(left)
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
    assert read_json(command.run.provenance)["interruptions"] == 2
    engine = read_json(command.run.engine)
    assert engine["env_steps"] == read_json(command.run.provenance)["env_steps"] > 8 * segments
    assert engine["inference_rows"] >= engine["env_steps"] + engine["env_steps_lost"]  # of all attempts
    assert engine["env_steps"] / 12 - 3 * 8 <= engine["episodes"] <= engine["env_steps"] / 12
