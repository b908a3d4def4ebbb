"""Measures without runs: GIPO's trust weights (figure 1), the gridworld (figure 4) and the bounds of section 5."""

from __future__ import annotations

import itertools
import json
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field
from scipy.special import softmax
from scipy.stats import binom

from gipo import theory
from gipo.analysis.results import MeasureBase, Results
from gipo.analysis.statistics import Estimate
from gipo.analysis.verdicts import NotRunError
from gipo.errors import GipoError
from gipo.theory import MDP, Array


class BoundUse(MeasureBase):
    """Largest multiplier of GIPO's curves in figure 1, in units of the bound ``exp(sigma^2 / 2)``."""

    name: Literal["bound_use"]

    def estimate(self, results: Results) -> Estimate:
        """The largest of all; the interval is the range of the curves' maxima."""
        peaks = [curve["multiplier"].max() / np.exp(_sigma(curve) ** 2 / 2) for curve in _gipo_curves(results.weights)]
        note = "exact; the interval is the range over GIPO's curves"
        return Estimate(max(peaks), min(peaks), max(peaks), len(peaks), note)


class Asymmetry(MeasureBase):
    """Largest difference between ``omega(rho)`` and ``omega(1 / rho)`` on GIPO's curves in figure 1."""

    name: Literal["asymmetry"]

    def estimate(self, results: Results) -> Estimate:
        """The largest over all curves and ratios."""
        curves = [curve.sort_values("log_rho") for curve in _gipo_curves(results.weights)]
        for curve in curves:
            if not np.allclose(curve["log_rho"], -curve["log_rho"][::-1].to_numpy()):
                raise NotRunError("the grid of log rho in weights.csv is not symmetric")
        worst = max(float(np.abs(c["weight"] - c["weight"][::-1].to_numpy()).max()) for c in curves)
        return Estimate(worst, worst, worst, len(curves), "exact")


def _gipo_curves(weights: pd.DataFrame) -> list[pd.DataFrame]:
    """One table per Gaussian GIPO setting and sign of the advantage."""
    curves = [curve for _, curve in weights.groupby(["method", "advantage_sign"]) if _is_gipo(curve)]
    if not curves:
        raise NotRunError("weights.csv has no GIPO curve")
    return curves


def _parameters(curve: pd.DataFrame) -> dict[str, float | str]:
    return json.loads(curve["parameters"].iloc[0])


def _is_gipo(curve: pd.DataFrame) -> bool:
    parameters = _parameters(curve)
    return "sigma_pos" in parameters and parameters.get("kernel", "gaussian") == "gaussian"


def _sigma(curve: pd.DataFrame) -> float:
    side = "sigma_pos" if curve["advantage_sign"].iloc[0] > 0 else "sigma_neg"
    return float(_parameters(curve)[side])


ESTIMATOR = "right"
"""Of the gridworld's two, that on which its claims are judged: of the logit of "right", as in the authors' code."""


class CaseStudy(MeasureBase):
    """Whether a claim of figure 4 holds in its case study."""

    name: Literal["case_study"]
    claim: str

    def estimate(self, results: Results) -> Estimate:
        """1 if it holds, 0 if not; the note names the methods for which it does not."""
        holds = float(_grid_row(results, self.claim)["case_study"])
        rows = _judged(results.grid)
        failing = rows[rows["claim"].str.startswith(f"{self.claim}_") & ~rows["case_study"]]
        names = [statement.removesuffix(" alone") for statement in failing["statement"]]
        return Estimate(holds, holds, holds, 1, "; ".join(["exact, by enumeration", *(f"not for {n}" for n in names)]))


class Margin(MeasureBase):
    """How far GIPO's front of the case study is behind another method's, in bias at equal variance.

    As a share of the largest bias, that of an estimator that is always 0.
    """

    name: Literal["margin"]
    method: Literal["no_clip", "ppo_clip", "sapo"]

    def estimate(self, results: Results) -> Estimate:
        """The largest excess of cases A, B, C; the interval goes from minus the smallest of their largest gains."""
        rows = _judged(results.margins)
        rows = rows[(rows["method"] == self.method) & (rows["case"] != "D")]
        if not len(rows):
            raise GipoError(f"gridworld/margins.csv: expected rows of method {self.method!r}, found none")
        excess, gain = rows["excess_share"], rows["gain_share"]
        cases = [f"{case} {percent(x)} and {percent(y)}" for case, x, y in zip(rows["case"], excess, gain, strict=True)]
        note = (
            "exact; the interval goes from minus the smallest gain to the largest excess; excess and gain by case, as "
            f"shares of the largest bias: {', '.join(cases)}"
        )
        return Estimate(excess.max(), -gain.min(), excess.max(), len(rows), note)


