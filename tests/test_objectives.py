"""Objectives against autograd, the paper's formulas written out by hand, and hand-computed numbers."""

import math
from dataclasses import dataclass
from unittest.mock import patch

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from gipo import objectives
from gipo.errors import GipoError
from gipo.objectives import registry
from gipo.objectives.base import LOG_RATIO_BOUND


@dataclass(frozen=True)
class UsersOwn(objectives.GIPO):
    """A method that is not of the package, but builds on one that is."""

    def multiplier_of(self, samples):
        return super().multiplier_of(samples) / 2


@pytest.fixture(scope="module", autouse=True)
def users_own():
    """Registers it while these tests run: other tests of the process know the package's methods alone."""
    with patch.dict(registry._REGISTRY):
        objectives.register("users_own")(UsersOwn)
        yield


PARAMETERS = {
    "ppo_clip": [{}, {"eps": 0.05}, {"eps_high": 0.28, "dual": 3.0}],
    "sapo": [{}, {"tau_pos": 3.0, "tau_neg": 0.5}],
    "gipo": [{}, {"sigma_pos": 2.0, "sigma_neg": 1.0}, {"kernel": "laplacian"}, {"kernel": "cauchy"}],
    "cispo": [{"eps_high": 0.5}, {"eps_high": 3.0, "eps_low": 0.5}],
    "soft_clip": [{"alpha": 0.7}, {"alpha": 2.0}],
    "m2po": [{}, {"rule": "clip"}, {"budget": 4.0}],
    "gspo": [{}, {"eps_low": 0.2, "eps_high": 0.3}],
}
SETTINGS = [(name, parameters) for name in objectives.names() for parameters in PARAMETERS.get(name, [{}])]
SETTINGS.append(("users_own", {}))
ALL = pytest.mark.parametrize(("name", "parameters"), SETTINGS)
LOG_RATIOS = st.floats(-LOG_RATIO_BOUND, LOG_RATIO_BOUND, width=32)
ANY_LOG_RATIO = LOG_RATIOS | st.floats(-1e4, 1e4, width=32)
ADVANTAGES = st.just(0.0) | st.floats(-10, 10, width=32)


BESIDE = {"log_mu": torch.tensor(-1.0), "gap": torch.tensor(4)}
"""Given to all objectives: mu is 1 / e, and the sample four updates old."""
BOUNDS = {"spo": 15.0}
"""Log-ratios up to which a formula holds, where that is not `LOG_RATIO_BOUND`."""


def values(objective, log_ratio, advantage, dtype=torch.float64):
    """Loss, minus its gradient, and multiplier times advantage, as floats."""
    x = torch.tensor(log_ratio, dtype=dtype, requires_grad=True)
    a = torch.tensor(advantage, dtype=dtype)
    loss = objective.loss(x, a, **BESIDE)
    (gradient,) = torch.autograd.grad(loss, x)
    return loss.item(), -gradient.item(), (objective.multiplier(x, a, **BESIDE) * a).item()


def written_out(name, p, x, a):
    """The loss as its formula reads, without a thought for large ratios; weights held constant."""
    rho, held = x.exp(), x.detach()
    match name:
        case "no_clip":
            return -rho * a
        case "ppo_clip":
            eps = p.get("eps", 0.2)
            least = torch.minimum(rho * a, rho.clamp(1 - eps, 1 + p.get("eps_high", eps)) * a)
            return -torch.maximum(least, p["dual"] * a) if a < 0 and "dual" in p else -least
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
        case "icepop":
            return -rho * a * (0.5 <= rho.item() <= 5)
        case "topr":
            return -(1.0 if a > 0 else held.exp().clamp(max=1)) * x * a
        case "spo":
            return -(rho * a - abs(a) * (rho - 1) ** 2 / 0.4)
        case "dppo_tv":
            step = (rho.item() - 1) / math.e
            return -rho * a * (step <= 0.2 if a > 0 else step >= -0.2)
        case "ce_gppo":
            edge = rho / held.exp()
            if a > 0 and rho > 1.2:
                return -1.2 * edge * a
            return -0.4 * edge * a if a < 0 and rho < 0.8 else -rho * a
        case "decoupled_ppo":
            proximal = 0.75 * held  # gap 4, so three quarters of the way
            step = (x - proximal).exp()
            return -proximal.exp() * torch.minimum(step * a, step.clamp(0.8, 1.2) * a)
        case "gspo":
            return -torch.minimum(rho * a, rho.clamp(1 - p.get("eps_low", 3e-4), 1 + p.get("eps_high", 4e-4)) * a)
        case "gmpo":
            return -a * (x.clamp(max=0.4) if a > 0 else x.clamp(min=-0.4)).exp()
        case "vespo":
            k, lam = (2, 3) if a >= 0 else (3, 2)
            return -(held.exp() ** k) * (lam * (1 - held.exp())).exp() * x * a
        case "m2po":  # a batch of one
            if a * x <= 0 or x * x <= p.get("budget", 0.04):
                return -rho * a
            return 0 * x - (a if p.get("rule") == "clip" else 0)
    raise KeyError(name)


