"""Section 5 and appendix B of the paper on finite MDPs: every quantity exact, every bound a small function.

The public text of the paper lost its formulas: those tagged [R] are reconstructed from the structure of section 5.
Policies are arrays of strictly positive probabilities whose last axis runs over the A actions; ``pi`` is the policy
being learned, ``mu`` the behaviour that filled the replay, ``rho = pi / mu`` and the trust weight is
``omega = exp(-(log rho)^2 / (2 sigma^2))``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from gipo.errors import GipoError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MDP:
    """A finite Markov decision process whose values come from linear solves.

    Attributes:
        transitions: ``P(s'|s, a)``, shape [S, A, S].
        rewards: expected reward of (s, a), shape [S, A].
        gamma: discount in [0, 1).
        start: distribution of the first state, shape [S].
    """

    transitions: Array
    rewards: Array
    gamma: float
    start: Array

    def __post_init__(self) -> None:
        states = len(self.start)
        if self.transitions.shape != (*self.rewards.shape, states) or len(self.rewards) != states:
            shapes = f"{self.transitions.shape}, {self.rewards.shape}, {self.start.shape}"
            raise GipoError(f"MDP: transitions, rewards, start of shapes {shapes}, expected [S, A, S], [S, A], [S]")
        for name, array in (("transitions", self.transitions), ("start", self.start)):
            if (array < 0).any() or not np.allclose(array.sum(-1), 1):
                raise GipoError(f"MDP: {name}: expected probabilities that sum to 1 over the last axis")
        if not 0 <= self.gamma < 1:
            raise GipoError(f"MDP: gamma = {self.gamma!r}, expected a number in [0, 1)")

    def values(self, policy: Array) -> Array:
        """State values ``V = (I - gamma P_pi)^-1 r_pi``, shape [..., S] for policies of shape [..., S, A]."""
        rewards = (policy * self.rewards).sum(-1)
        return _solve(self._discounting(policy), rewards)

    def advantages(self, policy: Array) -> Array:
        """``A(s, a) = r(s, a) + gamma E[V(s')] - V(s)``, shape [..., S, A]."""
        values = self.values(policy)
        future: Array = np.einsum("sat,...t->...sa", self.transitions, values)
        return self.rewards + self.gamma * future - values[..., None]

    def occupancy(self, policy: Array) -> Array:
        """Normalised discounted state occupancy ``d``, shape [..., S], summing to 1."""
        flow = np.swapaxes(self._discounting(policy), -1, -2)
        return (1 - self.gamma) * _solve(flow, self.start)

    def performance(self, policy: Array) -> float:
        """Expected discounted return ``J = E[sum_t gamma^t r_t]`` of a policy of shape [S, A]."""
        return float(self.start @ self.values(policy))

    def _discounting(self, policy: Array) -> Array:
        """``I - gamma P_pi``, shape [..., S, S]."""
        steps: Array = np.einsum("...sa,sat->...st", policy, self.transitions)
        return np.eye(len(self.start)) - self.gamma * steps


def softmax(logits: Array) -> Array:
    """Probabilities ``exp(x) / sum exp(x)`` over the last axis; finite for any finite logits."""
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    probabilities: Array = raised / raised.sum(-1, keepdims=True)
    return probabilities


def log_ratio(pi: Array, mu: Array) -> Array:
    """``log rho = log pi - log mu``.

    Raises:
        GipoError: a probability is not strictly positive, so the ratio is not defined.
    """
    for name, policy in (("pi", pi), ("mu", mu)):
        if not (policy > 0).all():
            raise GipoError(f"{name}: smallest probability {policy.min():g}, expected strictly positive ones")
    return np.log(pi) - np.log(mu)


def trust_weight(pi: Array, mu: Array, sigma: float) -> Array:
    """``omega(rho; sigma)`` of every action, in (0, 1] (eq. 5)."""
    _require_positive("sigma", sigma)
    return np.exp(-0.5 * (log_ratio(pi, mu) / sigma) ** 2)


def kl(pi: Array, mu: Array) -> Array:
    """``KL(pi || mu)`` in nats over the last axis."""
    divergence: Array = (pi * log_ratio(pi, mu)).sum(-1)
    return divergence.clip(0)  # rounding may leave a little less


def total_variation(pi: Array, mu: Array) -> Array:
    """Total variation distance over the last axis, in [0, 1]."""
    distance: Array = 0.5 * np.abs(pi - mu).sum(-1)
    return distance


def largest_multiplier(sigma: float) -> tuple[float, float]:
    """Global bound of GIPO's multiplier: ``rho omega(rho) <= exp(sigma^2 / 2)`` for every rho [R].

    Returns:
        The bound and the ratio ``rho = exp(sigma^2)`` that attains it.
    """
    _require_positive("sigma", sigma)
    return math.exp(sigma**2 / 2), math.exp(sigma**2)


def attenuation(pi: Array, mu: Array, sigma: float) -> Array:
    """Mass that the trust weight takes away: ``E_mu[rho (1 - omega)] = E_pi[1 - omega]`` (Lemma 5.1, left side, [R]).

    Args:
        pi: shape [..., A].
        mu: shape [..., A].
        sigma: width of the trust weight.

    Returns:
        One number in [0, 1) per state, shape [...].
    """
    lost: Array = (pi * (1 - trust_weight(pi, mu, sigma))).sum(-1)
    return lost


def attenuation_bound(divergence: Array | float, sigma: float, epsilon: float) -> Array:
    """Lemma 5.1, right side: ``1 - exp(-eps^2 / (2 sigma^2)) + (D + sqrt(2 D)) / eps`` for any ``eps > 0`` [R].

    Args:
        divergence: ``D = KL(pi || mu)``, any shape.
        sigma: width of the trust weight.
        epsilon: threshold on ``|log rho|`` that splits near from far actions (Markov's inequality).
    """
    _require_positive("sigma", sigma)
    _require_positive("epsilon", epsilon)
    return 1 - math.exp(-0.5 * (epsilon / sigma) ** 2) + _expected_log_ratio_bound(divergence) / epsilon


def best_epsilon(divergence: float, sigma: float) -> float:
    """The ``eps`` that makes Lemma 5.1 tightest, by the principal Lambert W [R].

    With ``C = D + sqrt(2 D)``: ``eps^2 = -3 sigma^2 W0(-(C sigma^2)^(2/3) / (3 sigma^2))``. It is the only local
    minimiser, and the global one where the bound says anything: both ``bound < 1`` and ``eps < sigma`` hold exactly
    when ``C < sigma exp(-1/2)``; from there on no ``eps`` brings the bound below the trivial value 1.

    Raises:
        GipoError: ``D <= 0``, or the argument of W0 is below ``-1/e``, where the bound has no stationary point.
    """
    _require_positive("divergence", divergence)
    _require_positive("sigma", sigma)
    c = float(_expected_log_ratio_bound(divergence))
    argument = -((c * sigma**2) ** (2 / 3)) / (3 * sigma**2)
    if argument < -1 / math.e:
        raise GipoError(
            f"best epsilon: KL = {divergence:g} is too large for sigma = {sigma:g}: "
            f"argument of Lambert's W = {argument:g}, expected >= -1/e"
        )
    lambert_w = _root(lambda w: w * math.exp(w) - argument, -1.0, 0.0)
    return math.sqrt(-3 * sigma**2 * lambert_w)


def performance_lower_bound(mdp: MDP, pi: Array, mu: Array, sigma: float) -> float:
    """Lower bound of ``J(pi)`` from data of ``mu`` under GIPO's surrogate (Theorem 5.2, [R]).

    ``J(mu) + (E_{d_mu, mu}[rho omega A_mu] - A_max attenuation) / (1 - gamma)
    - 2 gamma eps_pi / (1 - gamma)^2 E_{d_mu}[TV(pi || mu)]`` with ``eps_pi = max_s |E_pi A_mu(s, .)|``.

    Args:
        mdp: the process, S states and A actions.
        pi: policy being learned, shape [S, A].
        mu: behaviour, shape [S, A].
        sigma: width of the trust weight.
    """
    advantages, occupancy = mdp.advantages(mu), mdp.occupancy(mu)
    surrogate = occupancy @ (pi * trust_weight(pi, mu, sigma) * advantages).sum(-1)
    lost = np.abs(advantages).max() * (occupancy @ attenuation(pi, mu, sigma))
    drift = np.abs((pi * advantages).sum(-1)).max() * (occupancy @ total_variation(pi, mu))
    horizon = 1 / (1 - mdp.gamma)
    return float(mdp.performance(mu) + horizon * (surrogate - lost) - 2 * mdp.gamma * horizon**2 * drift)


def hoeffding_radius(largest_advantage: float, sigma: float, samples: int, delta: float) -> float:
    """Half-width ``A_max exp(sigma^2 / 2) sqrt(2 ln(2 / delta) / N)`` (Theorem 5.4, [R]).

    With probability at least ``1 - delta`` the mean of ``rho omega A`` over ``samples`` independent draws lies
    within it of the expectation.
    """
    _require_positive("samples", samples)
    if not 0 < delta < 1:
        raise GipoError(f"delta = {delta!r}, expected a number in (0, 1)")
    return largest_advantage * largest_multiplier(sigma)[0] * math.sqrt(2 * math.log(2 / delta) / samples)


def log_ratio_spread(d95: float) -> float:
    """Standard deviation ``s`` of a normal ``log rho`` with ``D0.95``, the 95th percentile of ``|log rho|`` [R].

    The model of this and the next functions, ours and not the paper's: under mu ``log rho ~ N(-s^2/2, s^2)``, the
    mean that makes ``E_mu[rho] = 1``. Then ``log rho ~ N(s^2/2, s^2)`` under pi. The distribution of ``|log rho|`` is
    a folded normal; s is a little below ``D0.95 / 1.96``, which holds for small s.
    """
    _require_positive("d95", d95)
    normal = NormalDist()
    one_sided = normal.inv_cdf(0.975)

    def excess(s: float) -> float:
        return normal.cdf((d95 + s**2 / 2) / s) - normal.cdf((s**2 / 2 - d95) / s) - 0.95

    # at the lower end the lower tail alone has 2.5 %, at the upper end both would have with the mean at 0
    return _root(excess, math.sqrt(one_sided**2 + 2 * d95) - one_sided, d95 / one_sided)


def modelled_bias(s: float, sigma: float) -> float:
    """``1 - E_pi[omega]``, the share of the gradient that the trust weight takes away, if log rho is normal [R]."""
    _require_positive("sigma", sigma)
    return 1 - math.exp(-(s**4) / 8 / (sigma**2 + s**2)) / math.sqrt(1 + (s / sigma) ** 2)


def modelled_second_moment(s: float, sigma: float) -> float:
    """``E_mu[(rho omega)^2]``, the variance that ratios cause, if log rho is normal [R]; ``exp(s^2)`` without omega."""
    _require_positive("sigma", sigma)
    shrinkage = 1 / (1 + 2 * (s / sigma) ** 2)
    return math.sqrt(shrinkage) * math.exp((9 * shrinkage - 1) / 8 * s**2)


def modelled_error(s: float, sigma: float, samples: float) -> float:
    """Squared error of a gradient from ``samples`` draws of mu, in squared advantages: bias^2 + second moment / N.

    Takes advantages to be of unit size and independent of the ratio; see `log_ratio_spread` for the model [R].
    """
    _require_positive("samples", samples)
    return modelled_bias(s, sigma) ** 2 + modelled_second_moment(s, sigma) / samples


def best_sigma(d95: float, samples: float) -> float:
    """Width of the trust weight with the least `modelled_error` at a measured D0.95 [R].

    For ``N`` samples, many, ``sigma^2 = (N / 2) s^2 exp(-s^2) (1 + s^2 / 4)^2 / (1 + 9 s^2 / 4)``: it rises with s
    while ratios are close to 1, where the bias grows faster, and falls again where their variance explodes.
    """
    _require_positive("samples", samples)
    s = log_ratio_spread(d95)
    largest = math.log(s * math.sqrt(1 + samples)) + 5
    return math.exp(_minimum(lambda x: modelled_error(s, math.exp(x), samples), largest - 20, largest))


def good_sigmas(d95: float, samples: float, tolerance: float = 0.1) -> tuple[float, float]:
    """Range around `best_sigma` in which `modelled_error` exceeds its least value by no more than ``tolerance`` of it.

    The upper end is infinite where no trust weight at all does as well.
    """
    s, best = log_ratio_spread(d95), best_sigma(d95, samples)
    allowed = (1 + tolerance) * modelled_error(s, best, samples)

    def excess(x: float) -> float:
        return modelled_error(s, math.exp(x), samples) - allowed

    centre = math.log(best)
    low = math.exp(_root(excess, centre - 20, centre)) if excess(centre - 20) > 0 else 0.0
    high = math.exp(_root(excess, centre, centre + 20)) if excess(centre + 20) > 0 else math.inf
    return low, high


def _solve(matrices: Array, right: Array) -> Array:
    """Solution x of ``M x = b`` for stacks of shape [..., S, S] and [..., S]."""
    return np.asarray(np.linalg.solve(matrices, right[..., None])[..., 0], dtype=np.float64)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function changes its sign between ``low`` and ``high``, to the last digit: bisection."""
    rises = function(low) < 0
    while low < (middle := (low + high) / 2) < high:
        if (function(middle) < 0) == rises:
            low = middle
        else:
            high = middle
    return middle


def _minimum(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that falls and then rises is least, to about eight digits: golden section."""
    golden = (math.sqrt(5) - 1) / 2
    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = function(left), function(right)
    while high - low > 1e-9:
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = function(right)
    return (low + high) / 2


def _expected_log_ratio_bound(divergence: Array | float) -> Array:
    """``E_pi |log rho| <= D + sqrt(2 D)``: the negative part of the KL is at most ``TV <= sqrt(D / 2)`` [R]."""
    return np.asarray(divergence + np.sqrt(2 * np.asarray(divergence)))


def _require_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise GipoError(f"{name} = {value!r}, expected a positive number")
