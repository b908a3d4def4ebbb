"""The exact bias-variance study of the paper's figure 4: one policy-gradient step on a 2 x 2 grid.

States are s0 (top left, the start), top right, bottom left and the absorbing goal (bottom right); moves are
deterministic and a move into a wall stays. The estimator at s0 draws ``a ~ mu`` and returns
``m(rho, A) A grad log pi(a)``: the multiplier ``m`` of the very objectives that training uses, the exact advantage
``A`` of pi, the gradient in the softmax logits of s0. Its mean and covariance follow by enumerating the four actions;
the truth is ``E_pi[A grad log pi]``.

The public text of the paper lost the logits and the reward; those here are reconstructed [R] from what it says of the
structure, never from which method comes out ahead. Reward [R]: -1 for every step that does not reach the goal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.special import softmax

from gipo.gridworld.pareto import nondominated
from gipo.objectives.base import Objective
from gipo.objectives.gipo import GIPO
from gipo.objectives.no_clip import NoClip
from gipo.objectives.ppo_clip import PPOClip
from gipo.objectives.sapo import SAPO
from gipo.theory import MDP, Array

ACTIONS = ("up", "down", "left", "right")
GAMMA = 0.9
TARGET_LOGITS = np.array([-1.0, 1.5, -1.0, 1.5])
RIGHT_LOGITS = np.array([-1.0, 0.0, -1.0, 2.0])
DOWN_LOGITS = np.array([-1.0, 2.0, -1.0, 0.0])
CASES = {"A": 1.0, "B": 0.5, "C": 0.0}
"""Share of the random behaviour; right- and down-preferring halve the rest. A lags most, C least [R]."""


@dataclass(frozen=True)
class Knob:
    """One method over its knob.

    Attributes:
        method: name of the objective.
        knobs: values of the knob, shape [K].
        default: index of the setting in the authors' comparison.
        label: format of a setting.
        make: objective of a knob value.
        connected: whether bias and variance change continuously with the knob.
    """

    method: str
    knobs: Array
    default: int
    label: str
    make: Callable[[float], Objective]
    connected: bool


_SCALES = np.logspace(-3, 3, 601)
KNOBS = (
    Knob("no_clip", np.array([np.nan]), 0, "", lambda _: NoClip(), False),
    Knob("ppo_clip", np.arange(1, 100) / 100, 19, "eps={:g}", lambda x: PPOClip(eps=x), False),
    Knob("sapo", _SCALES, 300, "tau={:g}", lambda x: SAPO(tau_pos=x, tau_neg=2 * x), True),
    Knob("gipo", _SCALES, 300, "sigma={:g}", lambda x: GIPO(sigma_pos=x, sigma_neg=x), True),
)
"""Knobs eps, (tau, 2 tau) and (sigma, sigma); the defaults are 0.2, SAPO (1, 2) and GIPO (1, 1)."""


def grid() -> MDP:
    """The 2 x 2 grid; states s0, top right, bottom left, goal."""
    cells = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    moves = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]])
    landing = (cells[:, None] + moves).clip(0, 1) @ [2, 1]
    landing[3] = 3
    return MDP(np.eye(4)[landing], np.where(landing == 3, 0.0, -1.0), GAMMA, np.eye(4)[0])


def advantages(pi: Array) -> Array:
    """Exact ``A_pi(s0, .)`` of policies with the same action probabilities in every state, shape [..., 4]."""
    policy = np.repeat(pi[..., None, :], 4, axis=-2)
    return grid().advantages(policy)[..., 0, :]


def case_policies() -> tuple[Array, Array]:
    """Target policy, shape [4], and the behaviours of cases A, B, C, shape [3, 4]."""
    random = np.array(list(CASES.values()))[:, None]
    directed = (softmax(RIGHT_LOGITS) + softmax(DOWN_LOGITS)) / 2
    return softmax(TARGET_LOGITS), random / 4 + (1 - random) * directed


def bias_variance(objective: Objective, pi: Array, mu: Array, advantage: Array) -> Array:
    """Norm of the bias and trace of the covariance of the one-step estimator.

    Args:
        objective: the method.
        pi: target, shape [..., 4].
        mu: behaviour, shape [..., 4].
        advantage: advantage of each action, shape [..., 4].

    Returns:
        Bias and variance, shape [..., 2].
    """
    log_ratio = torch.from_numpy(np.log(pi) - np.log(mu))
    coefficient = objective.multiplier(log_ratio, torch.from_numpy(advantage)).numpy() * advantage
    mean = _mean_gradient(mu, coefficient, pi)
    score_norm2 = 1 - 2 * pi + (pi**2).sum(-1, keepdims=True)
    variance = (mu * coefficient**2 * score_norm2).sum(-1) - (mean**2).sum(-1)
    bias = np.linalg.norm(mean - _mean_gradient(pi, advantage, pi), axis=-1)
    return np.stack([bias, variance], -1)


def _mean_gradient(behaviour: Array, coefficient: Array, pi: Array) -> Array:
    """``E[coefficient(a) (e_a - pi)]`` over ``a ~ behaviour``: ``grad log pi(a) = e_a - pi`` in the logits."""
    weight = behaviour * coefficient
    mean: Array = weight - pi * weight.sum(-1, keepdims=True)
    return mean


def sweep(pi: Array, mu: Array) -> dict[str, Array]:
    """Bias and variance of every method over its knob: by method, shape [..., K, 2]."""
    advantage = advantages(pi)
    return {
        each.method: np.stack([bias_variance(each.make(knob), pi, mu, advantage) for knob in each.knobs.tolist()], -2)
        for each in KNOBS
    }


def policies() -> pd.DataFrame:
    """Map of the case study at s0: policy (pi, A, B, C), action, probability, and pi's exact advantage."""
    pi, mu = case_policies()
    advantage = advantages(pi)
    named = zip(("pi", *CASES), (pi, *mu), strict=True)
    return pd.DataFrame(
        [(name, *row) for name, policy in named for row in zip(ACTIONS, policy, advantage, strict=True)],
        columns=["policy", "action", "probability", "advantage"],
    )


def points() -> pd.DataFrame:
    """Figure 4's points: one row per case and setting, the default and the Pareto front of each method marked."""
    pi, mu = case_policies()
    swept = sweep(pi, mu)
    tables = []
    for i, case in enumerate(CASES):
        for each in KNOBS:
            front = swept[each.method][i]
            table = pd.DataFrame({"case": case, "method": each.method, "knob": each.knobs})
            table.insert(2, "parameter", [each.label.format(knob) for knob in each.knobs])
            table["bias"], table["variance"] = front.T
            table["default"] = np.arange(len(front)) == each.default
            table["pareto"] = nondominated(front)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)