@ALL
@given(log_ratio=LOG_RATIOS, advantage=ADVANTAGES)
def test_within_the_bound_loss_and_gradient_are_those_of_the_formula(name, parameters, log_ratio, advantage):
    assume(abs(log_ratio) <= BOUNDS.get(name, LOG_RATIO_BOUND))
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
    x = torch.tensor([[x] for ratio in ratios for x in (ratio, -ratio)], dtype=dtype, requires_grad=True)
    a = torch.full((len(x), 1), advantage, dtype=dtype)
    mask = x.abs() < 60 if masked else torch.ones_like(x)
    loss = objective.loss(x, a, **BESIDE)
    multiplier = objective.multiplier(x, a, **BESIDE)
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
        ("icepop", {}, math.log(4.9), 4.9),
        ("icepop", {}, math.log(5.1), 0),
        ("icepop", {}, math.log(0.49), 0),
    ],
)
def test_methods_from_elsewhere_by_hand(name, parameters, log_ratio, multiplier):
    for advantage in (1.0, -2.0):
        _, _, weighted = values(objectives.make(name, **parameters), log_ratio, advantage)
        assert weighted == pytest.approx(multiplier * advantage, rel=1e-12)


# Columns: parameters, log rho, then the multiplier where A = 1 and where A = -1; mu is 1 / e and the gap 4.
BY_SIGN = [
    ("ppo_clip", {"eps_high": 0.28}, math.log(1.25), 1.25, 1.25),
    ("ppo_clip", {"dual": 3.0}, math.log(4), 0, 0),
    ("ppo_clip", {"dual": 3.0}, math.log(2), 0, 2),
    ("topr", {}, math.log(4), 1, 1),
    ("topr", {}, math.log(0.25), 1, 0.25),
    ("spo", {}, math.log(1.1), 0.55, 1.65),  # 1.1 (1 -+ 0.1 / 0.2)
    ("spo", {}, math.log(2), -8, 12),  # 2 (1 -+ 5)
    ("dppo_tv", {}, math.log(1.5), 1.5, 1.5),  # pi - mu = 0.5 / e = 0.18
    ("dppo_tv", {}, math.log(1.6), 0, 1.6),  # 0.22
    ("dppo_tv", {}, math.log(0.4), 0.4, 0),  # -0.22
    ("ce_gppo", {}, math.log(2), 1.2, 2),
    ("ce_gppo", {}, math.log(0.5), 0.5, 0.4),  # 0.5 (1 - 0.2)
    ("decoupled_ppo", {}, 4 * math.log(1.19), 1.19**4, 1.19**4),  # r = rho^(1/4)
    ("decoupled_ppo", {}, 4 * math.log(1.21), 0, 1.21**4),
    ("gspo", {}, 0.001, 0, math.exp(0.001)),
    ("gmpo", {}, 0.5, 0, math.exp(0.5)),
    ("vespo", {}, math.log(2), 4 * math.exp(-3), 8 * math.exp(-2)),
    ("m2po", {}, 0.3, 0, math.exp(0.3)),  # 0.09 is above 0.04
    ("m2po", {}, 0.1, math.exp(0.1), math.exp(0.1)),
]


@pytest.mark.parametrize(("name", "parameters", "log_ratio", "positive", "negative"), BY_SIGN)
def test_methods_that_look_at_the_sign_by_hand(name, parameters, log_ratio, positive, negative):
    for advantage, multiplier in ((1.0, positive), (-1.0, negative)):
        _, _, weighted = values(objectives.make(name, **parameters), log_ratio, advantage)
        assert weighted == pytest.approx(multiplier * advantage, rel=1e-12, abs=1e-12)


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


