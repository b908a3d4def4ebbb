import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gipo import gridworld
from gipo.errors import GipoError
from gipo.gridworld import case_study, family
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
    holds = family.check_claims(pi[None], mu[None]).iloc[0]
    assert holds[["ppo_variance_zero", "bias_falls", "variance_rises", "gipo_dominates_ppo_clip"]].all()
    assert not holds["gipo_dominates_sapo_high"]  # SAPO (1, 2) has less bias at equal variance
    assert not holds["gipo_dominates_sapo"]


def test_claims_do_not_depend_on_the_company() -> None:
    pi, mu = family.random_policies(6, seed=0)
    together = family.check_claims(pi, mu)
    alone = pd.concat([family.check_claims(pi[i : i + 1], mu[i : i + 1]) for i in range(6)], ignore_index=True)
    pd.testing.assert_frame_equal(together, alone)


def test_claims_against_their_words() -> None:
    pi, mu = family.random_policies(300, seed=1)
    holds = family.check_claims(pi, mu)
    advantage = case_study.advantages(pi)[:, None]
    rho = pi[:, None] / mu
    dead = (((advantage > 0) & (rho > 1.2)) | ((advantage < 0) & (rho < 0.8))).all(-1)
    np.testing.assert_array_equal(holds["ppo_variance_zero"], dead[:, 0] & dead[:, 1] & ~dead[:, 2])

    gipo = case_study.sweep(pi[:, None], mu)["gipo"][:, :, 300]
    bias_falls = (gipo[:, 0, 0] > gipo[:, 1, 0]) & (gipo[:, 1, 0] > gipo[:, 2, 0])
    variance_rises = (gipo[:, 0, 1] < gipo[:, 1, 1]) & (gipo[:, 1, 1] < gipo[:, 2, 1])
    np.testing.assert_array_equal(holds["bias_falls_gipo"], bias_falls)
    np.testing.assert_array_equal(holds["variance_rises_gipo"], variance_rises)
    parts = [f"bias_falls_{m}" for m in ("ppo_clip", "sapo", "gipo")]
    np.testing.assert_array_equal(holds["bias_falls"], holds[parts].all(axis=1))
    assert not (holds["gipo_dominates_sapo"] & holds["sapo_dominates_gipo"]).any()


def test_shares_carry_wilson_intervals() -> None:
    members = pd.DataFrame({claim: np.arange(40) < 8 for claim in family.CLAIMS})
    claims = family.shares(members)
    assert list(claims.columns) == ["claim", "statement", "case_study", "holds", "n", "share", "low", "high"]
    z, n, p = 1.959964, 40, 0.2
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    np.testing.assert_allclose(claims[["holds", "n", "share"]], [[8, 40, 0.2]] * len(claims))
    np.testing.assert_allclose(claims[["low", "high"]], [[centre - half, centre + half]] * len(claims), rtol=1e-5)


def test_write_is_complete_and_repeatable(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        gridworld.write(StudyFolder(tmp_path / folder), pairs=5, seed=7)
    files = sorted(path.name for path in (tmp_path / "one" / "gridworld").iterdir())
    assert files == ["case_study.csv", "family.csv", "family_claims.csv", "policies.csv"]
    for name in files:
        one, two = (tmp_path / folder / "gridworld" / name for folder in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
    members = StudyFolder(tmp_path / "one").read_csv("gridworld/family.csv")
    assert len(members) == 5
    assert set(family.CLAIMS) < set(members.columns)


def test_an_empty_family_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GipoError, match="pairs = 0"):
        gridworld.write(StudyFolder(tmp_path), pairs=0, seed=0)
    assert not list(tmp_path.iterdir())
