"""Measures without chance: GIPO's trust weights (figure 1) and the gridworld (figure 4)."""

from __future__ import annotations

import json
from typing import Literal

import numpy as np
import pandas as pd

from gipo.analysis.results import MeasureBase, NotTestedError, Results
from gipo.analysis.statistics import Estimate
from gipo.errors import GipoError


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
                raise NotTestedError("the grid of log rho in weights.csv is not symmetric")
        worst = max(float(np.abs(c["weight"] - c["weight"][::-1].to_numpy()).max()) for c in curves)
        return Estimate(worst, worst, worst, len(curves), "exact")


def _gipo_curves(weights: pd.DataFrame) -> list[pd.DataFrame]:
    """One table per Gaussian GIPO setting and sign of the advantage."""
    curves = [curve for _, curve in weights.groupby(["method", "advantage_sign"]) if _is_gipo(curve)]
    if not curves:
        raise NotTestedError("weights.csv has no GIPO curve")
    return curves


def _parameters(curve: pd.DataFrame) -> dict[str, float | str]:
    return json.loads(curve["parameters"].iloc[0])


def _is_gipo(curve: pd.DataFrame) -> bool:
    parameters = _parameters(curve)
    return "sigma_pos" in parameters and parameters.get("kernel", "gaussian") == "gaussian"


def _sigma(curve: pd.DataFrame) -> float:
    side = "sigma_pos" if curve["advantage_sign"].iloc[0] > 0 else "sigma_neg"
    return float(_parameters(curve)[side])


class CaseStudy(MeasureBase):
    """Whether a claim of figure 4 holds in its case study."""

    name: Literal["case_study"]
    claim: str

    def estimate(self, results: Results) -> Estimate:
        """1 if it holds, 0 if not."""
        holds = float(_grid_row(results, self.claim)["case_study"])
        return Estimate(holds, holds, holds, 1, "exact, by enumeration")


class Family(MeasureBase):
    """Share of random policy pairs in which a claim of figure 4 holds."""

    name: Literal["family"]
    claim: str

    def estimate(self, results: Results) -> Estimate:
        """The share with its Wilson interval."""
        row = _grid_row(results, self.claim)
        return Estimate(row["share"], row["low"], row["high"], int(row["n"]), "Wilson interval over random pairs")


def _grid_row(results: Results, claim: str) -> pd.Series:
    rows = results.grid[results.grid["claim"] == claim]
    if len(rows) != 1:
        raise GipoError(f"gridworld/family_claims.csv: expected one row of claim {claim!r}, found {len(rows)}")
    return rows.iloc[0]
