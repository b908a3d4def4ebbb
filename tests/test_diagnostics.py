"""Diagnostics on hand-made batches whose answers follow from the definitions of appendix C.4."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from gipo import diagnostics, objectives

SHARES = (0.0, 0.05, 0.5, 0.95, 1.0)


def floats(found):
    return {name: value.item() for name, value in found.items()}


def test_staleness_of_known_gaps():
    found = floats(diagnostics.staleness(torch.arange(101), old_gap=90))
    assert found["gap_mean"] == 50
    assert [found[f"gap_q{q}"] for q in ("05", "50", "95")] == [5, 50, 95]
    assert found["old_frac"] == pytest.approx(11 / 101)  # 90, ..., 100: a gap of exactly K is old


def test_ratio_tails_of_known_log_ratios():
    log_ratios = torch.linspace(-1, 1, 201)[:, None]
    found = floats(diagnostics.ratio_tails(log_ratios))
    assert found["d95"] == pytest.approx(0.95, abs=0.01)
    assert found["rho_q50"] == pytest.approx(1.0, abs=1e-6)
    assert found["rho_q95"] == pytest.approx(math.exp(0.9), rel=1e-5)
    inside = sum(0.8 <= math.exp(x / 100) <= 1.2 for x in range(-100, 101))
    assert found["outside_clip"] == pytest.approx(1 - inside / 201)


def test_utilisation_by_hand():
    multiplier = torch.tensor([[0.0, 5e-4], [2.0, 1.0], [0.5, 0.0]])
    advantage = torch.tensor([[1.0], [-1.0], [4.0]])
    gap = torch.tensor([[0], [50], [100]])
    log_ratio = torch.tensor([[0.0, 0.0], [0.0, 0.0], [math.log(1000), 0.0]])
    found = floats(diagnostics.utilisation(multiplier, log_ratio, advantage, gap, old_gap=50))
    assert found["dead"] == pytest.approx(2 / 6)
    assert found["suppressed"] == pytest.approx(1 / 6)
    assert found["near_zero"] == pytest.approx(3 / 6)
    assert found["near_zero_old"] == pytest.approx(1 / 4)
    assert found["old_share"] == pytest.approx(5 / (5 + 5e-4))  # |2|+|-1| + |2|+|0| over all
    assert found["ess_eff_old"] == pytest.approx(3.5**2 / (4 + 1 + 0.25) / 4)
    assert found["near_zero_code"] == pytest.approx(3 / 6)
    assert found["near_zero_old_code"] == pytest.approx(1 / 4)
    assert found["suppressed_code"] == pytest.approx(4 / 6)  # 0.5 at rho = 1000 weighs 0.0005


def test_equal_weights_have_a_full_effective_sample_size():
    found = diagnostics.utilisation(
        torch.full((8, 4), 0.3), torch.zeros(8, 4), torch.ones(8, 1), torch.full((8, 1), 9), old_gap=1
    )
    assert found["ess_eff_old"].item() == pytest.approx(1.0)
    assert found["old_share"].item() == 1.0


def test_without_old_samples_their_shares_are_undefined():
    found = floats(
        diagnostics.utilisation(torch.ones(4, 2), torch.zeros(4, 2), torch.ones(()), torch.zeros(()), old_gap=10)
    )
    assert all(math.isnan(found[name]) for name in ("near_zero_old", "old_share", "ess_eff_old"))
    assert found["dead"] == 0


def test_explained_variance():
    targets = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert diagnostics.explained_variance(targets, targets).item() == 1
    assert diagnostics.explained_variance(torch.zeros(4), targets).item() == pytest.approx(0)
    assert math.isnan(diagnostics.explained_variance(targets, torch.ones(4)).item())


@given(arrays(np.float32, array_shapes(max_dims=3), elements=st.floats(-1e6, 1e6, width=32)))
def test_quantiles_are_those_of_torch_and_numpy(values):
    found = diagnostics.quantiles(torch.from_numpy(values), SHARES)
    assert torch.equal(found, torch.quantile(torch.from_numpy(values).flatten(), torch.tensor(SHARES)))
    expected = np.quantile(values.astype(np.float64), SHARES)
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(values).max())


@given(arrays(np.float32, array_shapes(max_dims=3), elements=st.floats(-1e6, 1e6, width=32)), st.data())
def test_quantiles_under_a_mask_are_those_of_its_elements(values, data):
    mask = data.draw(arrays(bool, values.shape))
    padded = torch.from_numpy(np.where(mask, values, np.nan))
    found = diagnostics.quantiles(padded, SHARES, torch.from_numpy(mask))
    if mask.any():
        expected = np.nanquantile(padded.double(), SHARES)
        np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(values).max())
        assert torch.equal(found, diagnostics.quantiles(padded[torch.from_numpy(mask)], SHARES))
    else:
        assert found.isnan().all()


def test_a_nan_among_the_elements_that_count_is_seen():
    values = torch.tensor([1.0, math.nan, 3.0, 4.0])
    assert diagnostics.quantiles(values, SHARES).isnan().all()
    assert diagnostics.quantiles(values, SHARES, torch.tensor([True, True, False, False])).isnan().all()


def test_positions_beyond_float32_are_exact(monkeypatch):
    """As with more elements than float32 can count: rank 0.7 * 10 is 7 in float64 and 6.9999999 in one of float32's."""
    monkeypatch.setattr(diagnostics, "MOST_IN_FLOAT32", 10)
    values = torch.arange(1001.0)[torch.randperm(1001)]
    found = diagnostics.quantiles(values, (0.123, 0.7))
    np.testing.assert_allclose(found, np.quantile(np.arange(1001.0), (0.123, 0.7)), rtol=1e-7)


