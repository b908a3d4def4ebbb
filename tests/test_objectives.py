"""Objectives against autograd, the paper's formulas written out by hand, and hand-computed numbers."""

import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gipo import objectives
from gipo.errors import GipoError

SETTINGS = [
    ("no_clip", {}),
    ("ppo_clip", {}),
    ("ppo_clip", {"eps": 0.05}),
    ("sapo", {}),
    ("sapo", {"tau_pos": 3.0, "tau_neg": 0.5}),
    ("gipo", {}),
    ("gipo", {"sigma_pos": 2.0, "sigma_neg": 1.0}),
    ("gipo", {"kernel": "laplacian"}),
    ("gipo", {"kernel": "cauchy"}),
    ("cispo", {"eps_high": 0.5}),
    ("cispo", {"eps_high": 3.0, "eps_low": 0.5}),
    ("soft_clip", {"alpha": 0.7}),
    ("soft_clip", {"alpha": 2.0}),
]
ALL = pytest.mark.parametrize(("name", "parameters"), SETTINGS)
LOG_RATIOS = st.floats(-50, 50, width=32)
ADVANTAGES = st.floats(-10, 10, width=32)


def values(objective, log_ratio, advantage, dtype=torch.float64):
    """Loss, minus its gradient, and multiplier times advantage, as floats."""
    x = torch.tensor(log_ratio, dtype=dtype, requires_grad=True)
    a = torch.tensor(advantage, dtype=dtype)
    loss = objective.loss(x, a)
    (gradient,) = torch.autograd.grad(loss, x)
    return loss.item(), -gradient.item(), (objective.multiplier(x, a) * a).item()


@ALL
@given(log_ratio=LOG_RATIOS, advantage=ADVANTAGES)
def test_gradient_of_the_loss_is_the_multiplier_times_the_advantage(name, parameters, log_ratio, advantage):
    _, gradient, expected = values(objectives.make(name, **parameters), log_ratio, advantage)
    assert gradient == pytest.approx(expected, rel=1e-9, abs=1e-12)


@ALL
@pytest.mark.parametrize("log_ratio", [-50.0, -1.0, 0.0, 1.0, 50.0])
def test_a_zero_advantage_moves_nothing(name, parameters, log_ratio):
    assert values(objectives.make(name, **parameters), log_ratio, 0.0) == (0, 0, 0)


@ALL
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_finite_in_low_precision_at_extreme_ratios(name, parameters, dtype):
    objective = objectives.make(name, **parameters)
    x = torch.linspace(-50, 50, 201).to(dtype).requires_grad_()
    for advantage in (-3.0, 0.0, 3.0):
        loss = objective.loss(x, torch.tensor(advantage, dtype=dtype))
        (gradient,) = torch.autograd.grad(loss.sum(), x)
        multiplier = objective.multiplier(x, torch.tensor(advantage, dtype=dtype))
        for values_ in (loss, gradient, multiplier):
            assert torch.isfinite(values_).all()


# Columns: log rho, A, then loss and multiplier worked out on paper from section 1 of the facts.
HAND = {
    "no_clip": [(0.0, 2.0, -2.0, 1.0), (math.log(3), -1.0, 3.0, 3.0), (math.log(0.1), 1.0, -0.1, 0.1)],
    "ppo_clip": [
        (0.0, 2.0, -2.0, 1.0),
        (math.log(3), 1.0, -1.2, 0.0),  # above, A > 0: clipped
        (math.log(3), -1.0, 3.0, 3.0),  # above, A < 0: pessimistic branch
        (math.log(0.1), -1.0, 0.8, 0.0),  # below, A < 0: clipped
        (math.log(0.1), 1.0, -0.1, 0.1),
    ],
    "sapo": [
        (0.0, 1.0, -2.0, 1.0),  # 4 / 1 * 1/2
        (0.0, -1.0, 1.0, 1.0),  # 4 / 2 * 1/2
        (math.log(3), 1.0, -4 / (1 + math.exp(-2)), 12 * math.exp(-2) / (1 + math.exp(-2)) ** 2),
    ],
    "gipo": [
        (0.0, 2.0, -2.0, 1.0),
        (1.0, 1.0, -math.exp(0.5), math.exp(0.5)),  # sigma 1: exp(1 - 1/2)
        (1.0, -1.0, math.exp(-1.0), math.exp(-1.0)),  # sigma 0.5: exp(1 - 2)
        (-2.0, 1.0, -math.exp(-4.0), math.exp(-4.0)),  # exp(-2 - 2)
        (10.0, 1.0, -math.exp(-40.0), math.exp(-40.0)),  # far above: trusted no more
    ],
}


@pytest.mark.parametrize(("name", "row"), [(name, row) for name, rows in HAND.items() for row in rows])
def test_hand_computed_values(name, row):
    log_ratio, advantage, loss, multiplier = row
    found, _, weighted = values(objectives.make(name), log_ratio, advantage)
    assert found == pytest.approx(loss, rel=1e-12)
    assert weighted == pytest.approx(multiplier * advantage, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "parameters", "log_ratio", "multiplier"),
    [
        ("cispo", {"eps_high": 0.5}, math.log(3), 1.5),
        ("cispo", {"eps_high": 0.5}, math.log(0.1), 0.1),  # no lower bound by default
        ("cispo", {"eps_high": 0.5, "eps_low": 0.2}, math.log(0.1), 0.8),
        ("soft_clip", {"alpha": 2.0}, math.log(4), 1 / 4),  # 4^-2 * 4
        ("soft_clip", {"alpha": 2.0}, -math.log(4), 1 / 64),  # 4^-2 / 4
    ],
)
def test_methods_from_elsewhere_by_hand(name, parameters, log_ratio, multiplier):
    for advantage in (1.0, -2.0):
        _, _, weighted = values(objectives.make(name, **parameters), log_ratio, advantage)
        assert weighted == pytest.approx(multiplier * advantage, rel=1e-12)


