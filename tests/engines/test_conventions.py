"""Runs by the conventions of the authors' code: same bytes after an interruption, and transitions as they say."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch

from gipo.engines import lockstep
from gipo.learner import Learner
from gipo.study import Study
from small_study import STUDY

BYTES = ("metrics.parquet", "evaluation.parquet", "policy.pt")
SCRIPT = {  # of the released single-file script
    "regimes": {"stale": 0.4},
    "replay": {"capacity": 320, "segment_length": 10, "environments": 1, "group_size": 1, "rounds": "in-turn"}
    | {"warmup_steps": 10},
    "learner": {"updates": 400, "batch_size": 8, "accumulation": 1, "warmup_updates": 10, "policy_start": 0}
    | {"uses": 5, "policy_every": 5, "sampling": "distinct", "schedule": "round", "kl": "exact"}
    | {"advantage_deviation": "population", "truncation_bootstraps": False, "weight_decay": 0.0},
    "evaluation": {"every": 200, "episodes": 2, "action": "most-probable"},
}
STUDY_CODE = {  # of the study's code
    "replay": STUDY["replay"] | {"segments": "per-episode"},
    "learner": STUDY["learner"]
    | {"accumulation": 2, "sampling": "segments", "advantage_scope": "update", "policy_warmup": "from-policy-start"}
    | {"estimator": "vtrace", "targets": "batch", "vtrace_weighted": True},
}
CONVENTIONS = {"script": SCRIPT, "study code": STUDY_CODE}


def make_spec(conventions):
    return Study.model_validate(STUDY | conventions).run(
        "door-open-v3", [*(STUDY | conventions)["regimes"]][-1], "gipo-1-1", 5
    )


def train(spec, path):
    lockstep.train(spec, path, tell=lambda line: None)
    return {name: (path / name).read_bytes() for name in BYTES}


@pytest.fixture
def drawn(monkeypatch):
    """Per update: the positions, and whether they are those of the update before."""
    calls = []
    original = Learner.update

    def update(self, index, again=False):
        calls.append((index.clone(), again))
        return original(self, index, again)

    monkeypatch.setattr(Learner, "update", update)
    return calls


@pytest.mark.parametrize("name", CONVENTIONS)
def test_an_interrupted_run_leaves_the_same_bytes(name, tmp_path, monkeypatch):
    spec = make_spec(CONVENTIONS[name])
    expected = train(spec, tmp_path / "undisturbed")
    with monkeypatch.context() as patch:
        original = Learner.update

        def update(self, index, again=False):
            if self.updates == 3 * spec.learner.updates // 5:
                raise KeyboardInterrupt
            return original(self, index, again)

        patch.setattr(Learner, "update", update)
        with pytest.raises(KeyboardInterrupt):
            lockstep.train(spec, tmp_path / "run", tell=lambda line: None, checkpoint_seconds=0)
    assert train(spec, tmp_path / "run") == expected


@pytest.mark.parametrize("name", CONVENTIONS)
def test_env_steps_are_those_that_the_spec_foresees(name, tmp_path):
    spec = make_spec(CONVENTIONS[name])
    train(spec, tmp_path / "run")
    foreseen = {spec.env_steps_after(rounds) for rounds in range(2000)}
    metrics = pd.read_parquet(tmp_path / "run" / "metrics.parquet")
    assert set(metrics["env_steps"]) <= foreseen


def test_of_the_script_a_batch_has_distinct_transitions_and_five_uses_with_the_newest_round_included(tmp_path, drawn):
    spec = make_spec(SCRIPT)
    train(spec, tmp_path / "run")
    assert [again for _, again in drawn] == [number % 5 > 0 for number in range(400)]
    for (before, _), (now, again) in pairwise(drawn):
        assert torch.equal(before, now) or not again
        assert len(now.unique()) == now.numel()
    first = drawn[0][0]
    assert first.max() < spec.env_steps_after(2)
    assert any(index.max() >= spec.env_steps_after(1) for index, _ in drawn[: int(spec.updates_per_round)])


def test_of_the_study_code_an_update_has_whole_segments_and_none_of_two_episodes(tmp_path, drawn):
    spec = make_spec(STUDY_CODE)
    train(spec, tmp_path / "run")
    steps, last = spec.replay.segment_length, spec.environment.episode_steps % spec.replay.segment_length
    for index, _ in drawn:
        slots = (index.flatten() // steps).tolist()
        starts = np.flatnonzero(np.diff([-1, *index.flatten().tolist()]) != 1)
        sizes = np.diff([*starts, len(slots)])
        assert all(index.flatten()[start] % steps == 0 for start in starts)
        assert {int(size) % steps % last for size in sizes[:-1]} <= {0}


def test_training_episodes_are_logged_as_the_mean_of_the_last_hundred(tmp_path, monkeypatch):
    episodes = []
    original = lockstep.Record.ended

    def ended(self, more):
        episodes.extend(more)
        original(self, episodes[len(episodes) - len(more) :])

    monkeypatch.setattr(lockstep.Record, "ended", ended)
    train(make_spec(SCRIPT), tmp_path / "run")
    last = pd.read_parquet(tmp_path / "run" / "metrics.parquet").iloc[-1]
    assert len(episodes) > 10
    assert last["train_return"] == pytest.approx(np.mean([episode[0] for episode in episodes[-100:]]))
    assert last["train_success"] == np.mean([episode[1] for episode in episodes[-100:]])
