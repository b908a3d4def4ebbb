"""The lockstep engine with a world model on the real simulator: what it learns from, determinism, interruption."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from test_lockstep import BYTES, NOWHERE, interrupt_after

from gipo.engines import imagining, lockstep
from gipo.engines.imagining import ImaginingRun
from gipo.engines.suites import make_suite
from gipo.errors import GipoError
from gipo.imagination.branches import Branches
from gipo.learner import Learner
from gipo.replay import Replay, Segments
from gipo.runs.code import training_modules
from gipo.runs.directory import RunDirectory
from gipo.runs.finished import FinishedRun
from gipo.runs.spec import CHECKED
from gipo.study import Study
from small_study import IMAGINATION, STUDY

CAPACITY = STUDY["replay"]["capacity"]


def make_spec(ratio: int = 3, reward: str = "environment", **settings):
    regime = {"lifetime": 0.874, "imagined": ratio, "reward": reward}
    study = STUDY | {"regimes": {"stale": regime}, "imagination": IMAGINATION | settings}
    return Study.model_validate(study).run("door-open-v3", "stale", "gipo-1-1", 5)


def train(spec, path, **settings):
    imagining.train(spec, path, tell=lambda line: None, **settings)
    return {name: (path / name).read_bytes() for name in (*BYTES, "imagination.parquet")}


def train_without_model(spec, path):
    lockstep.train(spec.model_copy(update={"imagination": None}), path, tell=lambda line: None)
    return {name: (path / name).read_bytes() for name in BYTES}


@pytest.fixture(scope="module")
def seen():
    """What the learner and the replay of imagined transitions were given, by update."""
    return {"indices": [], "branches": []}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, seen):
    path = tmp_path_factory.mktemp("undisturbed") / make_spec().run_id
    update, append, runs = Learner.update, Replay.append, []
    init = ImaginingRun.__init__

    def watched_init(self, *arguments):
        init(self, *arguments)
        runs.append(self)

    def watched_update(self, index, again=False):
        seen["indices"].append((self.updates, index.clone()))
        return update(self, index, again)

    def watched_append(self, segments, advantages, targets, version):
        if self is runs[0].imagination.replay:
            seen["branches"].append((version, segments, advantages, targets, runs[0].learner.weights()))
        append(self, segments, advantages, targets, version)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImaginingRun, "__init__", watched_init)
        patch.setattr(Learner, "update", watched_update)
        patch.setattr(Replay, "append", watched_append)
        return path, train(make_spec(), path)


def test_an_update_learns_from_real_and_imagined_transitions_in_the_ratio(undisturbed, seen):
    first = seen["branches"][0][0]
    assert first > 0
    for update, index in seen["indices"]:
        imagined = (index >= CAPACITY).sum(-1)
        assert (imagined == (24 if update >= first else 0)).all()  # of 32
        assert (index < 4 * CAPACITY).all()


def test_branches_have_the_version_and_the_tokens_of_the_policy_that_imagines_them(undisturbed, seen):
    suite = make_suite(make_spec(), NOWHERE)
    model = suite.make_learner(Replay(8, 8, 39, 4)).model
    for version, segments, _, _, weights in seen["branches"][::5]:
        model.load_state_dict(weights)
        logits = model.logits(segments.observations.flatten(0, 1)).detach()
        log_probs = logits.log_softmax(-1).gather(-1, segments.tokens.flatten(0, 1).long()[..., None]).squeeze(-1)
        torch.testing.assert_close(segments.log_probs.flatten(0, 1), log_probs, rtol=1e-4, atol=1e-5)
        assert version in {update for update, _ in seen["indices"]}


def test_imagined_transitions_are_replaced_once_in_their_lifetime(undisturbed, seen):
    """0.2 of 200 updates, in which 3 x 512 transitions come in branches of 3."""
    made = [(version, len(segments.rewards)) for version, segments, *_ in seen["branches"]]
    updates = 200 - made[0][0]
    assert sum(count for _, count in made) == pytest.approx(updates * 3 * CAPACITY / 3 / 40, rel=0.01)


def test_the_value_of_the_last_state_stands_for_what_follows_a_branch(undisturbed, seen):
    """Closed form of GAE from the last step backwards, with the value head of the moment; no branch is cut."""
    suite, learner = make_suite(make_spec(), NOWHERE), make_spec().learner
    model = suite.make_learner(Replay(8, 8, 39, 4)).model
    _, segments, advantages, targets, weights = seen["branches"][-1]
    model.load_state_dict(weights)
    states = torch.cat([segments.observations, segments.final_observation[:, None]], 1)
    values = model.values(states)
    delta = learner.reward_scale * segments.rewards + learner.gamma * values[:, 1:] - values[:, :-1]
    expected, running = torch.zeros_like(delta), torch.zeros(len(delta))
    for step in (2, 1, 0):
        running = delta[:, step] + learner.gamma * learner.gae_lambda * running
        expected[:, step] = running
    torch.testing.assert_close(advantages, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(targets, expected + values[:, :-1], rtol=1e-4, atol=1e-5)


def test_a_branch_that_doubt_ends_is_bootstrapped_from_the_last_state_that_is_believed():
    """Not as if the task were over, which a time limit means in this study."""
    spec = make_spec()
    learner = make_suite(spec, NOWHERE).make_learner(Replay(8, 8, 39, 4))
    states = torch.randn(1, 4, 39, generator=torch.Generator().manual_seed(0))
    of = Segments(
        observations=states[:, :3], tokens=torch.zeros(1, 3, 4, dtype=torch.uint8), log_probs=torch.zeros(1, 3, 4),
        rewards=torch.tensor([[1.0, 2.0, 400.0]]), terminated=torch.zeros(1, 3, dtype=torch.bool),
        truncated=torch.tensor([[False, True, False]]), final_observation=states[:, 3], cut_observation=states[:, 2],
        lengths=torch.tensor([2]),
    )  # fmt: skip
    advantages, _ = learner.targets(of, bootstraps=True)
    values, settings = learner.model.values(states)[0], spec.learner
    last = settings.reward_scale * 2 + settings.gamma * values[2] - values[1]
    first = settings.reward_scale * 1 + settings.gamma * values[1] - values[0]
    assert advantages[0, 1].item() == pytest.approx(last.item(), abs=1e-5)
    assert advantages[0, 0].item() == pytest.approx(
        (first + settings.gamma * settings.gae_lambda * last).item(), abs=1e-5
    )
    ended, _ = learner.targets(of)
    assert ended[0, 1].item() == pytest.approx((settings.reward_scale * 2 - values[1]).item(), abs=1e-5)


def test_the_run_leaves_a_table_of_what_the_simulator_says_to_branches(undisturbed):
    run = FinishedRun.read(undisturbed[0])
    run.check()
    table = run.imagination()
    assert table["update"].unique().tolist() == [100, 200]
    assert table["horizon"].unique().tolist() == list(range(1, CHECKED + 1))
    assert table["fits"].tolist() == sorted(table["fits"])
    assert table["fits"].iloc[-1] == 3
    assert (table["kept"] == 3).all()
    assert (table["error"] > 0).all()
    assert table["success_imagined"].between(0, 1).all()
    assert "imagination.parquet" in run.manifest.files
    assert (RunDirectory(undisturbed[0]).kept / "imagination.parquet").exists()


def test_a_table_without_a_branch_is_refused(undisturbed):
    run = FinishedRun.read(undisturbed[0])
    whole = pd.read_parquet(run.directory.imagination)

    class Cut(FinishedRun):
        def _table(self, path, schema):
            return whole.drop(index=5)

    with pytest.raises(GipoError, match="has not every branch for every evaluation since a first fit"):
        Cut(**vars(run)).imagination()


def test_with_nothing_imagined_the_run_is_the_one_without_a_model(tmp_path):
    """To the bit, though the model is fitted and compared with the simulator."""
    spec = make_spec(0)
    measured = train(spec, tmp_path / "measured")
    plain = train_without_model(spec, tmp_path / "plain")
    assert {name: measured[name] for name in BYTES} == plain
    assert len(pd.read_parquet(tmp_path / "measured" / "imagination.parquet")) == 2 * 3 * CHECKED


def test_imagined_transitions_change_what_is_learned(undisturbed, tmp_path):
    assert train(make_spec(1), tmp_path)["policy.pt"] != undisturbed[1]["policy.pt"]


@pytest.mark.parametrize("updates", [0, 70, 130])
def test_an_aborted_run_goes_on_to_the_same_bytes(undisturbed, tmp_path, updates):
    interrupt_after(make_spec(), tmp_path, updates, train)
    assert train(make_spec(), tmp_path) == undisturbed[1]


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing(undisturbed, tmp_path):
    assert train(make_spec(), tmp_path, workers=2) == undisturbed[1]


def test_where_members_disagree_at_once_only_real_transitions_are_learned_from(tmp_path):
    doubting = train(make_spec(disagreement=1e-9), tmp_path / "doubting")
    plain = train_without_model(make_spec(), tmp_path / "plain")
    assert {name: doubting[name] for name in BYTES} == plain
    assert (pd.read_parquet(tmp_path / "doubting" / "imagination.parquet")["kept"] == 0).all()


def test_real_and_imagined_steps_are_rewarded_by_success_where_that_is_the_reward(tmp_path, monkeypatch):
    """door-open-v3 is not solved by an untrained policy, so nothing real is rewarded, whatever the simulator gives."""
    given, spec, targets = {False: [], True: []}, make_spec(reward="success"), Learner.targets
    changes, changed = [], Branches.changes_of_success

    def noted(self, solved):
        changes.append(changed(self, solved))
        return changes[-1]

    def watched(self, segments, bootstraps=False):
        given[bootstraps].append(segments)
        return targets(self, segments, bootstraps)

    monkeypatch.setattr(Learner, "targets", watched)
    monkeypatch.setattr(Branches, "changes_of_success", noted)
    interrupt_after(spec, tmp_path / "interrupted", 130, train)
    interrupted = train(spec, tmp_path / "interrupted")
    real = torch.cat([segments.rewards for segments in given[False]])
    assert (real == 0).all()
    imagined = torch.cat([segments.rewards for segments in given[True]])
    torch.testing.assert_close(imagined * spec.learner.reward_scale, torch.cat(changes))  # a success counts 1
    assert (imagined != 0).all()
    assert train(spec, tmp_path / "undisturbed") == interrupted
    table = pd.read_parquet(tmp_path / "undisturbed" / "imagination.parquet")
    assert (table["reward_real"] > 0.01).all(), "the model still foretells the simulator's rewards"


def test_the_engine_without_a_model_does_not_take_such_a_run(tmp_path):
    with pytest.raises(GipoError, match=r"has a world model: gipo\.engines\.imagining trains it"):
        lockstep.train(make_spec(), tmp_path, tell=lambda line: None)


def test_only_runs_with_a_model_depend_on_its_code():
    plain = make_spec().model_copy(update={"imagination": None})
    assert training_modules(make_spec())[0] == "gipo.engines.imagining"
    assert training_modules(plain)[0] == "gipo.engines.lockstep"


def test_an_episode_with_a_reward_that_is_not_finite_ends_the_run(tmp_path, monkeypatch):
    original = Replay.append

    def append(self, segments, advantages, targets, version):
        rewards = segments.rewards.clone()
        rewards[0, 0] = np.nan
        original(self, replace(segments, rewards=rewards), advantages, targets, version)

    monkeypatch.setattr(Replay, "append", append)
    with pytest.raises(GipoError, match="cannot learn from rewards that are NaN or infinite"):
        train(make_spec(), tmp_path)
