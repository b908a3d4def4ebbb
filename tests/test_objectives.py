"""Objectives against autograd, the paper's formulas written out by hand, and hand-computed numbers."""

import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gipo import objectives
from gipo.errors import GipoError
from gipo.objectives.base import LOG_RATIO_BOUND


@objectives.register("users_own")
@dataclass(frozen=True)
class UsersOwn(objectives.GIPO):
    """A method that is not of the package, but builds on one that is."""

    def multiplier(self, log_ratio, advantage):
        return super().multiplier(log_ratio, advantage) / 2


PARAMETERS = {
    "ppo_clip": [{}, {"eps": 0.05}],
    "sapo": [{}, {"tau_pos": 3.0, "tau_neg": 0.5}],
    "gipo": [{}, {"sigma_pos": 2.0, "sigma_neg": 1.0}, {"kernel": "laplacian"}, {"kernel": "cauchy"}],
    "cispo": [{"eps_high": 0.5}, {"eps_high": 3.0, "eps_low": 0.5}],
    "soft_clip": [{"alpha": 0.7}, {"alpha": 2.0}],
}
SETTINGS = [(name, parameters) for name in objectives.names() for parameters in PARAMETERS.get(name, [{}])]
ALL = pytest.mark.parametrize(("name", "parameters"), SETTINGS)
LOG_RATIOS = st.floats(-LOG_RATIO_BOUND, LOG_RATIO_BOUND, width=32)
ANY_LOG_RATIO = LOG_RATIOS | st.floats(-1e4, 1e4, width=32)
ADVANTAGES = st.just(0.0) | st.floats(-10, 10, width=32)


def values(objective, log_ratio, advantage, dtype=torch.float64):
    """Loss, minus its gradient, and multiplier times advantage, as floats."""
    x = torch.tensor(log_ratio, dtype=dtype, requires_grad=True)
    a = torch.tensor(advantage, dtype=dtype)
    loss = objective.loss(x, a)
    (gradient,) = torch.autograd.grad(loss, x)
    return loss.item(), -gradient.item(), (objective.multiplier(x, a) * a).item()


def written_out(name, p, x, a):
    """The loss as its formula reads, without a thought for large ratios; weights held constant."""
    rho, held = x.exp(), x.detach()
    match name:
        case "no_clip":
            return -rho * a
        case "ppo_clip":
            eps = p.get("eps", 0.2)
            return -torch.minimum(rho * a, rho.clamp(1 - eps, 1 + eps) * a)
        case "sapo":
            tau = p.get("tau_pos", 1.0) if a > 0 else p.get("tau_neg", 2.0)
            return -4 / tau * torch.sigmoid(tau * (rho - 1)) * a
        case "gipo" | "users_own":
            z = held / (p.get("sigma_pos", 1.0) if a > 0 else p.get("sigma_neg", 0.5))
            kernel = p.get("kernel", "gaussian")
            weight = {"gaussian": (-z * z / 2).exp(), "laplacian": (-abs(z)).exp(), "cauchy": 1 / (1 + z * z)}[kernel]
            return -weight * rho * a / (2 if name == "users_own" else 1)
        case "cispo":
            return -held.exp().clamp(1 - p.get("eps_low", 1.0), 1 + p["eps_high"]) * x * a
        case "soft_clip":
            return -(torch.maximum(held.exp(), (-held).exp()) ** -p["alpha"]) * rho * a
    raise KeyError(name)


@ALL
@given(log_ratio=LOG_RATIOS, advantage=ADVANTAGES)
def test_within_the_bound_loss_and_gradient_are_those_of_the_formula(name, parameters, log_ratio, advantage):
    x = torch.tensor(log_ratio, dtype=torch.float64, requires_grad=True)
    expected = written_out(name, parameters, x, torch.tensor(advantage, dtype=torch.float64))
    (gradient,) = torch.autograd.grad(expected, x)
    loss, minus_gradient, _ = values(objectives.make(name, **parameters), log_ratio, advantage)
    assert loss == pytest.approx(expected.item(), rel=1e-12, abs=1e-12)
    assert -minus_gradient == pytest.approx(gradient.item(), rel=1e-12, abs=1e-12)


@ALL
@given(log_ratio=ANY_LOG_RATIO, advantage=ADVANTAGES)
def test_gradient_of_the_loss_is_the_multiplier_times_the_advantage(name, parameters, log_ratio, advantage):
    _, gradient, expected = values(objectives.make(name, **parameters), log_ratio, advantage)
    assert gradient == pytest.approx(expected, rel=1e-12, abs=1e-12)


@ALL
@pytest.mark.parametrize("log_ratio", [-1e4, -50.0, -1.0, 0.0, 1.0, 50.0, 1e4])
def test_a_zero_advantage_moves_nothing(name, parameters, log_ratio):
    _, gradient, weighted = values(objectives.make(name, **parameters), log_ratio, 0.0)
    assert (gradient, weighted) == (0, 0)


@ALL
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("advantage", [-3.0, 0.0, 3.0])
@pytest.mark.parametrize("masked", [True, False])
def test_all_is_finite_in_low_precision_at_any_ratio(name, parameters, dtype, advantage, masked):
    objective = objectives.make(name, **parameters)
    ratios = [*torch.linspace(-50, 50, 201).tolist(), 88.0, 89.0, 1e3, 1e4]
    x = torch.tensor([*ratios, *(-ratio for ratio in ratios)], dtype=dtype, requires_grad=True)
    a = torch.full((len(x),), advantage, dtype=dtype)
    mask = x.abs() < 60 if masked else torch.ones_like(x)
    loss = objective.loss(x, a)
    multiplier = objective.multiplier(x, a)
    (gradient,) = torch.autograd.grad((loss * mask).sum(), x)
    for found in (loss, gradient, multiplier, (loss * mask).sum(), multiplier.square().sum(), gradient.norm()):
        assert torch.isfinite(found).all()
    assert (gradient[mask == 0] == 0).all()
    torch.testing.assert_close(gradient.float(), -(multiplier * a * mask).float(), rtol=1e-2, atol=1e-4)


def test_the_dead_samples_of_ppo_have_no_gradient_at_any_ratio():
    x = torch.tensor([0.3, 89.0, 1e4, -0.3, -89.0, -1e4], requires_grad=True)
    objectives.make("ppo_clip").loss(x, torch.tensor([1.0, 1.0, 1.0, -1.0, -1.0, -1.0])).sum().backward()
    assert x.grad.tolist() == [0] * 6


def test_far_off_samples_are_not_trusted_where_the_paper_trusts_none():
    """At log rho = 89 the ratio is infinite in float32 and the weight zero; their product is zero."""
    multiplier = objectives.make("gipo").multiplier(torch.tensor([89.0, -89.0]), torch.tensor(1.0))
    assert multiplier.tolist() == [0, 0]


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
    wide = values(objectives.make("gipo", sigma_pos=1e6, sigma_neg=1e6), log_ratio, advantage)
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


@given(log_ratio=LOG_RATIOS, sigma=st.floats(0.05, 5))
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
