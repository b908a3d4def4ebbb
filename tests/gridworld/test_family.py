import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gipo.errors import GipoError
from gipo.gridworld import case_study, family, tables
from gipo.stages import StudyFolder
from gipo.theory import kl


def test_every_triple_is_ordered_by_lag_and_seeded() -> None:
    pi, mu = family.random_policies(500, seed=3)
    assert (np.diff(kl(pi[:, None], mu)) < 0).all()
    np.testing.assert_allclose(pi.sum(-1), 1)
    np.testing.assert_allclose(mu.sum(-1), 1)
    goalward = pi[:, [1, 3]]
    assert (goalward > pi[:, [0, 2]].max(-1, keepdims=True)).all()
    np.testing.assert_array_equal(family.random_policies(500, seed=3)[1], mu)
    assert not np.array_equal(family.random_policies(500, seed=4)[1], mu)


def test_claims_of_the_case_study() -> None:
    pi, mu = case_study.case_policies()
    holds = tables.outcomes(pi[None], mu[None, :3]).set_index("estimator")
    assert holds[["ppo_variance_zero", "bias_falls", "gipo_dominates_ppo_clip", "gipo_dominates_sapo"]].all(axis=None)
    assert not holds["sapo_dominates_gipo"].any()
    # No-Clip's variance of the logit of right is 0.0165 in A and 0.0158 in B; that of all four rises.
    assert holds["variance_rises"].to_dict() == {"right": False, "all": True}
    assert holds["variance_rises_no_clip"].to_dict() == {"right": False, "all": True}
    assert holds[[f"variance_rises_{m}" for m in ("ppo_clip", "sapo", "gipo")]].all(axis=None)


def test_margins_of_the_case_study_are_the_worst_of_its_cases() -> None:
    pi, mu = case_study.case_policies()
    holds = tables.outcomes(pi[None], mu[None, :3]).set_index("estimator")
    margins = tables.margins().query("case != 'D'").set_index(["estimator", "method"]).sort_index()
    for estimator in case_study.ESTIMATORS:
        for method in ("no_clip", "ppo_clip", "sapo"):
            cases = margins.loc[(estimator, method)]
            here = holds.loc[estimator, [f"gipo_excess_{method}", f"gipo_gain_{method}"]].tolist()
            assert here == pytest.approx([cases["excess_share"].max(), cases["gain_share"].min()], abs=2e-3)


def test_claims_do_not_depend_on_the_company() -> None:
    pi, mu = family.random_policies(6, seed=0)
    together = tables.outcomes(pi, mu).drop(columns="pair")
    alone = pd.concat([tables.outcomes(pi[i : i + 1], mu[i : i + 1]) for i in range(6)]).drop(columns="pair")
    alone = alone.sort_values("estimator", key=lambda column: column == "all", kind="stable", ignore_index=True)
    pd.testing.assert_frame_equal(together, alone)


def test_claims_against_their_words() -> None:
    pi, mu = family.random_policies(300, seed=1)
    claims = tables.outcomes(pi, mu)
    advantage = case_study.advantages(pi)[:, None]
    rho = pi[:, None] / mu
    dead = (((advantage > 0) & (rho > 1.2)) | ((advantage < 0) & (rho < 0.8))).all(-1)
    multiplier = rho * np.exp(-(np.log(rho) ** 2) / 2)
    samples = (multiplier * advantage)[..., None] * (np.eye(4) - pi[:, None, None])  # [pair, lag, action, logit]
    mean = (mu[..., None] * samples).sum(2)
    bias = mean - pi[:, None] * advantage
    variance = (mu[..., None] * (samples - mean[:, :, None]) ** 2).sum(2)
    points = {
        "right": (np.abs(bias[..., 3]), variance[..., 3]),
        "all": (np.linalg.norm(bias, axis=-1), variance.sum(-1)),
    }
    for estimator, (bias, variance) in points.items():
        holds = claims[claims["estimator"] == estimator].reset_index()
        np.testing.assert_array_equal(holds["ppo_variance_zero"], dead[:, 0] & dead[:, 1] & ~dead[:, 2])
        np.testing.assert_array_equal(holds["bias_falls_gipo"], (np.diff(bias) < 0).all(-1))
        np.testing.assert_array_equal(holds["variance_rises_gipo"], (np.diff(variance) > 0).all(-1))
        parts = [f"bias_falls_{m}" for m in ("ppo_clip", "sapo", "gipo")]
        np.testing.assert_array_equal(holds["bias_falls"], holds[parts].all(axis=1))
        assert not (holds["gipo_dominates_sapo"] & holds["sapo_dominates_gipo"]).any()
        assert (holds["gipo_excess_no_clip"] < 1e-9).all()  # No-Clip is a limit of GIPO
        within = (holds["gipo_excess_sapo"] <= 0.01) & (holds["gipo_gain_sapo"] > 0.01)
        np.testing.assert_array_equal(holds["gipo_dominates_sapo"], within)


def test_fronts_that_are_level_dominate_in_neither_direction() -> None:
    pi, _ = family.random_policies(3, seed=0)
    holds = tables.outcomes(pi, np.repeat(pi[:, None], 3, axis=1))  # on policy all methods are one
    assert not holds.filter(like="_dominates_").any(axis=None)
    np.testing.assert_allclose(holds.filter(regex="_excess_|_gain_"), 0, atol=1e-9)


def test_shares_carry_wilson_intervals() -> None:
    members = pd.DataFrame({claim: np.arange(40) < 8 for claim in family.CLAIMS}).assign(estimator="right")
    claims = tables.shares(pd.concat([members, members.iloc[:8].assign(estimator="all")]))
    columns = ["estimator", "claim", "statement", "case_study", "holds", "n", "share", "low", "high"]
    assert list(claims.columns) == columns
    z, n, p = 1.959964, 40, 0.2
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    one, two = claims[claims["estimator"] == "right"], claims[claims["estimator"] == "all"]
    np.testing.assert_allclose(one[["holds", "n", "share"]], [[8, 40, 0.2]] * len(family.CLAIMS))
    np.testing.assert_allclose(one[["low", "high"]], [[centre - half, centre + half]] * len(one), rtol=1e-5)
    assert (two[["holds", "n", "share"]] == [8, 8, 1]).all(axis=None)


def test_write_is_complete_and_repeatable(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        tables.write(StudyFolder(tmp_path / folder), pairs=5, seed=7)
    files = sorted(path.name for path in (tmp_path / "one" / "gridworld").iterdir())
    assert files == [
        *("case_study.csv", "family.csv", "family_claims.csv", "field.csv", "field_family.csv"),
        *("margins.csv", "policies.csv"),
    ]
    for name in files:
        one, two = (tmp_path / folder / "gridworld" / name for folder in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
    members = StudyFolder(tmp_path / "one").read_csv("gridworld/family.csv")
    assert members.groupby("estimator").size().to_dict() == {"right": 5, "all": 5}
    np.testing.assert_allclose(members["kl_low"][:5], members["kl_low"][5:])
    assert set(family.CLAIMS) < set(members.columns)


def test_an_empty_family_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GipoError, match="pairs = 0"):
        tables.write(StudyFolder(tmp_path), pairs=0, seed=0)
    assert not list(tmp_path.iterdir())
