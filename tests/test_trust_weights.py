"""The table behind figure 1, against the formulas of the paper written out in numpy."""

import json

import numpy as np
import pandas as pd
import pytest

from gipo.trust_weights import METHODS, trust_weights


def weight(method: str, parameters: dict[str, float], rho: np.ndarray, positive: bool) -> np.ndarray:
    """Multiplier / rho by section 1 of the paper's facts."""
    if method == "no-clip":
        return np.ones_like(rho)
    if method == "ppo-clip":
        eps = parameters["eps"]
        return np.where(rho > 1 + eps if positive else rho < 1 - eps, 0.0, 1.0)
    if method == "sapo":
        p = 1 / (1 + np.exp(-parameters["tau_pos" if positive else "tau_neg"] * (rho - 1)))
        return 4 * p * (1 - p)
    sigma = parameters["sigma_pos" if positive else "sigma_neg"]
    return np.exp(-(np.log(rho) ** 2) / (2 * sigma**2))


@pytest.fixture(scope="module")
def weights() -> pd.DataFrame:
    return trust_weights()


def test_every_curve_is_its_formula(weights: pd.DataFrame):
    curves = weights.groupby(["method", "advantage_sign"])
    assert set(curves.groups) == {(method, sign) for method in METHODS for sign in (1, -1)}
    for (method, sign), curve in curves:
        rho, parameters = curve["rho"].to_numpy(), json.loads(curve["parameters"].iloc[0])
        expected = weight(method, parameters, rho, sign > 0)
        np.testing.assert_allclose(curve["weight"], expected, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(curve["multiplier"], expected * rho, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(rho, np.exp(curve["log_rho"]))


def test_the_grid_is_symmetric_and_holds_the_peak_of_every_gipo(weights: pd.DataFrame):
    grid = weights["log_rho"].unique()
    np.testing.assert_allclose(grid, -grid[::-1], atol=1e-15)
    for sigma in (0.5, 1.0, 2.0):
        assert np.abs(grid - sigma**2).min() < 1e-12


def test_the_method_names_say_their_sigmas(weights: pd.DataFrame):
    for method, text in weights[["method", "parameters"]].drop_duplicates().itertuples(index=False):
        if method.startswith("gipo-"):
            parameters = json.loads(text)
            assert method == f"gipo-{parameters['sigma_pos']:g}-{parameters['sigma_neg']:g}"
