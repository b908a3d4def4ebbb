"""The exact bias-variance study of the paper's figure 4: one policy-gradient step on a 2 x 2 grid.

States are s0 (top left, the start), top right, bottom left and the absorbing goal (bottom right); moves are
deterministic and a move into a wall stays. The estimator at s0 draws ``a ~ mu`` and returns
``m(rho, A) A grad log pi(a)``: the multiplier ``m`` of the very objectives that training uses, the exact advantage
``A`` of pi, the gradient in the softmax logits of s0. Its mean and covariance follow by enumerating the four actions;
the truth is ``E_pi[A grad log pi]``.

Reward, discount, logits, behaviours and the estimator's coordinate are those of an earlier public version of the
authors' code [H].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from gipo.gridworld.pareto import Front
from gipo.objectives.base import Objective
from gipo.objectives.gipo import GIPO
from gipo.objectives.no_clip import NoClip
from gipo.objectives.ppo_clip import PPOClip
from gipo.objectives.sapo import SAPO
from gipo.theory import MDP, Array, softmax

ACTIONS = ("up", "down", "left", "right")
GAMMA = 0.9
TARGET_LOGITS = np.array([0.0, 1.0, 0.0, 1.0])
RIGHT_LOGITS = np.array([0.0, 0.0, 0.0, 1.0])
DOWN_LOGITS = np.array([0.0, 1.0, 0.0, 0.0])
CASES = {"A": (1.0, 0.0, 0.0), "B": (0.4, 0.3, 0.3), "C": (0.2, 0.4, 0.4)}
"""Shares of the random, the right- and the down-preferring behaviour in the probabilities of mu [H]."""
ON_POLICY = "D"
"""The case in which mu is pi, so that every method must be unbiased [H]."""
ESTIMATORS = {"right": [ACTIONS.index("right")], "all": list(range(len(ACTIONS)))}
"""Logits of s0 whose gradient is estimated: that of "right" alone, with bias and variance of this one number [H], on
which the claims are judged; and all four, with the norm of the bias and the trace of the covariance."""


@dataclass(frozen=True)
class Knob:
    """One method over its knob.

    Attributes:
        method: name of the objective.
        knobs: values of the knob, shape [K].
        main: the setting at which single points are compared.
        published: all settings in the authors' comparison [H].
        label: format of a setting.
        make: objective of a knob value.
        connected: whether bias and variance change continuously with the knob.
    """

    method: str
    knobs: Array
    main: float
    published: tuple[float, ...]
    label: str
    make: Callable[[float], Objective]
    connected: bool

    @property
    def default(self) -> int:
        """Index of the main setting."""
        return int(np.isclose(self.knobs, self.main, equal_nan=True).argmax())


_NONE = np.nan
_EPSILONS = np.arange(1, 100) / 100
_TAUS = np.logspace(-3, 3, 601)
_SIGMAS = np.union1d(_TAUS.round(12), [0.3, 0.5, 2.0])
KNOBS = (
    Knob("no_clip", np.array([_NONE]), _NONE, (_NONE,), "", lambda _: NoClip(), False),
    Knob("ppo_clip", _EPSILONS, 0.2, (0.2,), "eps={:g}", lambda x: PPOClip(eps=x), False),
    Knob("sapo", _TAUS, 1.0, (1.0,), "tau={:g}", lambda x: SAPO(tau_pos=x, tau_neg=2 * x), True),
    Knob("gipo", _SIGMAS, 1.0, (0.1, 0.3, 0.5, 1.0, 2.0), "sigma={:g}", lambda x: GIPO(sigma_pos=x, sigma_neg=x), True),
)
"""Knobs eps, (tau, 2 tau) and (sigma, sigma); the main settings are 0.2, SAPO (1, 2) and GIPO (1, 1)."""


def grid() -> MDP:
    """The 2 x 2 grid; states s0, top right, bottom left, goal. Every step costs 1 until the goal absorbs [H]."""
    cells = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    moves = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]])
    landing = (cells[:, None] + moves).clip(0, 1) @ [2, 1]
    landing[3] = 3
    rewards = np.array([[-1.0], [-1.0], [-1.0], [0.0]]).repeat(len(ACTIONS), axis=1)
    return MDP(np.eye(4)[landing], rewards, GAMMA, np.eye(4)[0])


def advantages(pi: Array) -> Array:
    """Exact ``A_pi(s0, .)`` of policies with the same action probabilities in every state, shape [..., 4]."""
    policy = np.repeat(pi[..., None, :], 4, axis=-2)
    return grid().advantages(policy)[..., 0, :]


def case_policies() -> tuple[Array, Array]:
    """Target policy, shape [4], and the behaviours of `CASES` and after them `ON_POLICY`, shape [4, 4]."""
    pi = softmax(TARGET_LOGITS)
    bases = np.stack([np.full(4, 0.25), softmax(RIGHT_LOGITS), softmax(DOWN_LOGITS)])
    return pi, np.vstack([list(CASES.values()) @ bases, pi])


def bias_variance(objective: Objective, pi: Array, mu: Array, advantage: Array) -> Array:
    """Bias and variance of the one-step estimator.

    Args:
        objective: the method.
        pi: target, shape [..., 4].
        mu: behaviour, shape [..., 4].
        advantage: advantage of each action, shape [..., 4].

    Returns:
        Bias and variance of each of `ESTIMATORS`, shape [..., 2, 2].
    """
    log_ratio = torch.from_numpy(np.log(pi) - np.log(mu))
    multiplier = objective.multiplier(log_ratio, torch.from_numpy(advantage)).numpy()
    return bias_variance_of(multiplier, pi, mu, advantage)


def bias_variance_of(multiplier: Array, pi: Array, mu: Array, advantage: Array) -> Array:
    """The same for given multipliers of the four actions, shape [..., 4]."""
    coefficient = multiplier * advantage
    mean = _mean_gradient(mu, coefficient, pi)
    bias = mean - _mean_gradient(pi, advantage, pi)
    # Per logit i: E[(coefficient(a) (1[a = i] - pi_i))^2] - mean_i^2.
    square = mu * coefficient**2
    variance = square * (1 - 2 * pi) + pi**2 * square.sum(-1, keepdims=True) - mean**2
    both = [(np.linalg.norm(bias[..., i], axis=-1), variance[..., i].sum(-1)) for i in ESTIMATORS.values()]
    return np.stack([np.stack(one, -1) for one in both], -2)


def true_gradient(pi: Array) -> Array:
    """Norm of the true gradient for each of `ESTIMATORS`, shape [..., 2]: the bias of an estimator that is always 0."""
    gradient = _mean_gradient(pi, advantages(pi), pi)
    return np.stack([np.linalg.norm(gradient[..., i], axis=-1) for i in ESTIMATORS.values()], -1)


def _mean_gradient(behaviour: Array, coefficient: Array, pi: Array) -> Array:
    """``E[coefficient(a) (e_a - pi)]`` over ``a ~ behaviour``: ``grad log pi(a) = e_a - pi`` in the logits."""
    weight = behaviour * coefficient
    mean: Array = weight - pi * weight.sum(-1, keepdims=True)
    return mean


def sweep(pi: Array, mu: Array, finer: int = 1) -> dict[str, Array]:
    """Bias and variance of every method over its knob, for each of `ESTIMATORS`.

    Args:
        pi: target, shape [..., 4].
        mu: behaviour, shape [..., 4].
        finer: steps that are made of each step of a continuous knob.

    Returns:
        By method, shape [..., 2, K, 2].
    """
    advantage = advantages(pi)
    swept = {}
    for each in KNOBS:
        n = len(each.knobs) - 1
        steps = np.linspace(0, n, finer * n + 1) if each.connected else np.arange(n + 1)
        knobs = np.interp(steps, np.arange(n + 1), each.knobs).tolist()
        swept[each.method] = np.stack([bias_variance(each.make(knob), pi, mu, advantage) for knob in knobs], -2)
    return swept


def fronts(points: dict[str, Array], largest_bias: float) -> dict[str, Front]:
    """The front of every method in one case and for one estimator.

    The limit of SAPO for small tau and of GIPO for large sigma, which is No-Clip, belongs to their fronts.

    Args:
        points: bias and variance of every method over its knob, shape [K, 2].
        largest_bias: see `Front`.
    """
    found = {}
    for each in KNOBS:
        attained = [points[each.method], points["no_clip"]] if each.connected else [points[each.method]]
        found[each.method] = Front(np.vstack(attained), each.connected, largest_bias)
    return found


def views(finer: int = 1) -> Iterator[tuple[str, str, dict[str, Array], float]]:
    """Case, estimator, the points of every method, shape [K, 2], and the bias of an estimator that is always 0."""
    pi, mu = case_policies()
    swept, largest_bias = sweep(pi, mu, finer), true_gradient(pi)
    for i, case in enumerate((*CASES, ON_POLICY)):
        for j, estimator in enumerate(ESTIMATORS):
            yield case, estimator, {method: each[i, j] for method, each in swept.items()}, float(largest_bias[j])