@pytest.mark.slow
def test_a_batch_may_have_more_elements_than_torch_takes_quantiles_of():
    size = 2**24 + 3
    values = torch.arange(size).mul(7919).remainder(size).view(-1, 1)  # every gap from 0 to size - 1 once
    found = floats(diagnostics.staleness(values, old_gap=size // 2))
    expected = np.array([0.05, 0.5, 0.95]) * (size - 1)
    np.testing.assert_allclose([found[f"gap_q{q}"] for q in ("05", "50", "95")], expected, rtol=2**-23)
    assert found["gap_mean"] == pytest.approx((size - 1) / 2, rel=1e-6)
    assert found["old_frac"] == pytest.approx(0.5, abs=1e-6)


def everything(log_ratio, advantage, gap, mask=None):
    multiplier = objectives.make("ppo_clip").multiplier(log_ratio, advantage)
    return floats(
        diagnostics.staleness(gap, 50, mask)
        | diagnostics.ratio_tails(log_ratio, mask=mask)
        | diagnostics.utilisation(multiplier, log_ratio, advantage, gap, 50, mask)
        | {"explained_variance": diagnostics.explained_variance(log_ratio, advantage, mask)}
    )


def batch(*shape):
    log_ratio, advantage = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    return log_ratio, advantage, torch.arange(log_ratio.numel()).remainder(97).view(shape)


@pytest.mark.parametrize("shape", [(60,), (12, 5), (3, 4, 5), (3, 1, 4, 5)])
def test_the_shape_does_not_matter(shape):
    flat, shaped = everything(*batch(60)), everything(*(tensor.view(shape) for tensor in batch(60)))
    assert shaped == pytest.approx(flat)


@pytest.mark.parametrize("padding", [0.0, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", [torch.bool, torch.int64, torch.float32])
def test_a_mask_leaves_what_counting_its_elements_alone_would_give(padding, kind):
    mask = torch.rand(7, 11, generator=torch.Generator().manual_seed(1)) < 0.6
    log_ratio, advantage, gap = batch(7, 11)
    expected = everything(log_ratio[mask], advantage[mask], gap[mask])
    padded = [tensor.where(mask, padding) for tensor in (log_ratio, advantage)]
    assert everything(*padded, gap.where(mask, 10**9), mask.to(kind)) == pytest.approx(expected)


def test_gaps_advantages_and_masks_of_steps_stand_for_all_their_dimensions():
    log_ratio, _, _ = batch(9, 4)
    advantage, gap, mask = torch.randn(9, 1), torch.arange(9)[:, None] * 20, torch.tensor([[True], [False], [True]] * 3)
    spelled = [tensor.expand(9, 4) for tensor in (advantage, gap, mask)]
    found, expected = everything(log_ratio, advantage, gap, mask), everything(log_ratio, *spelled)
    of_steps = {"gap_q05", "gap_q95"}  # an interpolated quantile of every step once is another than of it four times
    assert {name for name in found if found[name] != pytest.approx(expected[name])} == of_steps


def test_nothing_that_counts_gives_nan():
    log_ratio, advantage, gap = batch(3, 4)
    assert all(math.isnan(number) for number in everything(log_ratio, advantage, gap, torch.zeros(3, 4)).values())
