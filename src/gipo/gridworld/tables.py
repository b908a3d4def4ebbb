"""The tables of a study's stage ``gridworld``: the case study, the random family, and the field of objectives."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from gipo.errors import GipoError
from gipo.gridworld.case_study import (
    ACTIONS,
    CASES,
    ESTIMATORS,
    KNOBS,
    ON_POLICY,
    advantages,
    case_policies,
    fronts,
    true_gradient,
    views,
)
from gipo.gridworld.family import CLAIMS, LAGS, check_claims, random_policies
from gipo.gridworld.field import FIELD, distances
from gipo.gridworld.pareto import TIE, nondominated
from gipo.stages import StudyFolder, csv_bytes
from gipo.theory import Array, kl

FIELD_PAIRS = 100
"""Pairs of the random family, at most, on which the objectives of other papers are placed."""


def write(study: StudyFolder, pairs: int = 1000, seed: int = 0) -> None:
    """Write all tables below ``gridworld`` as CSV, with their manifest.

    Args:
        study: folder, made if missing.
        pairs: size of the random family.
        seed: seed of the random family.

    Raises:
        GipoError: ``pairs`` is not positive, or a file cannot be written.
    """
    if pairs < 1:
        raise GipoError(f"gridworld: pairs = {pairs}, expected at least 1")
    pi, mu = random_policies(pairs, seed)
    family = outcomes(pi, mu)
    tables = {
        "policies": policies(),
        "case_study": points(),
        "margins": margins(),
        "family": family,
        "family_claims": shares(family),
        "field": field(),
        "field_family": field_family(pi[:FIELD_PAIRS], mu[:FIELD_PAIRS]),
    }
    study.write_stage("gridworld", {f"gridworld/{name}.csv": csv_bytes(table, 8) for name, table in tables.items()})


def policies() -> pd.DataFrame:
    """Map of the case study at s0: policy (pi, A, B, C), action, probability, and pi's exact advantage."""
    pi, mu = case_policies()
    advantage = advantages(pi)
    named = zip(("pi", *CASES), (pi, *mu), strict=False)  # that of `ON_POLICY` is pi
    return pd.DataFrame(
        [(name, *row) for name, policy in named for row in zip(ACTIONS, policy, advantage, strict=True)],
        columns=["policy", "action", "probability", "advantage"],
    )


def points() -> pd.DataFrame:
    """Figure 4's points: one row per case, estimator and setting; marked are main, published and Pareto-optimal ones.

    Of the case in which mu is pi there are the published settings alone, for all others give the same.
    """
    tables = []
    for case, estimator, points, _ in views():
        for each in KNOBS:
            front = points[each.method]
            table = pd.DataFrame({"case": case, "estimator": estimator, "method": each.method, "knob": each.knobs})
            table.insert(3, "parameter", [each.label.format(knob) for knob in each.knobs])
            table["bias"], table["variance"] = front.T
            table["default"] = np.arange(len(front)) == each.default
            table["published"] = np.any([np.isclose(each.knobs, x, equal_nan=True) for x in each.published], axis=0)
            table["pareto"] = nondominated(front)
            tables.append(table[table["published"]] if case == ON_POLICY else table)
    return pd.concat(tables, ignore_index=True)


def margins() -> pd.DataFrame:
    """How far GIPO's front is behind and ahead of each other method's: one row per case, estimator and other method.

    Columns ``excess`` and ``gain`` are those of `Front.margin`, ``*_share`` the same as a share of ``largest_bias``,
    ``*_variance`` where on the fronts that is and ``*_bias`` the other method's least bias there. The fronts are swept
    in steps of a thousandth of a decade; straight lines between them miss the curves by less than 1e-6 of the largest
    bias.
    """
    rows = []
    for case, estimator, points, largest_bias in views(finer=10):
        by_method = fronts(points, largest_bias)
        for method in ("no_clip", "ppo_clip", "sapo"):
            margin = by_method["gipo"].margin(by_method[method])
            row = {"case": case, "estimator": estimator, "method": method, "largest_bias": largest_bias}
            for side in ("excess", "gain"):
                size, variance = getattr(margin, side), getattr(margin, f"{side}_variance")
                row |= {side: size, f"{side}_share": size / largest_bias, f"{side}_variance": variance}
                row[f"{side}_bias"] = by_method[method].least_bias(np.array(variance)).item()
            rows.append(row)
    return pd.DataFrame(rows)