@given(log_ratio=LOG_RATIOS, advantage=ADVANTAGES, alpha=st.floats(0.1, 10))
def test_soft_clip_is_the_laplacian_kernel(log_ratio, advantage, alpha):
    soft = values(objectives.make("soft_clip", alpha=alpha), log_ratio, advantage)
    kernel = objectives.make("gipo", sigma_pos=1 / alpha, sigma_neg=1 / alpha, kernel="laplacian")
    assert soft == pytest.approx(values(kernel, log_ratio, advantage), rel=1e-9, abs=1e-300)


@given(log_ratio=LOG_RATIOS, advantage=ADVANTAGES)
def test_gipo_with_a_wide_sigma_is_no_clip(log_ratio, advantage):
    wide = values(objectives.make("gipo", sigma_pos=1e9, sigma_neg=1e9), log_ratio, advantage)
    assert wide == pytest.approx(values(objectives.make("no_clip"), log_ratio, advantage), rel=1e-9)


@pytest.mark.parametrize("kernel", ["gaussian", "laplacian", "cauchy"])
@given(log_ratio=LOG_RATIOS, sigma=st.floats(0.05, 20))
def test_the_trust_weight_is_symmetric_in_the_log_ratio_and_at_most_one(kernel, log_ratio, sigma):
    gipo = objectives.make("gipo", sigma_pos=sigma, sigma_neg=sigma, kernel=kernel)
    above, below = (
        gipo.weight(torch.tensor(x, dtype=torch.float64), torch.tensor(1.0)) for x in (log_ratio, -log_ratio)
    )
    assert above == below
    assert 0 <= above <= 1


@given(log_ratio=LOG_RATIOS, sigma=st.floats(0.05, 6))
def test_the_gaussian_multiplier_is_bounded_and_the_bound_is_attained(log_ratio, sigma):
    gipo = objectives.make("gipo", sigma_pos=sigma, sigma_neg=sigma)
    bound = math.exp(sigma**2 / 2)
    one = torch.tensor(1.0, dtype=torch.float64)
    assert gipo.multiplier(torch.tensor(log_ratio, dtype=torch.float64), one) <= bound * (1 + 1e-12)
    assert gipo.multiplier(torch.tensor(sigma**2, dtype=torch.float64), one).item() == pytest.approx(bound)


def test_sigma_follows_the_sign_of_the_advantage_and_zero_counts_as_negative():
    gipo = objectives.make("gipo", sigma_pos=1.0, sigma_neg=0.5)
    weights = gipo.weight(torch.ones(3), torch.tensor([1.0, 0.0, -1.0]))
    torch.testing.assert_close(weights, torch.tensor([math.exp(-0.5), math.exp(-2.0), math.exp(-2.0)]))


@ALL
def test_an_advantage_broadcasts_over_action_dimensions(name, parameters):
    objective = objectives.make(name, **parameters)
    log_ratio, advantage = torch.randn(5, 4), torch.randn(5, 1)
    for function in (objective.loss, objective.multiplier):
        torch.testing.assert_close(function(log_ratio, advantage), function(log_ratio, advantage.expand(5, 4)))
        assert function(log_ratio, advantage).shape == (5, 4)


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("gipo", {"sigma_pos": 0.0}, "sigma_pos = 0.0"),
        ("gipo", {"sigma_neg": -1.0}, "sigma_neg = -1.0"),
        ("gipo", {"sigma_pos": math.nan}, "sigma_pos = nan"),
        ("gipo", {"sigma_pos": "wide"}, "sigma_pos = 'wide'"),
        ("gipo", {"kernel": "box"}, "kernel = 'box'"),
        ("gipo", {"sigma": 1.0}, "no parameter 'sigma'"),
        ("ppo_clip", {"eps": 1.0}, "eps = 1.0"),
        ("sapo", {"tau_pos": 0.0}, "tau_pos = 0.0"),
        ("no_clip", {"eps": 0.2}, "no parameter 'eps'"),
        ("cispo", {}, "needs the parameter 'eps_high'"),
        ("cispo", {"eps_high": -1.0}, "eps_high = -1.0"),
        ("soft_clip", {"alpha": 0.0}, "alpha = 0.0"),
        ("gippo", {}, "unknown objective 'gippo'"),
        ("nowhere:mine", {}, "cannot import module 'nowhere'"),
    ],
)
def test_bad_input_is_named(name, parameters, words):
    with pytest.raises(GipoError, match=words.replace(".", r"\.")):
        objectives.make(name, **parameters)


def test_a_user_adds_a_method_from_a_module_of_their_own(tmp_path, monkeypatch):
    (tmp_path / "my_losses.py").write_text(
        "from dataclasses import dataclass\n"
        "from gipo.objectives import NoClip, register\n"
        "@register('half')\n"
        "@dataclass(frozen=True)\n"
        "class Half(NoClip):\n"
        "    def loss(self, log_ratio, advantage):\n"
        "        return super().loss(log_ratio, advantage) / 2\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    half = objectives.make("my_losses:half")
    assert half.loss(torch.tensor(0.0), torch.tensor(3.0)) == -1.5


def test_a_name_is_taken_only_once():
    with pytest.raises(GipoError, match="'gipo' is already taken"):

        @objectives.register("gipo")
        @dataclass(frozen=True)
        class Other(objectives.NoClip):
            pass
