"""All objectives in the gridworld, at the settings of their sources, against the front that GIPO spans over sigma.

An exact expectation takes the place of a batch: each action counts with its probability, in the batch's statistics too.
"""

from __future__ import annotations

import numpy as np
import torch

from gipo import objectives
from gipo.gridworld.case_study import ESTIMATORS, advantages, bias_variance_of, fronts, sweep, true_gradient
from gipo.objectives.base import Objective
from gipo.theory import Array

GAP = 4
"""Updates since a sample was collected, for the objectives that look at it: the gridworld has no time of its own."""

FIELD: tuple[tuple[str, dict[str, float | str]], ...] = (
    ("no_clip", {}),
    ("ppo_clip", {"eps": 0.2}),
    ("ppo_clip", {"eps": 0.2, "eps_high": 0.28}),
    ("ppo_clip", {"eps": 0.2, "dual": 3.0}),
    ("sapo", {"tau_pos": 1.0, "tau_neg": 2.0}),
    ("gipo", {"sigma_pos": 1.0, "sigma_neg": 1.0}),
    ("gipo", {"sigma_pos": 1.0, "sigma_neg": 1.0, "kernel": "laplacian"}),
    ("gipo", {"sigma_pos": 1.0, "sigma_neg": 1.0, "kernel": "cauchy"}),
    ("soft_clip", {"alpha": 2.0}),
    ("cispo", {"eps_high": 0.2}),
    ("cispo", {"eps_high": 1.0}),
    ("icepop", {}),
    ("decoupled_ppo", {}),
    ("topr", {}),
    ("m2po", {}),
    ("dppo_tv", {}),
    ("spo", {}),
    ("gspo", {}),
    ("gmpo", {}),
    ("vespo", {}),
    ("ce_gppo", {}),
)
"""Objectives with their parameters, each at its source's setting: none is tuned."""


def bias_variance(objective: Objective, pi: Array, mu: Array) -> Array:
    """Bias and variance of the one-step estimator for each of `ESTIMATORS`, shape [2, 2].

    Args:
        objective: the method.
        pi: target, shape [4].
        mu: behaviour, shape [4].
    """
    advantage = advantages(pi)
    log_mu, log_ratio, advantage_, weight = (
        torch.from_numpy(x)[:, None] for x in (np.log(mu), np.log(pi) - np.log(mu), advantage, mu)
    )
    beside = {"log_mu": log_mu, "gap": torch.tensor(GAP), "mask": weight}
    multiplier = objective.multiplier(log_ratio, advantage_, **beside)[:, 0].numpy()
    return bias_variance_of(multiplier, pi, mu, advantage)


def distances(pi: Array, mu: Array) -> Array:
    """Place of each method of `FIELD` beside GIPO's front.

    Args:
        pi: targets, shape [pairs, 4].
        mu: behaviours, shape [pairs, lags, 4].

    Returns:
        Bias, variance, and the least bias of the front at no more variance, for each of `ESTIMATORS`, shape
        [pairs, lags, methods, 2, 3].
    """
    swept, largest_bias = sweep(pi[:, None], mu), true_gradient(pi)
    methods = [objectives.make(name, **parameters) for name, parameters in FIELD]
    found = np.empty((*mu.shape[:2], len(methods), len(ESTIMATORS), 3))
    for pair, lag in np.ndindex(mu.shape[:2]):
        places = np.stack([bias_variance(method, pi[pair], mu[pair, lag]) for method in methods])
        found[pair, lag, ..., :2] = places
        for i in range(len(ESTIMATORS)):
            points = {method: curve[pair, lag, i] for method, curve in swept.items()}
            front = fronts(points, float(largest_bias[pair, i]))["gipo"]
            found[pair, lag, :, i, 2] = front.least_bias(places[:, i, 1])
    return found