OF_ACTIONS = ("gspo", "gmpo", "vespo")
"""Objectives that look at all dimensions of an action together."""


@ALL
def test_gradient_of_a_batch_is_the_multiplier_times_the_advantage(name, parameters):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(500, 5, dtype=torch.float64, generator=generator).mul(0.4).requires_grad_()
    a = torch.randn(500, 1, dtype=torch.float64, generator=generator)
    beside = {"log_mu": -torch.rand(500, 5, generator=generator), "gap": torch.arange(500)[:, None]}
    objective = objectives.make(name, **parameters)
    (gradient,) = torch.autograd.grad(objective.loss(x, a, **beside).sum(), x)
    multiplier = objective.multiplier(x, a, **beside)
    assert not multiplier.requires_grad
    torch.testing.assert_close(gradient, -multiplier * a, rtol=1e-12, atol=1e-12)


@ALL
def test_padding_changes_nothing_whatever_stands_in_it(name, parameters):
    x, a = torch.randn(6, 5, generator=torch.Generator().manual_seed(2)) * 0.5, torch.tensor([[1.0], [-1.0]] * 3)
    objective = objectives.make(name, **parameters)
    mask = torch.tensor([[1, 1, 1, 0, 0]] * 6 + [[0] * 5])
    nothing = torch.full((1, 5), math.nan)
    padded, of_all = torch.cat([x, nothing]), torch.cat([a, nothing[:, :1]])
    padded[:, 3:] = torch.tensor([math.nan, math.inf])
    padded.requires_grad_()
    found = objective.loss(padded, of_all, mask=mask, **BESIDE)
    (gradient,) = torch.autograd.grad(found.sum(), padded)
    short = x[:, :3].clone().requires_grad_()
    expected = objective.loss(short, a, **BESIDE)
    (expected_gradient,) = torch.autograd.grad(expected.sum(), short)
    torch.testing.assert_close(found[:6, :3], expected)
    torch.testing.assert_close(gradient[:6, :3], expected_gradient)
    for tensor in (found, gradient, objective.multiplier(padded, of_all, mask=mask, **BESIDE)):
        assert (tensor[mask == 0] == 0).all()


@pytest.mark.parametrize("name", OF_ACTIONS)
def test_objectives_of_whole_actions_by_their_formulas(name):
    """Gradients of one action with three dimensions, by the formula of its loss, times three: it stands three times."""
    x = torch.tensor([0.5, -0.3, 0.1], dtype=torch.float64, requires_grad=True)
    for a in (2.0, -2.0):
        match name:
            case "gspo":
                loss = -torch.minimum(x.mean().exp() * a, x.mean().exp().clamp(1 - 0.2, 1 + 0.3) * a)
            case "gmpo":
                loss = -a * (x.clamp(max=0.4) if a > 0 else x.clamp(min=-0.4)).mean().exp()
            case "vespo":
                w, k, lam = x.detach().sum().exp(), *((2, 3) if a > 0 else (3, 2))
                loss = -(w**k) * (lam * (1 - w)).exp() * x.mean() * a
        (expected,) = torch.autograd.grad(3 * loss, x)
        parameters = {"eps_low": 0.2, "eps_high": 0.3} if name == "gspo" else {}
        objective = objectives.make(name, **parameters)
        (gradient,) = torch.autograd.grad(objective.loss(x, torch.tensor(a)).sum(), x)
        torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", OF_ACTIONS)
def test_an_action_with_an_advantage_for_each_dimension_is_refused(name):
    with pytest.raises(GipoError, match=r"one advantage for an action: shape \[\.\.\., 1\], not \[5, 4\]"):
        objectives.make(name).loss(torch.zeros(5, 4), torch.zeros(5, 4))


def dead_by_dropping(x, a, budget):
    """Algorithm 1 of M2PO: harmful samples are dropped, the farthest first, until the rest is within the budget."""
    harmful = [i for i in range(len(x)) if a[i] * x[i] > 0]
    dead = set()
    while (rest := [x[i] ** 2 for i in harmful if i not in dead]) and sum(rest) / len(rest) > budget:
        dead.add(max((i for i in harmful if i not in dead), key=lambda i: x[i] ** 2))
    return dead