class Family(MeasureBase):
    """Share of random policy pairs in which a claim of figure 4 holds."""

    name: Literal["family"]
    claim: str

    def estimate(self, results: Results) -> Estimate:
        """The share with its Wilson interval."""
        row = _grid_row(results, self.claim)
        return Estimate(row["share"], row["low"], row["high"], int(row["n"]), "Wilson interval over random pairs")


def percent(share: float) -> str:
    """A margin in words, ``0.05 %``."""
    return "< 0.01 %" if 0 < share < 1e-4 else f"{100 * share:.2f} %"


def _judged(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["estimator"] == ESTIMATOR]


def _grid_row(results: Results, claim: str) -> pd.Series:
    rows = _judged(results.grid)
    rows = rows[rows["claim"] == claim]
    if len(rows) != 1:
        raise GipoError(f"gridworld/family_claims.csv: expected one row of claim {claim!r}, found {len(rows)}")
    return rows.iloc[0]


SIGMAS = (0.2, 0.5, 1.0, 2.0)
EPSILONS = (0.01, 0.1, 0.5, 1.0, 3.0)
SAMPLES, DELTAS = (5, 50), (0.05, 0.2)
ROUNDING = 1e-9


class Theory(MeasureBase):
    """Share of random MDPs in which a bound of section 5 holds up to rounding, for every sigma of `SIGMAS`."""

    name: Literal["theory"]
    bound: Literal["attenuation", "performance", "finite_sample"]
    """Lemma 5.1, Theorem 5.2 or Theorem 5.4."""
    mdps: int = Field(gt=0)

    def estimate(self, results: Results) -> Estimate:
        """The share, exact for the MDPs drawn; the same MDPs every time."""
        holds = {"attenuation": _attenuation_holds, "performance": _performance_holds, "finite_sample": _sampling_holds}
        rng = np.random.default_rng(0)
        share = float(np.mean([holds[self.bound](*_random_case(rng)) for _ in range(self.mdps)]))
        return Estimate(share, share, share, self.mdps, "exact on each MDP, no training runs")


def _random_case(rng: np.random.Generator) -> tuple[MDP, Array, Array]:
    """An MDP, sparse to dense, short to long horizon, and policies (pi, mu) [S, A], nearly equal to very different."""
    states, actions = rng.integers(2, 7), rng.integers(2, 6)
    mdp = MDP(
        transitions=rng.dirichlet(np.full(states, rng.choice([0.1, 1.0, 10.0])), (states, actions)),
        rewards=rng.normal(size=(states, actions)),
        gamma=float(rng.choice([0.0, 0.5, 0.9, 0.99])),
        start=rng.dirichlet(np.ones(states)),
    )
    logits = 2 * rng.normal(size=(states, actions))
    step = rng.choice([0.01, 0.3, 3.0]) * rng.normal(size=(states, actions))
    return mdp, softmax(logits + step, axis=-1), softmax(logits, axis=-1)


def _attenuation_holds(mdp: MDP, pi: Array, mu: Array) -> bool:
    """Lemma 5.1 in every state, for each threshold of `EPSILONS`."""
    return all(
        bool((theory.attenuation(pi, mu, s) <= theory.attenuation_bound(theory.kl(pi, mu), s, e) + ROUNDING).all())
        for s in SIGMAS
        for e in EPSILONS
    )


def _performance_holds(mdp: MDP, pi: Array, mu: Array) -> bool:
    """Theorem 5.2."""
    truth = mdp.performance(pi)
    bounds = (theory.performance_lower_bound(mdp, pi, mu, sigma) for sigma in SIGMAS)
    return all(bound <= truth + ROUNDING * max(1, abs(truth)) for bound in bounds)


def _sampling_holds(mdp: MDP, pi: Array, mu: Array) -> bool:
    """Theorem 5.4 for data of the first state and its first two actions, whose batch mean is binomial."""
    pi, mu = (policy[0, :2] / policy[0, :2].sum() for policy in (pi, mu))
    advantage = mdp.rewards[0, :2] - mu @ mdp.rewards[0, :2]
    for sigma, samples, delta in itertools.product(SIGMAS, SAMPLES, DELTAS):
        terms = pi / mu * theory.trust_weight(pi, mu, sigma) * advantage
        first = np.arange(samples + 1)
        error = np.abs((first * terms[0] + (samples - first) * terms[1]) / samples - mu @ terms)
        radius = theory.hoeffding_radius(float(np.abs(advantage).max()), sigma, samples, delta)
        if binom.pmf(first, samples, mu[0])[error > radius].sum() > delta:
            return False
    return True
