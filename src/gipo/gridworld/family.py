"""The claims of figure 4, on the case study and on a large random family like it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import binomtest

from gipo.gridworld.case_study import ACTIONS, KNOBS, advantages, case_policies, sweep
from gipo.gridworld.pareto import Front
from gipo.theory import Array, kl

LAGS = ("high", "mid", "low")
ROUNDING = 1e-12
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
    random behaviour with Dirichlet(1, 1, 1) weights, the rest from the target itself (in case C the behaviour nearly
    is the target). The stale share is ~ U(2/3, 1), U(1/3, 2/3), U(0, 1/3) at high, mid and low lag, so that
    ``KL(pi || mu)`` falls in this order.

    Returns:
        Targets, shape [pairs, 4], and behaviours, shape [pairs, 3, 4], highest lag first.
    """
    rng = np.random.default_rng(seed)

    def draw(*preferred: str) -> Array:
        low = np.array([0.0 if action in preferred else -3.0 for action in ACTIONS])
        policy: Array = softmax(rng.uniform(low, low + 3, (pairs, 4)), axis=-1)
        return policy

    pi, right, down = draw("down", "right"), draw("right"), draw("down")
    bases = np.stack([np.full_like(pi, 0.25), right, down], 1)
    old = (rng.dirichlet(np.ones(3), pairs)[..., None] * bases).sum(1)
    stale = rng.uniform([2 / 3, 1 / 3, 0], [1, 2 / 3, 1 / 3], (pairs, 3))[..., None]
    return pi, stale * old[:, None] + (1 - stale) * pi[:, None]


def check_claims(pi: Array, mu: Array) -> pd.DataFrame:
    """Whether the claims of figure 4 hold.

    - ppo_variance_zero: with eps = 0.2 every sample is clipped at high and mid lag (variance == 0), not at low lag.
    - bias_falls_<method>: at the default setting bias(high) >= bias(mid) >= bias(low) and bias(high) > bias(low);
      bias_falls: for each of PPO-Clip, SAPO, GIPO. No-Clip is unbiased by construction.
    - variance_rises_<method>: likewise with <= and < for the variance; variance_rises: for all four.
    - gipo_dominates_<method>: `Front.dominates` holds between the fronts swept over the knobs, at each lag; axes are
      scaled by the norm of the true gradient and by No-Clip's variance. No-Clip is unbiased and GIPO's limit for large
      sigma: GIPO dominates it by what it offers beside it, never by less bias. <...>_<lag>: at that lag.

    Args:
        pi: targets, shape [n, 4].
        mu: behaviours, highest lag first, shape [n, 3, 4].

    Returns:
        One row per target, one bool column per claim and part of a claim.
    """
    points = sweep(pi[:, None], mu)
    default = {each.method: points[each.method][:, :, each.default] for each in KNOBS}
    clipped = default["ppo_clip"][..., 1] == 0
    holds = {"ppo_variance_zero": clipped[:, 0] & clipped[:, 1] & ~clipped[:, 2]}
    bias = {f"bias_falls_{m}": _falls(default[m][..., 0]) for m in ("ppo_clip", "sapo", "gipo")}
    variance = {f"variance_rises_{m}": _falls(-default[m][..., 1]) for m in default}
    holds |= {"bias_falls": np.all(list(bias.values()), axis=0), **bias}
    holds |= {"variance_rises": np.all(list(variance.values()), axis=0), **variance}

    truth = np.linalg.norm(pi * advantages(pi), axis=-1)[:, None]
    fronts = _fronts(points, np.stack(np.broadcast_arrays(truth, default["no_clip"][..., 1]), -1))
    for one, other in (("gipo", "no_clip"), ("gipo", "ppo_clip"), ("gipo", "sapo"), ("sapo", "gipo")):
        better = [a.dominates(b) for a, b in zip(fronts[one], fronts[other], strict=True)]
        by_lag = np.reshape(better, (len(pi), len(LAGS)))
        holds[f"{one}_dominates_{other}"] = by_lag.all(1)
        holds |= {f"{one}_dominates_{other}_{lag}": by_lag[:, i] for i, lag in enumerate(LAGS)}
    return pd.DataFrame(holds)


def _falls(curve: Array) -> NDArray[np.bool_]:
    """Whether each row of [n, 3] never rises and ends below its start, up to rounding."""
    steps = np.diff(curve) <= ROUNDING
    falls: NDArray[np.bool_] = steps.all(-1) & (curve[:, -1] < curve[:, 0] - ROUNDING)
    return falls


def _fronts(points: dict[str, Array], units: Array) -> dict[str, list[Front]]:
    """Fronts of every method, pair by pair and lag by lag, with both axes in ``units`` [n, 3, 2]."""
    return {
        each.method: [
            Front(front, each.connected)
            for front in (points[each.method] / units[:, :, None]).reshape(-1, len(each.knobs), 2)
        ]
        for each in KNOBS
    }


def outcomes(pairs: int, seed: int) -> pd.DataFrame:
    """The random family: one row per pair with KL(pi || mu) at each lag and the outcome of every claim."""
    pi, mu = random_policies(pairs, seed)
    lags = pd.DataFrame(kl(pi[:, None], mu), columns=[f"kl_{lag}" for lag in LAGS])
    return pd.concat([lags.rename_axis("pair").reset_index(), check_claims(pi, mu)], axis=1)


def shares(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Share of pairs in which each claim holds, its Wilson 95 % interval, and whether the case study shows it."""
    pi, mu = case_policies()
    in_case_study = check_claims(pi[None], mu[None]).iloc[0]
    n = len(outcomes)
    rows = []
    for claim, statement in CLAIMS.items():
        holds = int(outcomes[claim].sum())
        interval = binomtest(holds, n).proportion_ci(0.95, "wilson")
        rows.append((claim, statement, in_case_study[claim], holds, n, holds / n, interval.low, interval.high))
    columns = ["claim", "statement", "case_study", "holds", "n", "share", "low", "high"]
    return pd.DataFrame(rows, columns=columns)
