"""Every bound of section 5 on hundreds of random finite MDPs, the exact quantities against independent ways to them."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from scipy.stats import binom, norm

from gipo import theory
from gipo.errors import GipoError
from gipo.theory import MDP, Array

SIGMAS = (0.2, 0.5, 1.0, 2.0)


def random_mdp(rng: np.random.Generator) -> MDP:
    """2 to 6 states, 2 to 5 actions, sparse to dense transitions, gamma up to 0.99."""
    states, actions = rng.integers(2, 7), rng.integers(2, 6)
    concentration = rng.choice([0.1, 1.0, 10.0])
    return MDP(
        transitions=rng.dirichlet(np.full(states, concentration), (states, actions)),
        rewards=rng.normal(size=(states, actions)) * rng.choice([0.1, 1.0, 10.0]),
        gamma=rng.choice([0.0, 0.5, 0.9, 0.99]),
        start=rng.dirichlet(np.ones(states)),
    )


def random_policies(rng: np.random.Generator, *shape: int) -> tuple[Array, Array]:
    """(pi, mu) from nearly equal to very different."""
    logits = rng.normal(size=shape) * 2
    return softmax(logits + rng.normal(size=shape) * rng.choice([0.01, 0.3, 3.0]), axis=-1), softmax(logits, axis=-1)


def random_cases(count: int) -> list[tuple[MDP, Array, Array]]:
    rng = np.random.default_rng(0)
    mdps = [random_mdp(rng) for _ in range(count)]
    return [(mdp, *random_policies(rng, *mdp.rewards.shape)) for mdp in mdps]


def test_values_satisfy_the_bellman_equation_found_by_iteration() -> None:
    for mdp, pi, _ in random_cases(50):
        values = np.zeros(len(mdp.start))
        for _ in range(4000):
            action_values = mdp.rewards + mdp.gamma * mdp.transitions @ values
            values = (pi * action_values).sum(1)
        np.testing.assert_allclose(mdp.values(pi), values, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(mdp.advantages(pi), action_values - values[:, None], rtol=1e-6, atol=1e-7)


def test_occupancy_is_the_discounted_sum_of_state_distributions() -> None:
    for mdp, pi, _ in random_cases(50):
        step = np.einsum("sa,sat->st", pi, mdp.transitions)
        state, total = mdp.start, np.zeros_like(mdp.start)
        for t in range(4000):
            total += (1 - mdp.gamma) * mdp.gamma**t * state
            state = state @ step
        np.testing.assert_allclose(mdp.occupancy(pi), total, atol=1e-9)
        rewards = (pi * mdp.rewards).sum(1)
        assert mdp.performance(pi) == pytest.approx(total @ rewards / (1 - mdp.gamma), rel=1e-6, abs=1e-6)


def test_values_in_closed_form_for_a_chain() -> None:
    """Reward 1 a step; the action ends it with probability q: V = 1 / (1 - gamma (1 - q))."""
    q, gamma = 0.3, 0.9
    mdp = MDP(np.array([[[1 - q, q]], [[0.0, 1.0]]]), np.array([[1.0], [0.0]]), gamma, np.array([1.0, 0.0]))
    np.testing.assert_allclose(mdp.values(np.ones((2, 1))), [1 / (1 - gamma * (1 - q)), 0])


def test_stacks_of_policies_equal_one_by_one() -> None:
    mdp = random_mdp(np.random.default_rng(1))
    pi = softmax(np.random.default_rng(2).normal(size=(3, 2, *mdp.rewards.shape)), axis=-1)
    for quantity in (mdp.values, mdp.advantages, mdp.occupancy):
        np.testing.assert_allclose(quantity(pi)[2, 1], quantity(pi[2, 1]))


@pytest.mark.parametrize("sigma", SIGMAS)
def test_global_bound_holds_and_is_attained(sigma: float) -> None:
    bound, best_rho = theory.largest_multiplier(sigma)
    log_rho = np.linspace(-50, 50, 100_001)
    assert np.exp(log_rho - 0.5 * (log_rho / sigma) ** 2).max() <= bound * (1 + 1e-12)
    assert best_rho * math.exp(-0.5 * (math.log(best_rho) / sigma) ** 2) == pytest.approx(bound)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_lemma_5_1(sigma: float) -> None:
    for mdp, pi, mu in random_cases(300):
        lost = theory.attenuation(pi, mu, sigma)
        rho = pi / mu
        omega = np.exp(-(np.log(rho) ** 2) / (2 * sigma**2))
        np.testing.assert_allclose(lost, (mu * rho * (1 - omega)).sum(1), atol=1e-12)
        divergence = theory.kl(pi, mu)
        np.testing.assert_allclose(divergence, (pi * np.log(rho)).sum(1), atol=1e-12)
        for epsilon in (0.01, 0.1, 0.5, 1.0, 3.0):
            assert (lost <= theory.attenuation_bound(divergence, sigma, epsilon)).all(), mdp


def test_pinsker_step_of_lemma_5_1() -> None:
    """E_pi |log rho| <= D + 2 TV <= D + sqrt(2 D), the constant that the bound divides by epsilon."""
    for _, pi, mu in random_cases(300):
        divergence = theory.kl(pi, mu)
        mean = (pi * np.abs(np.log(pi / mu))).sum(1)
        middle = divergence + 2 * theory.total_variation(pi, mu)
        assert (mean <= middle + 1e-12).all()
        assert (middle <= divergence + np.sqrt(2 * divergence) + 1e-12).all()


@pytest.mark.parametrize("sigma", SIGMAS)
def test_best_epsilon_is_the_numeric_minimiser(sigma: float) -> None:
    """The bound falls, then rises up to its inflection: eps = sqrt(3) sigma ends the bracket of the local minimum."""
    for divergence in np.geomspace(1e-6, 0.2, 40) * sigma**2:
        epsilon = theory.best_epsilon(divergence, sigma)
        numeric = minimize_scalar(
            lambda x: float(theory.attenuation_bound(divergence, sigma, x)),  # noqa: B023
            bounds=(1e-9, math.sqrt(3) * sigma),
            method="bounded",
            options={"xatol": 1e-10},
        )
        assert epsilon == pytest.approx(numeric.x, rel=1e-4)


def test_best_epsilon_tells_when_the_bound_says_anything() -> None:
    sigma = 0.7
    divergences = np.geomspace(1e-4, 1, 400)
    c = divergences + np.sqrt(2 * divergences)
    for divergence, says_something in zip(divergences, c < sigma * math.exp(-0.5), strict=True):
        least = min(float(theory.attenuation_bound(divergence, sigma, x)) for x in np.geomspace(0.01, 100, 400))
        assert (least < 1) == says_something or least == pytest.approx(1, abs=1e-3)
        if says_something:
            epsilon = theory.best_epsilon(divergence, sigma)
            assert epsilon < sigma
            assert theory.attenuation_bound(divergence, sigma, epsilon) <= least


def test_best_epsilon_refuses_where_lambert_has_no_real_branch() -> None:
    sigma = 1.0
    edge = 3**1.5 * math.exp(-1.5) * sigma  # C at argument -1/e
    divergence = ((math.sqrt(2 + 4 * edge) - math.sqrt(2)) / 2) ** 2
    assert theory.best_epsilon(divergence * (1 - 1e-6), sigma) == pytest.approx(math.sqrt(3) * sigma, rel=1e-2)
    with pytest.raises(GipoError, match=r"KL = .* too large for sigma = 1"):
        theory.best_epsilon(divergence * (1 + 1e-6), sigma)
    with pytest.raises(GipoError, match="divergence = 0"):
        theory.best_epsilon(0.0, sigma)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_theorem_5_2_bounds_performance_from_below(sigma: float) -> None:
    for mdp, pi, mu in random_cases(300):
        truth = mdp.performance(pi)
        assert theory.performance_lower_bound(mdp, pi, mu, sigma) <= truth + 1e-9 * max(1, abs(truth))
        assert theory.performance_lower_bound(mdp, mu, mu, sigma) == pytest.approx(mdp.performance(mu))


def test_theorem_5_2_is_tight_to_first_order() -> None:
    """For pi near mu what the bound gives away is quadratic in the step while the change of J is linear."""
    rng = np.random.default_rng(3)
    for mdp, _, mu in random_cases(100):
        direction = rng.normal(size=mu.shape)

        def gap(step: float, mdp: MDP = mdp, mu: Array = mu, direction: Array = direction) -> float:
            pi = softmax(np.log(mu) + step * direction, axis=-1)
            return mdp.performance(pi) - theory.performance_lower_bound(mdp, pi, mu, 1.0)

        assert gap(1e-3) == pytest.approx(gap(2e-3) / 4, rel=0.05)


def test_theorem_5_4_covers_in_simulation() -> None:
    rng = np.random.default_rng(4)
    samples, delta, sigma = 20, 0.2, 0.5
    for _ in range(100):
        pi, mu = random_policies(rng, 5)
        advantage = rng.normal(size=5)
        terms = pi / mu * theory.trust_weight(pi, mu, sigma) * advantage
        means = terms[rng.choice(5, size=(2000, samples), p=mu)].mean(1)
        radius = theory.hoeffding_radius(float(np.abs(advantage).max()), sigma, samples, delta)
        assert (np.abs(means - mu @ terms) > radius).mean() <= delta


def test_theorem_5_4_holds_in_the_worst_case_and_half_of_it_would_not() -> None:
    """Terms of +-A_max exp(sigma^2 / 2) with equal odds vary most; their mean follows the binomial law exactly."""
    samples, delta, sigma, largest_advantage = 100, 0.2, 1.0, 3.0
    heads = np.arange(samples + 1)
    deviation = np.abs(2 * heads / samples - 1) * largest_advantage * math.exp(sigma**2 / 2)
    odds = binom.pmf(heads, samples, 0.5)
    radius = theory.hoeffding_radius(largest_advantage, sigma, samples, delta)
    assert odds[deviation > radius].sum() <= delta
    assert odds[deviation > radius / 2].sum() > delta


def expectation(function: Callable[[float], float], mean: float, spread: float) -> float:
    """Of a function of a normal log rho, by quadrature."""
    return float(quad(lambda x: function(x) * norm.pdf(x, mean, spread), mean - 12 * spread, mean + 12 * spread)[0])


@pytest.mark.parametrize("d95", [0.01, 0.095, 0.375, 1.46, 5.0, 15.0])
def test_log_ratio_spread_gives_the_measured_d95(d95: float) -> None:
    s = theory.log_ratio_spread(d95)
    assert expectation(math.exp, -(s**2) / 2, s) == pytest.approx(1)  # E_mu[rho]
    within = norm.cdf(d95, -(s**2) / 2, s) - norm.cdf(-d95, -(s**2) / 2, s)
    assert within == pytest.approx(0.95, abs=1e-9)
    assert s <= d95 / 1.9599
    assert theory.log_ratio_spread(1e-4) == pytest.approx(1e-4 / 1.959964, rel=1e-5)


@pytest.mark.parametrize("s", [0.05, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("sigma", SIGMAS)
def test_modelled_bias_and_second_moment_are_the_gaussian_integrals(s: float, sigma: float) -> None:
    def weight(x: float) -> float:
        return math.exp(-(x**2) / (2 * sigma**2))

    bias, moment = theory.modelled_bias(s, sigma), theory.modelled_second_moment(s, sigma)
    assert bias == pytest.approx(1 - expectation(weight, s**2 / 2, s), abs=1e-9)
    assert bias == pytest.approx(1 - expectation(lambda x: math.exp(x) * weight(x), -(s**2) / 2, s), abs=1e-9)
    squared = expectation(lambda x: (math.exp(x) * weight(x)) ** 2, -(s**2) / 2, s)
    assert moment == pytest.approx(squared, rel=1e-7)
    assert theory.modelled_error(s, sigma, 100) == pytest.approx(bias**2 + squared / 100)


def test_modelled_quantities_at_either_end_of_sigma() -> None:
    assert theory.modelled_bias(0.7, 1e9) == pytest.approx(0, abs=1e-12)
    assert theory.modelled_second_moment(0.7, 1e9) == pytest.approx(math.exp(0.49))  # plain importance sampling
    assert theory.modelled_bias(0.7, 1e-9) == pytest.approx(1)
    assert theory.modelled_second_moment(0.7, 1e-9) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("d95", [0.05, 0.5, 1.46, 5.0, 20.0])
@pytest.mark.parametrize("samples", [4, 256, 2048])
def test_best_sigma_has_the_least_modelled_error(d95: float, samples: int) -> None:
    s, best = theory.log_ratio_spread(d95), theory.best_sigma(d95, samples)
    least = theory.modelled_error(s, best, samples)
    assert least <= min(theory.modelled_error(s, sigma, samples) for sigma in np.geomspace(1e-3, 1e3, 2000)) + 1e-12
    low, high = theory.good_sigmas(d95, samples, 0.1)
    assert low < best < high
    for end in {low, high} - {0.0, math.inf}:
        assert theory.modelled_error(s, end, samples) == pytest.approx(1.1 * least)
    if high == math.inf:
        assert math.exp(s**2) / samples <= 1.1 * least


def test_best_sigma_grows_without_bound_with_the_samples() -> None:
    sigmas = [theory.best_sigma(1.46, samples) for samples in (10, 100, 1e4, 1e6)]
    assert sigmas == sorted(sigmas)
    s = theory.log_ratio_spread(1.46)
    limit = s**2 * math.exp(-(s**2)) * (1 + s**2 / 4) ** 2 / (1 + 9 * s**2 / 4) / 2
    assert sigmas[-1] == pytest.approx(math.sqrt(1e6 * limit), rel=1e-3)


def test_best_sigma_first_rises_with_d95_and_falls_where_ratios_explode() -> None:
    """Near ratios of 1 it is s sqrt(N / 2); the turn is where the formula for many samples has it."""
    assert theory.best_sigma(0.01, 2048) == pytest.approx(0.01 / 1.96 * math.sqrt(1024), rel=0.01)
    rising = [theory.best_sigma(d95, 2048) for d95 in (0.05, 0.2, 0.5, 1.0, 1.46)]
    assert rising == sorted(rising)
    falling = [theory.best_sigma(d95, 2048) for d95 in (3.0, 5.0, 10.0, 20.0)]
    assert falling == sorted(falling, reverse=True)


def test_bad_input_is_named() -> None:
    uniform = np.full((2, 2, 2), 0.5)
    start, rewards = np.array([1.0, 0.0]), np.zeros((2, 2))
    with pytest.raises(GipoError, match=r"gamma = 1\.0"):
        MDP(uniform, rewards, 1.0, start)
    with pytest.raises(GipoError, match="transitions: expected probabilities"):
        MDP(uniform * 2, rewards, 0.9, start)
    with pytest.raises(GipoError, match="start: expected probabilities"):
        MDP(uniform, rewards, 0.9, start * 2)
    with pytest.raises(GipoError, match="shapes"):
        MDP(uniform, np.zeros((3, 2)), 0.9, start)
    policy = np.array([0.5, 0.5])
    with pytest.raises(GipoError, match="mu: smallest probability 0"):
        theory.attenuation(policy, np.array([1.0, 0.0]), 1.0)
    with pytest.raises(GipoError, match=r"sigma = 0\.0"):
        theory.attenuation(policy, policy, 0.0)
    with pytest.raises(GipoError, match=r"epsilon = -1\.0"):
        theory.attenuation_bound(0.1, 1.0, -1.0)
    with pytest.raises(GipoError, match=r"delta = 1\.0"):
        theory.hoeffding_radius(1.0, 1.0, 10, 1.0)
    with pytest.raises(GipoError, match=r"d95 = 0\.0"):
        theory.best_sigma(0.0, 100)
    with pytest.raises(GipoError, match="samples = 0"):
        theory.best_sigma(1.0, 0)
