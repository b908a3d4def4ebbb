"""The claims of figure 4, on the case study and on a large random family like it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gipo.gridworld.case_study import ACTIONS, ESTIMATORS, KNOBS, fronts, sweep, true_gradient
from gipo.gridworld.pareto import ROUNDING, TIE, Front
from gipo.theory import Array, softmax

Holds = dict[str, NDArray[Any]]
"""Whether each claim and part holds, and the margins, for each of many targets."""

LAGS = ("high", "mid", "low")
CLAIMS = {
    "ppo_variance_zero": "PPO-Clip: variance exactly 0 at high and mid lag, not at low lag",
    "bias_falls": "Bias falls from high to low lag: PPO-Clip, SAPO and GIPO",
    "bias_falls_ppo_clip": "PPO-Clip alone",
    "bias_falls_sapo": "SAPO alone",
    "bias_falls_gipo": "GIPO alone",
    "variance_rises": "Variance rises from high to low lag: all four methods",
    "variance_rises_no_clip": "No-Clip alone",
    "variance_rises_ppo_clip": "PPO-Clip alone",
    "variance_rises_sapo": "SAPO alone",
    "variance_rises_gipo": "GIPO alone",
    "gipo_dominates_no_clip": "GIPO's front dominates No-Clip at every lag",
    "gipo_dominates_ppo_clip": "GIPO's front dominates PPO-Clip's at every lag",
    "gipo_dominates_sapo": "GIPO's front dominates SAPO's at every lag",
    "sapo_dominates_gipo": "The reverse: SAPO's front dominates GIPO's at every lag",
}
"""Claims of figure 4 and their parts, as `check_claims` defines them, and the reverse of the last."""


def random_policies(pairs: int, seed: int) -> tuple[Array, Array]:
    """The random family [R]: the case study redrawn.

    Logits of preferred actions ~ U(0, 3), of the others ~ U(-3, 0), independently for the target (prefers down and
    right) and for the right- and the down-preferring behaviour. Stale samples come from a mixture of these two and the
    random behaviour with Dirichlet(1, 1, 1) weights, the rest from the target itself. The stale share is ~ U(2/3, 1),
    U(1/3, 2/3), U(0, 1/3) at high, mid and low lag, so that ``KL(pi || mu)`` falls in this order.

    Returns:
        Targets, shape [pairs, 4], and behaviours, shape [pairs, 3, 4], highest lag first.
    """
    rng = np.random.default_rng(seed)

    def draw(*preferred: str) -> Array:
        low = np.array([0.0 if action in preferred else -3.0 for action in ACTIONS])
        return softmax(rng.uniform(low, low + 3, (pairs, 4)))

    pi, right, down = draw("down", "right"), draw("right"), draw("down")
    bases = np.stack([np.full_like(pi, 0.25), right, down], 1)
    old = (rng.dirichlet(np.ones(3), pairs)[..., None] * bases).sum(1)
    stale = rng.uniform([2 / 3, 1 / 3, 0], [1, 2 / 3, 1 / 3], (pairs, 3))[..., None]
    return pi, stale * old[:, None] + (1 - stale) * pi[:, None]


COMPARED = (("gipo", "no_clip"), ("gipo", "ppo_clip"), ("gipo", "sapo"), ("sapo", "gipo"))
"""Whose front is said to dominate whose."""


def check_claims(pi: Array, mu: Array) -> dict[str, Holds]:
    """Whether the claims of figure 4 hold.

    - ppo_variance_zero: with eps = 0.2 every sample is clipped at high and mid lag (variance == 0), not at low lag.
    - bias_falls_<method>: at the main setting bias(high) >= bias(mid) >= bias(low) and bias(high) > bias(low);
      bias_falls: for each of PPO-Clip, SAPO, GIPO. No-Clip is unbiased by construction.
    - variance_rises_<method>: likewise with <= and < for the variance; variance_rises: for all four.
    - <one>_dominates_<other>: at each lag the one's front, swept over the knob, has nowhere more bias at equal variance
      than the other's, and somewhere less, both by more than `TIE` of the largest bias. No-Clip is unbiased and GIPO's
      limit for large sigma: GIPO dominates it by what it offers beside it, never by less bias.
      <one>_excess_<other>, <one>_gain_<other>: the largest excess and the smallest of the largest gains over the lags,
      as shares of the largest bias, see `Front.margin`.

    Args:
        pi: targets, shape [n, 4].
        mu: behaviours, highest lag first, shape [n, 3, 4].

    Returns:
        By estimator and by claim, part and margin, shape [n].
    """
    swept, largest_bias = sweep(pi[:, None], mu), true_gradient(pi)
    return {
        estimator: _check({method: points[:, :, i] for method, points in swept.items()}, largest_bias[:, i])
        for i, estimator in enumerate(ESTIMATORS)
    }


def _check(points: dict[str, Array], largest_bias: Array) -> Holds:
    """`check_claims` for one estimator: points of every method, shape [n, 3, K, 2], and largest biases, shape [n]."""
    default = {each.method: points[each.method][:, :, each.default] for each in KNOBS}
    clipped = default["ppo_clip"][..., 1] == 0
    holds: Holds = {"ppo_variance_zero": clipped[:, 0] & clipped[:, 1] & ~clipped[:, 2]}
    bias = {f"bias_falls_{m}": _falls(default[m][..., 0]) for m in ("ppo_clip", "sapo", "gipo")}
    variance = {f"variance_rises_{m}": _falls(-default[m][..., 1]) for m in default}
    holds |= {"bias_falls": np.all(list(bias.values()), axis=0), **bias}
    holds |= {"variance_rises": np.all(list(variance.values()), axis=0), **variance}

    by_lag = [
        [fronts({m: points[m][pair, lag] for m in points}, size) for lag in range(len(LAGS))]
        for pair, size in enumerate(largest_bias.tolist())
    ]
    for one, other in COMPARED:
        excess, gain = np.array([_margins(each, one, other) for each in by_lag]).T / largest_bias
        holds[f"{one}_dominates_{other}"] = (excess <= TIE) & (gain > TIE)
        holds |= {f"{one}_excess_{other}": excess, f"{one}_gain_{other}": gain}
    return holds


def _margins(by_lag: list[dict[str, Front]], one: str, other: str) -> tuple[float, float]:
    """Largest excess and smallest gain over the lags."""
    margins = [fronts[one].margin(fronts[other]) for fronts in by_lag]
    return max(margin.excess for margin in margins), min(margin.gain for margin in margins)


def _falls(curve: Array) -> NDArray[np.bool_]:
    """Whether each row of [n, 3] never rises and ends below its start, up to rounding."""
    steps = np.diff(curve) <= ROUNDING
    falls: NDArray[np.bool_] = steps.all(-1) & (curve[:, -1] < curve[:, 0] - ROUNDING)
    return falls
