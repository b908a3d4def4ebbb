"""The case study against formulas and enumerations written out here, by hand, on plain numbers."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.special import softmax

from gipo import objectives
from gipo.gridworld import case_study as study
from gipo.gridworld import tables
from gipo.theory import kl

PI, MU = study.case_policies()
MARGINS = tables.margins().set_index(["case", "estimator", "method"])
CASES = (*study.CASES, "D")
OBJECTIVES = [
    objectives.make("no_clip"),
    objectives.make("ppo_clip"),
    objectives.make("sapo"),
    objectives.make("gipo", sigma_pos=1.0, sigma_neg=0.5),
    objectives.make("gipo", kernel="laplacian"),
]
Multiplier = Callable[[float, float], float]


def gipo(sigma: float) -> Multiplier:
    return lambda rho, _: rho * math.exp(-(math.log(rho) ** 2) / (2 * sigma**2))


def sapo(tau: float) -> Multiplier:
    def multiplier(rho: float, advantage: float) -> float:
        return rho / math.cosh((tau if advantage > 0 else 2 * tau) * (rho - 1) / 2) ** 2

    return multiplier


def ppo(rho: float, advantage: float) -> float:
    return 0.0 if (advantage > 0 and rho > 1.2) or (advantage < 0 and rho < 0.8) else rho


def by_hand(multiplier: Multiplier, case: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """(bias, variance) of the logit of right, and (norm of the bias, trace of the covariance) of all four.

    Up and left are alike, and so are down and right, in all but the logit that is looked at.
    """
    p, q = math.e / (2 + 2 * math.e), 1 / (2 + 2 * math.e)  # down or right, up or left
    # Values of the start and of its neighbours, from each of which one move in p ends:
    # V0 = -1 + 0.9 (2 q V0 + 2 p V1) and V1 = -1 + 0.9 (q V0 + (q + p) V1).
    a, b = 0.9 * q / (1 - 0.9 * (p + q)), -1 / (1 - 0.9 * (p + q))  # V1 = a V0 + b
    start = (-1 + 1.8 * p * b) / (1 - 1.8 * q - 1.8 * p * a)
    good, bad = -1 + 0.9 * (a * start + b) - start, -1 + 0.9 * start - start
    random, right, down = {"A": (1, 0, 0), "B": (0.4, 0.3, 0.3), "C": (0.2, 0.4, 0.4), "D": (0, 0, 0)}[case]
    assert right == down
    good_mu = random / 4 + right * (math.e + 1) / (math.e + 3) if case != "D" else p
    bad_mu = 0.5 - good_mu
    up = multiplier(q / bad_mu, bad) * bad
    forward = multiplier(p / good_mu, good) * good
    # The gradient of log pi(a) in the logit i is 1[a = i] - pi(i); rows are up, down, left, right.
    samples = [(bad_mu, up, 0), (good_mu, forward, 1), (bad_mu, up, 2), (good_mu, forward, 3)]
    biases, variances = [], []
    for i, share in enumerate((q, p, q, p)):
        draws = [(mu, coefficient * ((i == action) - share)) for mu, coefficient, action in samples]
        mean = sum(mu * draw for mu, draw in draws)
        biases.append(mean - share * (bad, good, bad, good)[i])
        variances.append(sum(mu * (draw - mean) ** 2 for mu, draw in draws))
    return (abs(biases[3]), variances[3]), (math.hypot(*biases), sum(variances))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("method", "knob", "multiplier"),
    [
        *(("gipo", sigma, gipo(sigma)) for sigma in (0.1, 0.3, 0.5, 1.0, 2.0)),
        ("sapo", 1.0, sapo(1.0)),
        ("ppo_clip", 0.2, ppo),
        ("no_clip", 0.0, lambda rho, _: rho),
    ],
)
def test_published_settings_against_enumeration_by_hand(
    case: str, method: str, knob: float, multiplier: Multiplier
) -> None:
    [each] = [each for each in study.KNOBS if each.method == method]
    points = study.bias_variance(each.make(knob), PI, MU[CASES.index(case)], study.advantages(PI))
    np.testing.assert_allclose(points, by_hand(multiplier, case), atol=1e-15)


def test_values_of_the_authors_code() -> None:
    e = math.e
    np.testing.assert_allclose(PI, np.array([1, e, 1, e]) / (2 + 2 * e))
    right, down = np.array([1, 1, 1, e]) / (3 + e), np.array([1, e, 1, 1]) / (3 + e)
    np.testing.assert_allclose(MU[0], [0.25] * 4)
    np.testing.assert_allclose(MU[1], 0.1 + 0.3 * right + 0.3 * down)
    np.testing.assert_allclose(MU[2], 0.05 + 0.4 * right + 0.4 * down)
    np.testing.assert_array_equal(MU[3], PI)
    assert (np.diff(kl(PI, MU)) < 0).all()


def test_settings_are_those_of_the_authors_comparison() -> None:
    made = {each.method: [each.make(knob) for knob in each.published] for each in study.KNOBS}
    assert made == {
        "no_clip": [objectives.make("no_clip")],
        "ppo_clip": [objectives.make("ppo_clip", eps=0.2)],
        "sapo": [objectives.make("sapo", tau_pos=1.0, tau_neg=2.0)],
        "gipo": [objectives.make("gipo", sigma_pos=sigma, sigma_neg=sigma) for sigma in (0.1, 0.3, 0.5, 1.0, 2.0)],
    }
    main = {each.method: each.make(each.main) for each in study.KNOBS}
    assert main["gipo"] == objectives.make("gipo", sigma_pos=1.0, sigma_neg=1.0)
    assert all(main[method] == objectives_[0] for method, objectives_ in made.items() if method != "gipo")


def test_advantages_against_walking_the_grid() -> None:
    """Value iteration on moves written out by hand: s0 = 0, top right = 1, bottom left = 2, goal = 3."""
    landing = {0: (0, 2, 0, 1), 1: (1, 3, 0, 1), 2: (0, 2, 2, 3)}  # up, down, left, right
    values = np.zeros(4)
    for _ in range(2000):
        action_values = {s: [-1 + 0.9 * values[t] for t in to] for s, to in landing.items()}
        values = np.array([*(PI @ action_values[s] for s in range(3)), 0])
    np.testing.assert_allclose(study.advantages(PI), action_values[0] - values[0], atol=1e-12)


def samples_by_autograd(objective: objectives.Objective, mu: np.ndarray) -> np.ndarray:
    """Minus the gradient of the loss of each action in the logits of s0, shape [actions, logits]."""
    logits = torch.tensor(study.TARGET_LOGITS, requires_grad=True)
    log_ratio = torch.log_softmax(logits, -1) - torch.from_numpy(mu).log()
    losses = objective.loss(log_ratio, torch.from_numpy(study.advantages(PI)))
    return -np.stack([torch.autograd.grad(loss, logits, retain_graph=True)[0].numpy() for loss in losses])


@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
@pytest.mark.parametrize("mu", MU, ids=CASES)
def test_enumeration_equals_autograd_of_the_loss(objective: objectives.Objective, mu: np.ndarray) -> None:
    samples = samples_by_autograd(objective, mu)
    mean = mu @ samples
    bias = mean - (PI * study.advantages(PI)) @ (np.eye(4) - PI)
    covariance = (samples - mean).T @ np.diag(mu) @ (samples - mean)
    expected = [[abs(bias[3]), covariance[3, 3]], [np.linalg.norm(bias), np.trace(covariance)]]
    np.testing.assert_allclose(study.bias_variance(objective, PI, mu, study.advantages(PI)), expected, atol=1e-12)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
def test_enumeration_against_monte_carlo(objective: objectives.Objective) -> None:
    rng = np.random.default_rng(0)
    pi, mu, advantage = softmax(rng.normal(size=4)), softmax(rng.normal(size=4)), rng.normal(size=4)
    actions = rng.choice(4, size=200_000, p=mu)
    log_ratio = torch.from_numpy(np.log(pi / mu)[actions])
    multiplier = objective.multiplier(log_ratio, torch.from_numpy(advantage[actions])).numpy()
    samples = (multiplier * advantage[actions])[:, None] * (np.eye(4) - pi)[actions]
    truth = (pi * advantage) @ (np.eye(4) - pi)
    for (bias, variance), logits in zip(
        study.bias_variance(objective, pi, mu, advantage), ([3], [0, 1, 2, 3]), strict=True
    ):
        error = np.sqrt(variance / len(samples))
        assert np.linalg.norm((samples.mean(0) - truth)[logits]) == pytest.approx(bias, abs=6 * error)
        assert samples.var(0)[logits].sum() == pytest.approx(variance, rel=0.05)


def test_no_clip_is_unbiased_and_the_limit_of_wide_gates() -> None:
    swept = study.sweep(PI, MU)
    np.testing.assert_allclose(swept["no_clip"][..., 0], 0, atol=1e-15)
    np.testing.assert_allclose(swept["gipo"][..., -1:, :], swept["no_clip"], atol=1e-6)
    np.testing.assert_allclose(swept["sapo"][..., :1, :], swept["no_clip"], atol=1e-6)


def test_on_policy_every_setting_of_every_method_is_unbiased_with_the_same_variance() -> None:
    on_policy = {method: points[CASES.index("D")] for method, points in study.sweep(PI, MU).items()}
    for points in on_policy.values():
        np.testing.assert_allclose(points[..., 0], 0, atol=1e-15)
        np.testing.assert_allclose(points[..., 1] - on_policy["no_clip"][..., 1], 0, atol=1e-15)


def test_largest_bias_is_that_of_an_estimator_that_is_always_0() -> None:
    by_zero = by_hand(lambda rho, advantage: 0.0, "A")
    np.testing.assert_allclose(study.true_gradient(PI), [bias for bias, _ in by_zero])
    assert [variance for _, variance in by_zero] == [0, 0]


@pytest.mark.parametrize("view", [0, 1], ids=study.ESTIMATORS)
@pytest.mark.parametrize("case", study.CASES)
def test_margins_against_solving_for_equal_variance(case: str, view: int) -> None:
    """For each tau the sigma of the same variance by root finding; margins differ by less than 1e-6 of the bias."""
    differences = []
    for tau in np.geomspace(1e-2, 60, 300).tolist():
        bias, variance = by_hand(sapo(tau), case)[view]

        def excess_variance(sigma: float, variance: float = variance) -> float:
            return by_hand(gipo(sigma), case)[view][1] - variance

        sigma = brentq(excess_variance, 0.01, 1e4, xtol=1e-13)
        differences.append(by_hand(gipo(sigma), case)[view][0] - bias)
    row = MARGINS.loc[(case, list(study.ESTIMATORS)[view], "sapo")]
    assert row["excess"] == pytest.approx(max(differences), abs=1e-6 * row["largest_bias"])
    assert row["gain"] == pytest.approx(-min(differences), rel=1e-3)


def test_margins_of_the_case_study_by_their_published_digits() -> None:
    """Of the logit of right, then of all four; found by other code, before this."""
    by_case = [MARGINS.loc[(case, view, "sapo")] for view in ("right", "all") for case in study.CASES]
    np.testing.assert_allclose([row["excess"] for row in by_case], [4e-5, 0, 0, 8.1e-5, 8e-7, 1.56e-5], atol=5e-7)
    gains = [0.00601, 0.01097, 0.01224, 0.00589, 0.01126, 0.01263]
    np.testing.assert_allclose([row["gain"] for row in by_case], gains, atol=5e-6)
    assert (MARGINS.loc["D", ["excess", "gain"]] == 0).all(axis=None)


@pytest.mark.parametrize(("view", "estimator"), enumerate(study.ESTIMATORS))
@pytest.mark.parametrize("side", ["excess", "gain"])
@pytest.mark.parametrize("case", study.CASES)
def test_a_margin_lies_where_its_row_says(case: str, side: str, view: int, estimator: str) -> None:
    row = MARGINS.loc[(case, estimator, "sapo")]
    tau = brentq(lambda tau: by_hand(sapo(tau), case)[view][1] - row[f"{side}_variance"], 1e-4, 300)
    assert by_hand(sapo(tau), case)[view][0] == pytest.approx(row[f"{side}_bias"], rel=1e-4)
    assert row[f"{side}_share"] == pytest.approx(row[side] / row["largest_bias"])


def test_tables_have_their_columns_and_every_setting() -> None:
    table = tables.points()
    columns = ["case", "estimator", "method", "parameter", "knob", "bias", "variance", "default", "published", "pareto"]
    assert list(table.columns) == columns
    assert (table.groupby(["case", "estimator", "method"]).default.sum() == 1).all()
    default = table[table.default].set_index(["case", "estimator", "method"])
    assert default.loc[("A", "right", "gipo"), "parameter"] == "sigma=1"
    expected = by_hand(sapo(1.0), "B")
    assert default.loc[("B", "right", "sapo"), ["bias", "variance"]].tolist() == pytest.approx(expected[0])
    assert default.loc[("B", "all", "sapo"), ["bias", "variance"]].tolist() == pytest.approx(expected[1])
    assert table[table.published].groupby(["case", "estimator"]).size().tolist() == [8] * 8
    assert [len(each.knobs) for each in study.KNOBS] == [1, 99, 601, 604]
    settings = sum(len(each.knobs) for each in study.KNOBS)
    assert table.groupby(["case", "estimator"]).size().tolist() == [settings] * 6 + [8] * 2

    policies = tables.policies().pivot_table(index="policy", columns="action", values="probability")
    np.testing.assert_allclose(policies.loc["C", list(study.ACTIONS)], MU[2])
    np.testing.assert_allclose(policies.sum(axis=1), 1)
    assert set(policies.index) == {"pi", *study.CASES}
