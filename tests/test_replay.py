"""The replay against a plain list, and the version-gap law of the facts (section 4) in simulation."""

import numpy as np
import pytest
import torch
from scipy import stats

from gipo.errors import GipoError
from gipo.replay import Pace, Replay, Segments

T, O, D = 4, 3, 2  # noqa: E741


def segments(first: int, count: int) -> Segments:
    """Segments whose rewards number the transitions from ``first * T`` on."""
    number = torch.arange(first * T, (first + count) * T, dtype=torch.float32).view(count, T)
    return Segments(
        observations=number[..., None].expand(count, T, O),
        tokens=(number[..., None] % 251).expand(count, T, D).to(torch.uint8),
        log_probs=-number[..., None].expand(count, T, D),
        rewards=number,
        terminated=torch.zeros(count, T, dtype=torch.bool),
        truncated=torch.zeros(count, T, dtype=torch.bool),
        final_observation=torch.zeros(count, O),
        cut_observation=torch.zeros(count, O),
    )


def test_first_in_first_out_like_a_plain_list():
    replay = Replay(capacity=5 * T, segment_length=T, observation_size=O, action_dimensions=D)
    expected: list[tuple[float, int]] = []
    for version, count in enumerate([2, 2, 3, 1, 5, 4]):
        new = segments(replay.appended, count)
        replay.append(new, new.rewards + 0.5, new.rewards - 0.5, version)
        expected += [(x, version) for x in new.rewards.flatten().tolist()]
        expected = expected[-5 * T :]
        batch = replay.gather(torch.arange(len(replay)))
        assert len(replay) == len(expected)
        assert sorted(zip(batch.observations[:, 0].tolist(), batch.versions.tolist(), strict=True)) == expected
        assert torch.equal(batch.advantages, batch.observations[:, 0] + 0.5)
        assert torch.equal(batch.targets, batch.observations[:, 0] - 0.5)
        assert torch.equal(batch.log_probs[:, 1], -batch.observations[:, 0])
        assert torch.equal(batch.tokens[:, 0], (batch.observations[:, 0] % 251).long())


@pytest.mark.parametrize("appended", [3, 7])
def test_state_restores_contents_and_position(appended):
    def filled(count):
        replay = Replay(5 * T, T, O, D)
        for version in range(count):
            new = segments(version, 1)
            replay.append(new, new.rewards, new.rewards, version)
        return replay

    restored = Replay(5 * T, T, O, D)
    restored.load_state(filled(appended).state())
    new = segments(appended, 1)
    restored.append(new, new.rewards, new.rewards, appended)
    expected = filled(appended + 1)
    everything = torch.arange(len(expected))
    for name in ("observations", "versions", "advantages"):
        assert torch.equal(getattr(restored.gather(everything), name), getattr(expected.gather(everything), name))


def test_refresh_recomputes_what_is_stored_and_only_that():
    replay = Replay(5 * T, T, O, D)
    new = segments(0, 2)
    replay.append(new, new.rewards, new.rewards, 0)
    replay.refresh(lambda stored: (stored.rewards * 10, stored.rewards * 100))
    batch = replay.gather(torch.arange(2 * T))
    assert torch.equal(batch.advantages, batch.observations[:, 0] * 10)
    assert torch.equal(batch.targets, batch.observations[:, 0] * 100)


@pytest.mark.parametrize("capacity", [0, 6])
def test_a_capacity_that_is_no_multiple_of_the_segment_length_is_refused(capacity):
    with pytest.raises(GipoError, match=f"capacity = {capacity}"):
        Replay(capacity, T, O, D)


def test_updates_are_paid_for_by_env_steps():
    pace = Pace(capacity=1000, lifetime=500, warmup_steps=100)
    assert pace.env_steps_per_update == 2
    assert [pace.updates_due(n) for n in (0, 99, 100, 101, 102, 300)] == [0, 0, 0, 0, 1, 100]


# Paper-facts, Table 1: L in updates of 100,000; K = 10,000. Published: OldFrac 0.000 +- 0.000 and 0.884 +- 0.003;
# mean gap 4,273 +- 538 and 43,677 +- 5,253.
@pytest.mark.parametrize(
    ("lifetime", "old_frac", "mean_gap", "gap_tolerance"),
    [(8_546, 0.0, 4_273, 538), (87_354, 0.884, 43_677, 5_253)],
)
def test_the_paper_regimes_give_table_1(lifetime, old_frac, mean_gap, gap_tolerance):
    updates, old, round_updates = 100_000, 10_000, 50
    pace = Pace(capacity=lifetime * 4, lifetime=lifetime, warmup_steps=0)
    replay = Replay(pace.capacity // 4, 1, 1, 1)  # one slot per 4 transitions: only versions matter here
    env_steps, shares, means, uniform = 0, [], [], []
    for version in range(0, updates, round_updates):
        if version >= 0.8 * updates and version % 2_000 == 0:
            gaps = (version - replay.versions[: replay.filled, 0]).numpy()
            shares.append(np.mean(gaps >= old))
            means.append(gaps.mean())
            uniform.append(stats.kstest(gaps, stats.uniform(0, min(version, lifetime)).cdf).statistic)
        count = round_updates
        blank = Segments(
            *(torch.zeros(count, 1, 1), torch.zeros(count, 1, 1, dtype=torch.uint8), torch.zeros(count, 1, 1)),
            *(torch.zeros(count, 1), torch.zeros(count, 1, dtype=torch.bool), torch.zeros(count, 1, dtype=torch.bool)),
            *(torch.zeros(count, 1), torch.zeros(count, 1)),
        )
        replay.append(blank, torch.zeros(count, 1), torch.zeros(count, 1), version)
        env_steps += 4 * count
        assert pace.updates_due(env_steps) == version + round_updates
    assert np.mean(shares) == pytest.approx(old_frac, abs=0.003)
    assert np.mean(means) == pytest.approx(mean_gap, abs=gap_tolerance)
    assert max(uniform) < 0.02


def test_of_segments_cut_short_only_the_steps_that_are_there_are_counted_and_drawn():
    replay = Replay(5 * T, T, O, D, cut=True)
    for version, length in enumerate([4, 1, 3, 4, 2, 3]):  # the last one lies over the first one
        new = segments(version, 1)
        new.lengths = torch.tensor([length])
        replay.append(new, new.rewards, new.rewards, version)
    there = {20, 21, 22, 4, 8, 9, 10, 12, 13, 14, 15, 16, 17}
    assert len(replay) == len(there)
    positions = replay.positions(torch.arange(len(replay)))
    assert set(replay.gather(positions).observations[:, 0].tolist()) == there
    restored = Replay(5 * T, T, O, D, cut=True)
    restored.load_state(replay.state())
    assert torch.equal(restored.positions(torch.arange(len(replay))), positions)
