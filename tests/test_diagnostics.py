"""Diagnostics on hand-made batches whose answers follow from the definitions of appendix C.4."""

import math

import pytest
import torch

from gipo import diagnostics


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
    advantage = torch.tensor([1.0, -1.0, 4.0])
    gap = torch.tensor([0, 50, 100])
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
        torch.full((8, 4), 0.3), torch.zeros(8, 4), torch.ones(8), torch.full((8,), 9), old_gap=1
    )
    assert found["ess_eff_old"].item() == pytest.approx(1.0)
    assert found["old_share"].item() == 1.0


def test_without_old_samples_their_shares_are_undefined():
    found = floats(
        diagnostics.utilisation(torch.ones(4, 2), torch.zeros(4, 2), torch.ones(4), torch.zeros(4), old_gap=10)
    )
    assert all(math.isnan(found[name]) for name in ("near_zero_old", "old_share", "ess_eff_old"))
    assert found["dead"] == 0


def test_explained_variance():
    targets = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert diagnostics.explained_variance(targets, targets).item() == 1
    assert diagnostics.explained_variance(torch.zeros(4), targets).item() == pytest.approx(0)
    assert math.isnan(diagnostics.explained_variance(targets, torch.ones(4)).item())