def dead_by_capping(x, a, budget):
    """The code of M2PO: the cap is the largest harmful distance at which the capped mean stays within the budget."""
    harmful = [i for i in range(len(x)) if a[i] * x[i] > 0]
    squares = [x[i] ** 2 for i in harmful]
    caps = [cap for cap in squares if sum(min(square, cap) for square in squares) <= budget * len(squares)]
    return {i for i in harmful if x[i] ** 2 > max(caps, default=0)}


@pytest.mark.parametrize(("rule", "dead"), [("mask", dead_by_dropping), ("clip", dead_by_capping)])
@given(seed=st.integers(0, 1000), size=st.integers(1, 30), spread=st.floats(0.01, 3), budget=st.floats(0.01, 1))
def test_m2po_drops_as_many_harmful_samples_as_needed(rule, dead, seed, size, spread, budget):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(size, dtype=torch.float64, generator=generator) * spread
    a = torch.randn(size, dtype=torch.float64, generator=generator)
    multiplier = objectives.make("m2po", rule=rule, budget=budget).multiplier(x, a)
    assert set(torch.where(multiplier == 0)[0].tolist()) == dead(x.tolist(), a.tolist(), budget)


def test_weights_in_a_mask_stand_for_samples_that_are_there_several_times():
    """So the batch's statistics can be exact: each action once, with its probability."""
    x, a = torch.tensor([0.1, 0.5, 0.9, -0.4]), torch.tensor([1.0, 1.0, 1.0, -1.0])
    times = torch.tensor([5, 1, 2, 1])
    for rule in ("mask", "clip"):
        objective = objectives.make("m2po", rule=rule)
        repeated = objective.multiplier(x.repeat_interleave(times), a.repeat_interleave(times))
        weighted = objective.multiplier(x, a, mask=times / times.sum())
        assert repeated.tolist() == weighted.repeat_interleave(times).tolist()


@ALL
def test_weights_in_a_mask_are_none_of_a_sample_alone(name, parameters):
    """All but M2PO look at no statistic of the batch."""
    x, a = torch.tensor([[0.3, -0.2], [0.1, 0.9]]), torch.tensor([[1.0], [-1.0]])
    objective = objectives.make(name, **parameters)
    weighted = objective.multiplier(x, a, mask=torch.tensor([[0.1], [0.7]]), **BESIDE)
    if name != "m2po":
        assert weighted.tolist() == objective.multiplier(x, a, **BESIDE).tolist()


@pytest.mark.parametrize(("name", "needed"), [("dppo_tv", "log_mu"), ("decoupled_ppo", "gap")])
def test_what_an_objective_needs_and_was_not_given_is_named(name, needed):
    with pytest.raises(GipoError, match=f"needs {needed}: loss"):
        objectives.make(name).loss(torch.zeros(3), torch.ones(3))


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ({"advantage": (5,)}, r"advantage has shape \[5\].*\[3, 4\]"),
        ({"mask": (7, 3, 4)}, r"mask has shape \[7, 3, 4\].*\[3, 4\]"),
        ({"gap": (3,)}, r"gap has shape \[3\].*\[3, 4\]"),
    ],
)
def test_shapes_that_do_not_fit_are_named(shapes, words):
    tensors = {"advantage": torch.ones(3, 1)} | {name: torch.ones(shape) for name, shape in shapes.items()}
    with pytest.raises(GipoError, match=words):
        objectives.make("no_clip").loss(torch.zeros(3, 4), **tensors)


@ALL
def test_an_advantage_broadcasts_over_action_dimensions(name, parameters):
    objective = objectives.make(name, **parameters)
    log_ratio, advantage = torch.randn(5, 4), torch.randn(5, 1)
    for function in (objective.loss, objective.multiplier):
        found = function(log_ratio, advantage, **BESIDE)
        assert found.shape == (5, 4)
        if name not in OF_ACTIONS:
            torch.testing.assert_close(found, function(log_ratio, advantage.expand(5, 4), **BESIDE))


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
        "    def loss_of(self, samples):\n"
        "        return super().loss_of(samples) / 2\n"
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
