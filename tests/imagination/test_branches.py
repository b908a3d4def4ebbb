"""Branches, the real transitions behind them, and their comparison with a simulator whose law is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from gipo.errors import GipoError
from gipo.imagination import branches
from gipo.imagination.branches import GOLDEN, HELD_OUT, Branches, Mixture, imagine
from gipo.imagination.checks import check
from gipo.imagination.model import Normaliser, Prediction
from gipo.models.categorical import sample_tokens
from gipo.replay import Replay, Segments
from gipo.runs.spec import CHECKED, LEAST_SEGMENTS

SIZE, D, T, BINS = 3, 2, 10, 5


def segments(count, *, cuts=(), first=0):
    """Numbers that tell segment and step apart; ``cuts`` are (segment, step) after which the time limit came."""
    truncated = torch.zeros(count, T, dtype=torch.bool)
    cut_observation = torch.zeros(count, SIZE)
    for segment, step in cuts:
        truncated[segment, step] = True
        cut_observation[segment] = -1.0 - segment
    number = 100.0 * torch.arange(first, first + count)[:, None] + torch.arange(T)
    return Segments(
        observations=number[..., None].expand(-1, -1, SIZE).clone(),
        tokens=(number.long() % BINS).to(torch.uint8)[..., None].expand(-1, -1, D).clone(),
        log_probs=-number[..., None].expand(-1, -1, D).clone(),
        rewards=number + 0.5,
        terminated=torch.zeros(count, T, dtype=torch.bool),
        truncated=truncated,
        final_observation=(number[:, -1:] + 1).expand(-1, SIZE).clone(),
        cut_observation=cut_observation,
        successes=number.long() % 2 == 0,
    )


def replay(of, slots=None, *, cut=False):
    count = len(of.rewards)
    store = Replay((slots or count) * T, T, SIZE, D, successes=of.successes is not None, cut=cut)
    store.append(of, of.rewards * 2, of.rewards * 3, version=torch.arange(count)[:, None].expand(-1, T))
    return store


class Known:
    """Foretells that the state grows by the mean action, with that as reward, and success above a state of 10."""

    normaliser = Normaliser.unit(SIZE, D)
    action_size = D

    def __init__(self, disagreement=0.0, factor=1.0):
        self.disagreement, self.factor = disagreement, factor

    def predict(self, observations, actions):
        rewards = self.factor * actions.mean(-1)
        successors = observations + rewards[:, None]
        doubt = torch.as_tensor(self.disagreement).expand(len(rewards)) * observations[:, 0]
        return Prediction(successors, rewards, (successors[:, 0] > 10).float(), doubt)


class Uniform:
    """Policy that knows nothing of the state."""

    def sample(self, observations, uniforms):
        logits = np.zeros((len(observations), D, BINS), dtype=np.float32)
        return *sample_tokens(logits, uniforms), logits


class Simulator:
    """What `Known` foretells, begun at a state that follows from the seed."""

    def reset(self, *, seed):
        self.state = np.full(SIZE, float(seed))
        return self.state, {}

    def step(self, action):
        change = (-1 + 2 * action / (BINS - 1)).mean()
        self.state = self.state + change
        return self.state, change, False, False, {"success_last": self.state[0] > 10}


def uniforms(length, count, seed=0):
    return np.random.default_rng(seed).random((length, count, D), dtype=np.float32)


def test_a_transition_leads_to_the_observation_that_followed_it():
    of = segments(2, cuts=[(0, 3), (1, T - 1)])
    of.final_observation[1] = of.cut_observation[1]  # as the actors leave it
    found = branches.experience(of, BINS)
    expected = (of.observations[..., 0] + 1).clone()
    expected[0, 3], expected[1, T - 1] = -1.0, -2.0
    assert found.successors[:, 0].tolist() == expected.flatten().tolist()
    assert found.rewards.tolist() == of.rewards.flatten().tolist()
    assert found.successes.tolist() == of.successes.flatten().float().tolist()
    assert set(found.actions.flatten().tolist()) == {-1.0, -0.5, 0.0, 0.5, 1.0}


def test_an_episode_that_ends_before_its_time_limit_is_refused():
    of = segments(1)
    of.terminated[0, 4] = True
    with pytest.raises(GipoError, match="knows no end of a task but its time limit"):
        branches.experience(of, BINS)


def test_what_is_held_out_stays_so_as_long_as_it_is_stored():
    store, roles = Replay(24 * T, T, SIZE, D, successes=True), {}
    for number in range(100):
        store.append(segments(1, first=number), torch.zeros(1, T), torch.zeros(1, T), version=0)
        learned, held_out = branches.split(store)
        assert sorted([*learned.tolist(), *held_out.tolist()]) == list(range(store.filled))
        for slots, role in ((learned, "learned"), (held_out, "held out")):
            for first in store.segments.observations[slots, 0, 0].tolist():
                assert roles.setdefault(first, role) == role
        if number >= 15:
            assert 1 <= len(held_out) <= 4
    assert sum(role == "held out" for role in roles.values()) == 10


def test_of_as_many_segments_in_a_row_as_a_run_needs_one_is_held_out():
    last = -1
    for number in range(100_000):
        if number * GOLDEN % 1 >= 1 - HELD_OUT:
            assert number - last <= LEAST_SEGMENTS
            last = number


def test_branches_begin_uniformly_where_no_episode_ends_soon():
    store = replay(segments(3, cuts=[(0, 4), (2, 0)]))
    drawn = branches.starts(store, 4, 6000, np.random.default_rng(0)).observations[:, 0]
    expected = [0.0, *range(5, 7), *range(100, 107), *range(201, 207)]
    values, counts = drawn.unique(return_counts=True)
    assert values.tolist() == sorted(expected)
    assert stats.chisquare(counts.numpy()).pvalue > 0.01


def test_where_success_is_the_reward_branches_begin_where_it_is_known():
    """A number is even where the task is solved after the step, and that is the state of the next number."""
    store = replay(segments(3, cuts=[(0, 4), (2, 0)]))
    starts = branches.starts(store, 4, 6000, np.random.default_rng(0), by_success=True)
    number = starts.observations[:, 0]
    assert sorted(number.unique().tolist()) == [*range(5, 7), *range(101, 107), *range(201, 207)]
    begins = (number == 5) | (number == 201)  # an episode does, in that state
    assert starts.solved.tolist() == (((number - 1) % 2 == 0) & ~begins).tolist()


def test_imagined_rewards_by_success_add_up_to_the_change_of_its_probability():
    branch = imagine(Known(), Uniform(), torch.tensor([[9.9] * 3, [4.0] * 3, [12.0] * 3]), uniforms(6, 3), BINS)
    solved = torch.tensor([False, False, True])
    rewards = branch.changes_of_success(solved)
    torch.testing.assert_close(rewards.cumsum(1), branch.successes - solved[:, None].float())
    assert len(branch.successes[0].unique()) == 2


def test_real_rewards_by_success_are_those_of_the_episodes_played_through():
    """Two segments in a row of three environments, with the time limit inside, at the end, and not at all."""
    generator = np.random.default_rng(0)
    successes = torch.from_numpy(generator.random((3, 2 * T)) < 0.5)
    truncated = torch.zeros(3, 2 * T, dtype=torch.bool)
    truncated[0, 3] = truncated[1, T - 1] = True
    expected = torch.zeros(3, 2 * T)
    for environment in range(3):
        before = False
        for step in range(2 * T):
            after = bool(successes[environment, step])
            expected[environment, step] = after - before
            before = after and not truncated[environment, step]
    solved, found = torch.zeros(3, dtype=torch.bool), []
    for part in (slice(0, T), slice(T, 2 * T)):
        of = replace(segments(3), successes=successes[:, part], truncated=truncated[:, part])
        rewards, solved = branches.changes_of_success(of, solved)
        found.append(rewards)
    assert torch.cat(found, 1).tolist() == expected.tolist()


def test_a_branch_follows_the_model_under_the_policys_tokens():
    states = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    branch = imagine(Known(), Uniform(), states, uniforms(6, 2), BINS)
    change = (-1 + 2 * branch.tokens.float() / (BINS - 1)).mean(-1)
    torch.testing.assert_close(branch.rewards, change)
    torch.testing.assert_close(branch.observations[:, 1:], states[:, None] + change.cumsum(1)[..., None])
    torch.testing.assert_close(branch.log_probs, torch.full((2, 6, D), -np.log(BINS), dtype=torch.float32))
    assert len(branch.tokens.unique()) == BINS


def test_the_same_uniforms_give_the_same_branches():
    once, again, other = (
        imagine(Known(), Uniform(), torch.ones(3, SIZE), uniforms(4, 3, seed), BINS) for seed in (0, 0, 1)
    )
    assert torch.equal(once.tokens, again.tokens)
    assert not torch.equal(once.tokens, other.tokens)


def test_a_state_that_is_not_finite_is_refused():
    with pytest.raises(GipoError, match="foretells NaN or infinity in step 1"):
        imagine(Known(factor=float("nan")), Uniform(), torch.ones(1, SIZE), uniforms(2, 1), BINS)


def doubtful():
    """Four branches of three steps that members doubt at different steps."""
    disagreement = torch.tensor([[0.1, 0.1, 0.1], [0.1, 0.9, 0.1], [0.1, 0.1, 0.9], [0.9, 0.1, 0.1]])
    number = torch.arange(4.0)[:, None] * 10 + torch.arange(4)
    return Branches(
        observations=number[..., None].expand(-1, -1, SIZE),
        tokens=torch.zeros(4, 3, D, dtype=torch.uint8),
        log_probs=torch.zeros(4, 3, D),
        rewards=number[:, 1:],
        successes=torch.zeros(4, 3),
        disagreement=disagreement,
    )


def test_a_branch_ends_before_the_step_on_which_members_disagree():
    of = doubtful().segments(0.5)
    assert of.lengths.tolist() == [3, 1, 2, 0]
    assert of.truncated.tolist() == [[False] * 3, [True, False, False], [False, True, False], [False] * 3]
    assert of.cut_observation[1:3, 0].tolist() == [11.0, 22.0]
    assert of.final_observation[0, 0] == 3.0


def test_without_a_limit_every_branch_is_whole():
    of = doubtful().segments(None)
    assert of.lengths.tolist() == [3] * 4
    assert not of.truncated.any()


def test_what_is_not_believed_is_never_drawn():
    of = doubtful().segments(0.5)
    store = Replay(12, 3, SIZE, D, cut=True)
    store.append(of, torch.zeros(4, 3), torch.zeros(4, 3), version=0)
    assert len(store) == 6
    drawn = store.gather(store.positions(torch.arange(6)))
    assert drawn.observations[:, 0].tolist() == [0.0, 1.0, 2.0, 10.0, 20.0, 21.0]


def test_a_mixture_gathers_each_transition_from_where_it_lies():
    real = replay(segments(4), slots=6)
    imagined = replay(segments(3, first=50), slots=5)
    mixture = Mixture(real, imagined)
    index = torch.tensor([0, 60, 17, 60 + 25, 39, 60 + 5])
    found = mixture.gather(index).tensors()
    for position, (name, expected) in enumerate(
        [(real, 0), (imagined, 0), (real, 17), (imagined, 25), (real, 39), (imagined, 5)]
    ):
        for field, value in name.gather(torch.tensor([expected])).tensors().items():
            assert torch.equal(found[field][position], value[0]), field


def checked(model, seeds=range(8)):
    generator = np.random.default_rng(3)
    return list(check(model, Uniform(), Simulator(), list(seeds), 40, BINS, generator))


def test_a_model_that_is_right_has_no_error_in_the_simulator():
    rows = checked(Known(), range(6, 14))
    assert [(row["branch"], row["horizon"]) for row in rows] == [
        (b, step) for b in range(8) for step in range(1, CHECKED + 1)
    ]
    assert max(row["error"] for row in rows) < 1e-5
    assert all(row["reward_imagined"] == pytest.approx(row["reward_real"], abs=1e-6) for row in rows)
    assert all(row["success_imagined"] == row["success_real"] for row in rows)
    assert {row["success_real"] for row in rows} == {False, True}


def test_the_error_of_a_wrong_model_is_how_far_it_strays():
    """A model that moves twice as far is wrong by just the way that the simulator went, as one that stands still is."""
    rows = checked(Known(factor=2.0))
    assert max(row["error"] for row in rows) > 0.5
    for row in rows:
        assert row["error"] == pytest.approx(row["still"], abs=1e-5)
        assert row["reward_imagined"] == pytest.approx(2 * row["reward_real"], abs=1e-6)


def test_branches_of_a_check_begin_anywhere_in_an_episode_and_end_within_it():
    begin = {row["start"] for row in checked(Known(), range(200))}
    assert min(begin) == 0
    assert max(begin) == 40 - CHECKED - 1
