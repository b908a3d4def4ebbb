"""LIBERO on the asynchronous engine: the real simulator, and a tiny OpenVLA-OFT or a network on states."""

import os
import shutil
import signal
import threading
import time

import numpy as np
import pandas as pd
import pytest
import torch

from gipo.engines.asynchronous import supervisor
from gipo.engines.asynchronous.simulators import Simulators
from gipo.engines.asynchronous.snapshots import Snapshots
from gipo.engines.asynchronous.watchdog import Watch
from gipo.engines.suites import make_suite
from gipo.errors import GipoError
from gipo.evaluate import evaluate
from gipo.files import read_json
from gipo.models.openvla_oft.tiny import write_tiny
from gipo.runs.directory import RunDirectory
from gipo.study import Study
from libero_needs import skip_without_libero

skip_without_libero()

pytestmark = pytest.mark.slow

TASK = "libero_spatial_0"
STUDY = {
    "title": "Test",
    "suite": "libero",
    "tasks": [TASK],
    "environment": {"episode_steps": 40},
    "regimes": {"stale": 0.874},
    "methods": {"gipo-1-1": {"name": "gipo", "parameters": {"sigma_pos": 1.0, "sigma_neg": 1.0}}},
    "seeds": [0],
    "replay": {"capacity": 32, "segment_length": 4, "environments": 1, "group_size": 1, "warmup_steps": 4},
    "learner": {"updates": 4, "batch_size": 4, "accumulation": 2, "warmup_updates": 1, "policy_start": 1},
    "evaluation": {"every": 4, "episodes": 1},
    "diagnostics": {"every": 1},
    "asynchronous": {"inference_batch": 2},
}


def train(path, pretrained=None, learners=1, **sections):
    spec = Study.model_validate(STUDY | sections).run(TASK, "stale", "gipo-1-1", 0)
    lines = []
    machine = {"pretrained": pretrained} if pretrained else {}
    published = sections.get("published_success", {}).get(TASK)
    supervisor.train(spec, path, learners=learners, published_success=published, tell=lines.append, **machine)
    return RunDirectory(path), lines


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    directory = tmp_path_factory.mktemp("pretrained")
    write_tiny(directory / "tiny" / "seed0")
    return directory


def test_openvla_learns_from_frames_on_two_processes_though_one_of_them_hangs(tmp_path, pretrained, monkeypatch):
    def stop():
        files = tmp_path / "scratch" / "processes"
        while not (at := [path for path in files.glob("learner-1#*.doing") if path.read_bytes().startswith(b"update")]):
            time.sleep(0.05)
        os.kill(int(at[0].with_suffix(".beat").read_text().split()[1]), signal.SIGSTOP)

    def kill_and_wait(process):  # until the other learner has failed too
        kill(process)
        time.sleep(5.0 * (process.role == "learner-1"))

    kill = supervisor.kill
    monkeypatch.setattr(supervisor, "kill", kill_and_wait)
    monkeypatch.setattr(Watch, "SILENCE", 10.0)
    threading.Thread(target=stop, daemon=True).start()
    openvla = {"repository": "tiny", "revision": "seed0", "rank": 4}
    run, lines = train(tmp_path, pretrained, learners=2, openvla=openvla, published_success={TASK: 0.8})
    assert [line for line in lines if "learner-1 gave no sign of life for 10 s" in line], lines
    assert read_json(run.engine)["restarts_learner-1"] == 1
    metrics = pd.read_parquet(run.metrics)
    assert metrics["update"].tolist() == [1, 2, 3, 4]
    assert np.isfinite(metrics[["loss_policy", "loss_value", "grad_norm_policy"]]).all(axis=None)
    assert metrics["kl"].iloc[0] == pytest.approx(0, abs=1e-4)  # the policy that acted is the one that learns
    assert (metrics["grad_norm_policy"].iloc[2:] > 0).all()
    evaluation = pd.read_parquet(run.evaluation)
    assert evaluation["update"].tolist() == [0, 4]
    assert (evaluation["return"] == evaluation["success_any"]).all()


def test_a_start_that_is_clearly_worse_than_published_is_not_trained(tmp_path, pretrained):
    """A random model solves none of one episode, of which the interval is [0, 0.793]."""
    openvla = {"repository": "tiny", "revision": "seed0", "rank": 4}
    broken = {"openvla": openvla, "published_success": {TASK: 0.9}}
    with pytest.raises(GipoError, match=r"^tiny at seed0 is a broken start: .* of 1 episodes of libero_spatial_0"):
        train(tmp_path, pretrained, **broken)
    run = RunDirectory(tmp_path)
    assert not run.finished
    assert not run.checkpoint.exists()
    assert not list((run.scratch / "processes").glob("rollout-*"))
    assert [row["update"] for row in Snapshots(tmp_path).evaluations()] == [0]


def test_a_network_on_states_takes_the_shaped_reward_and_is_evaluated_again(tmp_path):
    run, _ = train(tmp_path / "run", states={"repeat": 4}, network={"hidden": 16, "value_hidden": 8})
    evaluation = pd.read_parquet(run.evaluation)
    named, out = tmp_path / run.read_spec().run_id, tmp_path / "evaluation.json"
    shutil.copytree(run.path, named)
    evaluate(named, out, 2, "most-probable", 0, "cpu", tmp_path, print)
    again = pd.read_csv(out.with_suffix(".csv"), float_precision="round_trip")
    assert again["return"][0] == evaluation["return"].iloc[-1]
    assert again["init_state"].tolist() == [40, 41]
    assert evaluation["update"].tolist() == [0, 4]
    assert (evaluation["return"] > 0).all()  # reaching pays in every step, success only at the end
    assert read_json(run.engine)["env_steps"] >= 8


def test_episodes_of_several_tasks_are_the_same_however_many_are_played_at_once(tmp_path):
    sections = {"states": {"repeat": 8}, "tasks": ["libero_spatial"], "evaluation": {"every": 4, "episodes": 2}}
    spec = Study.model_validate(STUDY | sections).run("libero_spatial", "stale", "gipo-1-1", 0)
    actor = make_suite(spec, tmp_path).make_actor(torch.device("cpu"))
    one_by_one = Simulators(spec, tmp_path, 1).evaluate(actor, 0, lambda: None)
    assert Simulators(spec, tmp_path, 2).evaluate(actor, 0, lambda: None) == one_by_one
    assert [row["episode"] for row in one_by_one] == [0, 1]
    assert len({row["return"] for row in one_by_one}) == 2


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(GipoError, match="tiny/none"):
        train(tmp_path, tmp_path, openvla={"repository": "tiny", "revision": "none"})