def outcomes(pi: Array, mu: Array) -> pd.DataFrame:
    """Outcome of every claim, part and margin, and KL(pi || mu) at each lag: one row per estimator and target.

    Args:
        pi: targets, shape [n, 4].
        mu: behaviours, highest lag first, shape [n, 3, 4].
    """
    tables = [pd.DataFrame({"estimator": name} | holds) for name, holds in check_claims(pi, mu).items()]
    for table in tables:
        table.insert(1, "pair", np.arange(len(pi)))
    lags = pd.DataFrame(kl(pi[:, None], mu), columns=[f"kl_{lag}" for lag in LAGS])
    return pd.concat(tables, ignore_index=True).join(lags, on="pair")


def shares(members: pd.DataFrame) -> pd.DataFrame:
    """Share of pairs in which each claim holds, its Wilson 95 % interval, and whether the case study shows it."""
    pi, mu = case_policies()
    in_case_study = outcomes(pi[None], mu[None, : len(CASES)]).set_index("estimator")
    rows = []
    for estimator in ESTIMATORS:
        pairs = members[members["estimator"] == estimator]
        n = len(pairs)
        for claim, statement in CLAIMS.items():
            holds = int(pairs[claim].sum())
            interval = binomtest(holds, n).proportion_ci(0.95, "wilson")
            here = in_case_study.loc[estimator, claim]
            rows.append((estimator, claim, statement, here, holds, n, holds / n, interval.low, interval.high))
    columns = ["estimator", "claim", "statement", "case_study", "holds", "n", "share", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def field() -> pd.DataFrame:
    """The field in the case study: one row per case, estimator and method.

    A method is an ``objective`` with ``parameters``, a JSON object. ``front_bias`` is the least bias of GIPO's front
    at no more variance; ``behind_share``, bias less front bias as a share of the largest bias, is negative where a
    method is ahead of GIPO.
    """
    pi, mu = case_policies()
    return _field(pi[None], mu[None], (*CASES, ON_POLICY), "case").drop(columns="pair")


def field_family(pi: Array, mu: Array) -> pd.DataFrame:
    """The same on pairs of policies: shares of them in which GIPO's front or the method is ahead.

    Args:
        pi: targets, shape [n, 4].
        mu: behaviours, highest lag first, shape [n, 3, 4].

    Returns:
        One row per lag, estimator and method: ``n``, ``front_ahead`` and ``method_ahead``, shares of the pairs in which
        it is by more than `TIE` of the largest bias, and the median of ``behind_share``.
    """
    rows = _field(pi, mu, LAGS, "lag")
    behind = rows.groupby(["lag", "estimator", "objective", "parameters"], sort=False)["behind_share"]
    table = behind.agg(
        n="size",
        front_ahead=lambda share: (share > TIE).mean(),
        method_ahead=lambda share: (share < -TIE).mean(),
        median_behind_share="median",
    )
    return table.reset_index()


def _field(pi: Array, mu: Array, lags: Sequence[str], named: str) -> pd.DataFrame:
    """A row for each pair, lag, estimator and method; `named` is the column of the lag."""
    places, largest_bias = distances(pi, mu), true_gradient(pi)
    tables = []
    for pair, lag, i in np.ndindex(*mu.shape[:2], len(ESTIMATORS)):
        table = pd.DataFrame(places[pair, lag, :, i], columns=["bias", "variance", "front_bias"])
        table["behind_share"] = (table["bias"] - table["front_bias"]) / largest_bias[pair, i]
        methods = {"objective": [name for name, _ in FIELD], "parameters": [json.dumps(given) for _, given in FIELD]}
        place = {"pair": pair, named: lags[lag], "estimator": list(ESTIMATORS)[i]}
        tables.append(pd.DataFrame(place | methods).join(table))
    return pd.concat(tables, ignore_index=True)
