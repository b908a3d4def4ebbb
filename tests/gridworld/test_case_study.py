import numpy as np
import pytest
import torch
from scipy.special import softmax

from gipo import objectives
from gipo.gridworld import case_study as study
from gipo.theory import kl

PI, MU = study.case_policies()
OBJECTIVES = [
    objectives.make("no_clip"),
    objectives.make("ppo_clip"),
    objectives.make("sapo"),
    objectives.make("gipo", sigma_pos=1.0, sigma_neg=0.5),
    objectives.make("gipo", kernel="laplacian"),
]


def default_points() -> dict[str, np.ndarray]:
    """[case, (bias, variance)] of each method at its default."""
    swept = study.sweep(PI, MU)
    return {each.method: swept[each.method][:, each.default] for each in study.KNOBS}


def test_numbers_checked_when_the_logits_were_reconstructed() -> None:
    points = default_points()
    assert points["ppo_clip"][:2, 1].tolist() == [0, 0]
    assert points["ppo_clip"][2, 1] == pytest.approx(0.059, abs=5e-4)
    np.testing.assert_allclose(points["no_clip"][:, 1], [0.010, 0.016, 0.059], atol=5e-4)
    bias, variance = points["sapo"][0]
    assert (bias, variance) == (pytest.approx(0.0272, abs=5e-5), pytest.approx(0.0042, abs=5e-5))
    gipo = study.sweep(PI, MU)["gipo"][0]
    assert np.interp(variance, gipo[:, 1], gipo[:, 0]) == pytest.approx(0.031, abs=5e-4)


def test_defaults_are_the_settings_of_the_authors_comparison() -> None:
    made = {each.method: each.make(each.knobs[each.default].item()) for each in study.KNOBS}
    assert made == {
        "no_clip": objectives.make("no_clip"),
        "ppo_clip": objectives.make("ppo_clip", eps=0.2),
        "sapo": objectives.make("sapo", tau_pos=1.0, tau_neg=2.0),
        "gipo": objectives.make("gipo", sigma_pos=1.0, sigma_neg=1.0),
    }


def test_lag_falls_from_a_to_c() -> None:
    assert (np.diff(kl(PI, MU)) < 0).all()
    np.testing.assert_allclose(MU[0], 0.25)
    np.testing.assert_allclose(MU.sum(-1), 1)


def test_advantages_against_walking_the_grid() -> None:
    """Value iteration on moves written out by hand: s0 = 0, top right = 1, bottom left = 2, goal = 3."""
    landing = {0: (0, 2, 0, 1), 1: (1, 3, 0, 1), 2: (0, 2, 2, 3)}  # up, down, left, right
    values = np.zeros(4)
    for _ in range(2000):
        action_values = {s: [-(t != 3) + study.GAMMA * values[t] for t in to] for s, to in landing.items()}
        values = np.array([*(PI @ action_values[s] for s in range(3)), 0])
    np.testing.assert_allclose(study.advantages(PI), action_values[0] - values[0], atol=1e-12)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
@pytest.mark.parametrize("mu", MU, ids=study.CASES)
def test_enumeration_equals_autograd_of_the_loss(objective: objectives.Objective, mu: np.ndarray) -> None:
    advantage = study.advantages(PI)
    logits = torch.tensor(study.TARGET_LOGITS, requires_grad=True)
    log_ratio = torch.log_softmax(logits, -1) - torch.from_numpy(mu).log()
    losses = objective.loss(log_ratio, torch.from_numpy(advantage))
    gradients = -np.stack([torch.autograd.grad(loss, logits, retain_graph=True)[0].numpy() for loss in losses])
    mean = mu @ gradients
    score = np.eye(4) - PI
    bias = np.linalg.norm(mean - (PI * advantage) @ score)
    covariance = (gradients - mean).T @ np.diag(mu) @ (gradients - mean)
    expected = [bias, np.trace(covariance)]
    np.testing.assert_allclose(study.bias_variance(objective, PI, mu, advantage), expected, atol=1e-12)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
def test_enumeration_against_monte_carlo(objective: objectives.Objective) -> None:
    rng = np.random.default_rng(0)
    pi, mu, advantage = softmax(rng.normal(size=4)), softmax(rng.normal(size=4)), rng.normal(size=4)
    actions = rng.choice(4, size=200_000, p=mu)
    log_ratio = torch.from_numpy(np.log(pi / mu)[actions])
    multiplier = objective.multiplier(log_ratio, torch.from_numpy(advantage[actions])).numpy()
    samples = (multiplier * advantage[actions])[:, None] * (np.eye(4) - pi)[actions]
    truth = (pi * advantage) @ (np.eye(4) - pi)
    bias, variance = study.bias_variance(objective, pi, mu, advantage)
    error = np.sqrt(variance / len(samples))
    assert np.linalg.norm(samples.mean(0) - truth) == pytest.approx(bias, abs=6 * error)
    assert samples.var(0).sum() == pytest.approx(variance, rel=0.05)


def test_no_clip_is_unbiased_and_the_limit_of_wide_gates() -> None:
    swept = study.sweep(PI, MU)
    np.testing.assert_allclose(swept["no_clip"][..., 0], 0, atol=1e-15)
    np.testing.assert_allclose(swept["gipo"][:, -1:], swept["no_clip"], atol=1e-6)
    np.testing.assert_allclose(swept["sapo"][:, :1], swept["no_clip"], atol=1e-6)


def test_tables_have_their_columns_and_every_setting() -> None:
    table = study.points()
    columns = ["case", "method", "parameter", "knob", "bias", "variance", "default", "pareto"]
    assert list(table.columns) == columns
    assert (table.groupby(["case", "method"]).default.sum() == 1).all()
    default = table[table.default].set_index(["case", "method"])
    assert default.loc[("A", "gipo"), "parameter"] == "sigma=1"
    assert default.loc[("B", "sapo"), "bias"] == pytest.approx(default_points()["sapo"][1, 0])
    assert table.knob.isna().sum() == 3
    assert len(table) == 3 * sum(len(each.knobs) for each in study.KNOBS)

    policies = study.policies().pivot_table(index="policy", columns="action", values="probability")
    np.testing.assert_allclose(policies.loc["C", list(study.ACTIONS)], MU[2])
    np.testing.assert_allclose(policies.sum(axis=1), 1)
