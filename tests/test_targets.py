"""Targets against a slow reference that follows the definitions step by step, and against hand numbers."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gipo import targets

GAMMA, LAM = 0.9, 0.8


def slow_gae(rewards, values, successors, terminated, truncated, gamma, lam):
    """Sum of discounted temporal-difference errors, straight from the definition, O(T^2)."""
    steps = len(rewards)
    advantages = []
    for t in range(steps):
        total, weight = 0.0, 1.0
        for k in range(t, steps):
            future = 0.0 if terminated[k] else successors[k]
            total += weight * (rewards[k] + gamma * future - values[k])
            weight *= gamma * lam
            if terminated[k] or truncated[k]:
                break
        advantages.append(total)
    return advantages


def slow_vtrace(rewards, values, successors, terminated, truncated, log_ratios, gamma):
    """Espeholt et al. (2018), eq. 1, as a double loop."""
    steps = len(rewards)
    clipped = [min(1.0, math.exp(x)) for x in log_ratios]
    found = []
    for t in range(steps):
        total, weight = values[t], 1.0
        for k in range(t, steps):
            future = 0.0 if terminated[k] else successors[k]
            total += weight * clipped[k] * (rewards[k] + gamma * future - values[k])
            weight *= gamma * clipped[k]
            if terminated[k] or truncated[k]:
                break
        found.append(total)
    return found


@st.composite
def segments(draw):
    steps = draw(st.integers(1, 12))
    numbers = st.lists(st.floats(-5, 5), min_size=steps, max_size=steps)
    flags = draw(st.lists(st.sampled_from(["", "", "", "end", "limit"]), min_size=steps, max_size=steps))
    rewards, values, successors, log_ratios = (draw(numbers) for _ in range(4))
    for t in range(steps - 1):
        if not flags[t]:
            successors[t] = values[t + 1]
    return rewards, values, successors, [f == "end" for f in flags], [f == "limit" for f in flags], log_ratios


def rows(*lists):
    return [torch.tensor([x], dtype=torch.bool if isinstance(x[0], bool) else torch.float64) for x in lists]


@given(segments())
@settings(max_examples=200)
def test_gae_equals_the_slow_reference(segment):
    *transition, _ = segment
    advantages, value_targets = targets.gae(*rows(*transition), gamma=GAMMA, lam=LAM)
    expected = torch.tensor([slow_gae(*transition, GAMMA, LAM)], dtype=torch.float64)
    torch.testing.assert_close(advantages, expected)
    torch.testing.assert_close(value_targets, expected + torch.tensor([transition[1]], dtype=torch.float64))


@given(segments())
@settings(max_examples=200)
def test_vtrace_equals_the_slow_reference(segment):
    _, value_targets = targets.vtrace(*rows(*segment), gamma=GAMMA)
    torch.testing.assert_close(value_targets, torch.tensor([slow_vtrace(*segment, GAMMA)], dtype=torch.float64))


@given(segments())
def test_vtrace_on_policy_is_gae_with_lambda_one(segment):
    *transition, log_ratios = segment
    on_policy = rows(*transition, [0.0] * len(log_ratios))
    _, value_targets = targets.vtrace(*on_policy, gamma=GAMMA)
    _, expected = targets.gae(*rows(*transition), gamma=GAMMA, lam=1.0)
    torch.testing.assert_close(value_targets, expected)


def test_gae_by_hand():
    # deltas: 1 + 0.9*2 - 1 = 1.8, 2 + 0.9*3 - 2 = 2.7; A_1 = 2.7, A_0 = 1.8 + 0.72 * 2.7 = 3.744
    advantages, value_targets = targets.gae(
        *rows([1.0, 2.0], [1.0, 2.0], [2.0, 3.0], [False, False], [False, False]), gamma=GAMMA, lam=LAM
    )
    assert advantages.tolist() == [pytest.approx([3.744, 2.7])]
    assert value_targets.tolist() == [pytest.approx([4.744, 4.7])]


def test_truncation_bootstraps_and_termination_does_not():
    def last(terminated, truncated):
        return targets.gae(*rows([1.0], [0.5], [4.0], [terminated], [truncated]), gamma=GAMMA, lam=LAM)[0].item()

    assert last(False, True) == pytest.approx(1 + 0.9 * 4 - 0.5)
    assert last(True, False) == pytest.approx(1 - 0.5)


def test_vtrace_advantages_by_hand():
    # rho = (1/2, 1): v_1 = 2 + 1*(2 + 0.9*3 - 2) = 4.7; advantage_0 = 1 + 0.9*4.7 - 1 = 4.23
    log_ratios = [torch.tensor(0.5).log().item(), 0.7]
    advantages, value_targets = targets.vtrace(
        *rows([1.0, 2.0], [1.0, 2.0], [2.0, 3.0], [False, False], [False, False], log_ratios), gamma=GAMMA
    )
    assert advantages.tolist() == [pytest.approx([4.23, 2.7])]
    # v_0 = 1 + 1/2 * (1 + 0.9*2 - 1) + 0.9 * 1/2 * 2.7 = 3.115
    assert value_targets.tolist() == [pytest.approx([3.115, 4.7])]


def test_next_values_takes_the_last_state_of_a_cut_episode_not_the_first_of_the_next():
    values = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    cut = torch.tensor([[False, True, False], [False, False, True]])
    found = targets.next_values(values, cut, torch.tensor([8.0, 9.0]), torch.tensor([5.0, 7.0]))
    assert found.tolist() == [[2.0, 5.0, 8.0], [2.0, 3.0, 9.0]]


@st.composite
def trajectories(draw):
    """Rewards, values and their successors, bootstrap, log-ratios and ends of a few trajectories of one length."""
    batch, steps = draw(st.integers(1, 3)), draw(st.integers(1, 8))
    numbers = st.lists(st.lists(st.floats(-5, 5), min_size=steps, max_size=steps), min_size=batch, max_size=batch)
    rewards, values, log_ratios = (draw(numbers) for _ in range(3))
    bootstrap = draw(st.lists(st.floats(-5, 5), min_size=batch, max_size=batch))
    ends = [[draw(st.integers(0, 3)) == 0 for _ in range(steps)] for _ in range(batch)]
    return rewards, values, bootstrap, log_ratios, ends


def slowly(trajectory):
    """Advantages of GAE and targets of V-trace by the slow references, a trajectory at a time."""
    advantages, value_targets = [], []
    for rewards, values, bootstrap, log_ratios, ends in zip(*trajectory, strict=True):
        transition = (rewards, values, [*values[1:], bootstrap], ends, [False] * len(ends))
        advantages.append(slow_gae(*transition, GAMMA, LAM))
        value_targets.append(slow_vtrace(*transition, log_ratios, GAMMA))
    return torch.tensor(advantages, dtype=torch.float64), torch.tensor(value_targets, dtype=torch.float64)


@given(trajectories())
def test_trajectories_in_a_batch_and_alone_equal_the_slow_references(trajectory):
    advantages, value_targets = slowly(trajectory)
    *numbers, ends = trajectory
    rewards, values, bootstrap, log_ratios = (torch.tensor(x, dtype=torch.float64) for x in numbers)
    ends = torch.tensor(ends)
    for i in (slice(None), 0):  # [B, T], and [T] with a bootstrap of no dimension
        found, _ = targets.trajectory_gae(rewards[i], values[i], bootstrap[i], ends[i], gamma=GAMMA, lam=LAM)
        torch.testing.assert_close(found, advantages[i])
        _, found = targets.trajectory_vtrace(rewards[i], values[i], bootstrap[i], log_ratios[i], ends[i], gamma=GAMMA)
        torch.testing.assert_close(found, value_targets[i])


def test_a_trajectory_without_end_by_hand():
    # deltas: 1 + 0.9*2 - 1 = 1.8, 2 + 0.9*3 - 2 = 2.7; A_1 = 2.7, A_0 = 1.8 + 0.72 * 2.7 = 3.744
    rewards, values = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0])
    advantages, value_targets = targets.trajectory_gae(rewards, values, 3.0, gamma=GAMMA, lam=LAM)
    assert advantages.tolist() == pytest.approx([3.744, 2.7])
    assert value_targets.tolist() == pytest.approx([4.744, 4.7])
    on_policy = targets.trajectory_vtrace(rewards, values, 3.0, torch.zeros(2), gamma=GAMMA)
    assert on_policy[1].tolist() == pytest.approx([1 + GAMMA * (2 + GAMMA * 3), 2 + GAMMA * 3])
