"""The asynchronous engine with a world model: what an update learns from, and a run whose learner dies."""

import asyncio
import os
import signal
import threading
import time
from contextlib import suppress

import pandas as pd
import pytest
import torch
from test_parts import NOWHERE, DirectInference, append, process

from asynchronous_study import STUDY
from gipo.engines.asynchronous import imagining, supervisor
from gipo.engines.asynchronous.imagining import ImaginingLearner, ImaginingReplay
from gipo.engines.asynchronous.ranks import Ranks
from gipo.engines.asynchronous.rollout import Rollout
from gipo.errors import GipoError
from gipo.learner import Learner
from gipo.runs.code import training_modules
from gipo.runs.directory import RunDirectory
from gipo.runs.finished import FinishedRun
from gipo.runs.spec import CHECKED
from gipo.study import Study
from small_study import IMAGINATION


def make_spec(ratio: int = 3, **settings):
    regime = {"lifetime": 0.874, "imagined": ratio}
    study = STUDY | {"regimes": {"stale": regime}, "imagination": IMAGINATION | settings}
    study |= {"environment": {"bins": 8, "episode_steps": 30}}
    return Study.model_validate(study).run("door-open-v3", "stale", "gipo-1-1", 5)


class Direct:
    """Stands for the peer: the replay, called without a process between."""

    def __init__(self, server):
        self.server = server

    def ask(self, method, *arguments):
        return asyncio.run(getattr(self.server, method)(*arguments))


@pytest.fixture
def server(tmp_path):
    spec = make_spec()
    server = ImaginingReplay(spec, NOWHERE, tmp_path / "replay", process("replay"))
    worker = Rollout(spec, NOWHERE, 1, 60.0, process("rollout-1"))
    worker.inference = DirectInference(spec)
    worker.begin()

    async def fill():
        server.promised = spec.learner.updates  # nothing waits for the learner
        for _ in range(30):
            await append(server, worker)

    asyncio.run(fill())
    return server


def learner_of(spec, server, path):
    learner = ImaginingLearner(spec, path, "cpu", NOWHERE, Ranks(0, 1, path / "meeting"), 60.0, process("learner"))
    learner.replay = Direct(server)
    learner.counts = {}
    return learner


def test_the_last_transitions_of_a_batch_are_imagined_by_the_policy_of_the_moment(server, tmp_path, monkeypatch):
    seen, update = [], Learner.update

    def watched(self, index):
        seen.append({name: tensor.clone() for name, tensor in self.replay.batch.tensors().items()})
        return update(self, index)

    monkeypatch.setattr(Learner, "update", watched)
    learner = learner_of(make_spec(), server, tmp_path / "run")
    for made in (0, 4):
        batches = asyncio.run(server.sample(made, 4))
        before = {name: torch.from_numpy(array.copy()) for name, array in batches.items()}
        learner._learn(batches)
        imagined = learner.imagination.replay
        for number, batch in enumerate(seen[-4:]):
            of_real = slice(32 * number, 32 * number + 8)
            for name, tensor in batch.items():
                assert torch.equal(tensor[:8], before[name][of_real].to(tensor.dtype)), name
            states = imagined.segments.observations.flatten(0, 1)
            assert (batch["observations"][8:, None] == states).all(-1).any(1).all()
            assert set(batch["versions"][8:].tolist()) <= {0, made}
    assert imagined.versions[: imagined.filled].unique().tolist() == [0, 4]


def test_requests_are_short_against_the_lifetime_of_imagined_transitions(server, tmp_path):
    """0.2 of 200 updates is 40; at this size half a megabyte would be 70 updates."""
    assert learner_of(make_spec(), server, tmp_path / "run").at_once == 5
    assert learner_of(make_spec(refit_every=3), server, tmp_path / "other").at_once == 3


def test_branches_begin_in_states_of_the_replay_of_today(server, tmp_path):
    learner = learner_of(make_spec(), server, tmp_path / "run")
    learner._learn(asyncio.run(server.sample(0, 4)))
    imagined = learner.imagination.replay
    stored = server.store.segments.observations[: server.store.filled].flatten(0, 1)
    first = imagined.segments.observations[: imagined.filled, 0]
    assert (first[:, None] == stored).all(-1).any(1).all()


def test_another_process_goes_on_with_the_same_model_and_the_same_branches(server, tmp_path):
    learner = learner_of(make_spec(), server, tmp_path / "run")
    learner.record.begin(0)
    learner._learn(asyncio.run(server.sample(0, 4)))
    learner._save()
    other = learner_of(make_spec(), server, tmp_path / "run")
    other._restore()
    kept, there = learner.imagination.state(), other.imagination.state()
    assert kept["fits"] == there["fits"]
    weights = zip(kept["model"]["parameters"], there["model"]["parameters"], strict=True)
    assert all(torch.equal(one, restored) for one, restored in weights)
    assert torch.equal(kept["replay"]["observations"], there["replay"]["observations"])


@pytest.mark.slow
def test_a_run_leaves_the_results_of_lockstep_though_its_learner_dies(tmp_path):
    spec, run = make_spec(), RunDirectory(tmp_path / make_spec().run_id)

    def kill_learner():
        while not run.checkpoint.exists():
            time.sleep(0.02)
        beat = next((run.scratch / "processes").glob("learner#*.beat"))
        with suppress(ProcessLookupError):
            os.kill(int(beat.read_text().split()[1]), signal.SIGKILL)

    killer = threading.Thread(target=kill_learner)
    killer.start()
    lines = []
    imagining.train(spec, run.path, checkpoint_seconds=0.0, tell=lines.append)
    killer.join()
    assert any("learner died" in line for line in lines), lines
    finished = FinishedRun.read(run.path)
    finished.check()
    table = finished.imagination()
    assert table["update"].unique().tolist() == [100, 200]
    assert table["horizon"].unique().tolist() == list(range(1, CHECKED + 1))
    assert (table["kept"] == 3).all()
    assert {"imagination.parquet", "engine.json"} <= set(finished.manifest.files)
    metrics = pd.read_parquet(run.path / "metrics.parquet")
    assert metrics["update"].tolist() == list(range(10, 201, 10))
    assert metrics["gap_mean"].iloc[-1] < 0.6 * 0.874 * 200, "three quarters are nearly fresh"


def test_the_engine_without_a_model_does_not_take_such_a_run(tmp_path):
    with pytest.raises(GipoError, match=r"has a world model: gipo\.engines\.asynchronous\.imagining trains it"):
        supervisor.train(make_spec(), tmp_path, tell=lambda line: None)


def test_only_runs_with_a_model_depend_on_its_code():
    plain = make_spec().model_copy(update={"imagination": None})
    assert training_modules(make_spec())[0] == "gipo.engines.asynchronous.imagining"
    assert training_modules(plain)[0] == "gipo.engines.asynchronous.supervisor"
