"""Objectives by replay lifetime, and what sums them up."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import trim_mean

from gipo.analysis.collect import Tables
from gipo.figures import arena, style
from gipo.stages import StudyFolder
from pictures import overhang
from windows import windowed

LIFETIMES = [0.01, 0.1, 1.0]
METHODS = ["no-clip", "ppo-clip", "sapo", "gipo-1-1"]
GRID = {"tasks": ["handle-press-v3"], "regimes": ["lag-0.01", "lag-0.1", "lag-1.0"], "methods": METHODS, "seeds": 4}


@pytest.fixture
def folder(sweep_of: Callable[..., StudyFolder]) -> StudyFolder:
    return sweep_of("arena", **GRID)


def test_area_difference_and_rank_are_those_of_the_runs(folder: StudyFolder):
    table = arena.table(folder, resamples=50)
    table = table[table["lifetime"].isna()].set_index(["statistic", "method"])
    score = windowed(Tables.read(folder, "sweeps/arena").evaluations, "score")
    areas = {}
    for method in METHODS:
        low, middle, high = (score[f"lag-{lifetime}", method].to_numpy() for lifetime in LIFETIMES)
        areas[method] = trim_mean(low / 4 + middle / 2 + high / 4, 0.25)  # lifetimes are a decade apart
        assert table.loc[("area", method), "value"] == pytest.approx(areas[method])
    for method in METHODS[:-1]:
        difference = areas[method] - areas["gipo-1-1"]
        assert table.loc[("against", method), "value"] == pytest.approx(difference)
    order = sorted(METHODS, key=lambda method: -areas[method])
    assert [table.loc[("rank", method), "value"] for method in order] == [1, 2, 3, 4]
    assert (table.loc["rank", "low"] >= 1).all()
    assert (table.loc["rank", "high"] <= 4).all()


def test_discarding_is_the_score_of_a_shorter_lifetime_less_that_of_the_longest(folder: StudyFolder):
    tables = Tables.read(folder, "sweeps/arena")
    found = arena.discarding(tables, resamples=50).set_index(["method", "newest"])
    score = windowed(tables.evaluations, "score")
    for method in METHODS:
        low, middle, high = (trim_mean(score[f"lag-{lifetime}", method], 0.25) for lifetime in LIFETIMES)
        assert found.loc[(method, 1.0), "value"] == pytest.approx(high)
        assert found.loc[(method, 0.1), "value"] == pytest.approx(middle - high)
        assert found.loc[(method, 0.01), "value"] == pytest.approx(low - high)


def test_cells_are_those_of_the_lag_sweep(folder: StudyFolder):
    table = arena.table(folder, resamples=50).set_index(["statistic", "method", "lifetime"])
    tables = Tables.read(folder, "sweeps/arena")
    success = windowed(tables.evaluations.astype({"success_any": float}), "success_any")
    d95 = windowed(tables.metrics, "d95")
    for lifetime in LIFETIMES:
        for method in METHODS:
            regime = f"lag-{lifetime}"
            assert table.loc[("success", method, lifetime), "value"] == pytest.approx(success[regime, method].mean())
            assert table.loc[("d95", method, lifetime), "value"] == pytest.approx(d95[regime, method].mean())


def test_behind_is_the_distance_to_the_best_at_a_lifetime(folder: StudyFolder):
    table = arena.table(folder, resamples=50).set_index(["statistic", "lifetime", "method"])["value"].sort_index()
    for lifetime in LIFETIMES:
        scores, behind = table["score", lifetime], table["behind", lifetime]
        best = scores.idxmax()
        assert set(behind.index) == set(METHODS) - {best}
        for method, value in behind.items():
            assert value == pytest.approx(scores[method] - scores[best])


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ([1.0, 0.5, 0.0], 0.1),  # half exactly at the second of 0.01, 0.1 and 1
        ([1.0, 0.75, 0.25], 10**-0.5),  # half way, in the logarithm, from the second to the third
        ([0.8, 0.8, 0.41], 1.0),  # never
        ([0.2, 0.8, 0.4], 1.0),  # from the highest score on
        ([0.0, 0.8, 0.0], 10**-0.5),
        ([-0.1, -0.2, -0.3], np.nan),  # nothing that could be lost
    ],
)
def test_half_life_by_hand(curve: list[float], expected: float):
    scores = np.array(curve)[None, None, None]  # one resample, seed and task
    assert arena._half_life(scores, np.log(LIFETIMES))[0, 0] == pytest.approx(expected, nan_ok=True)


def test_equal_methods_share_their_ranks():
    level, above = np.full((1, 3, 1, 2), 0.5), np.full((1, 3, 1, 2), 0.6)
    logs = np.log([0.1, 1.0])
    assert arena._rank(logs, level, level, above)[0, 0] == 2.5
    assert arena._rank(logs, above, level, level)[0, 0] == 1


def test_scores_that_are_all_below_the_random_policys_can_be_drawn(folder: StudyFolder):
    table = arena.table(folder, resamples=20)
    table.loc[table["statistic"] == "score", "value"] = -0.1
    assert overhang(arena.draw(table)) < 0.01


@pytest.mark.parametrize(
    ("regimes", "methods", "seeds"),
    [
        (["lag-0.01", "lag-0.1", "lag-1.0"], METHODS, 2),
        (["lag-0.1"], ["ppo-clip", "sapo"], 1),
        (["lag-0.1", "lag-1.0"], ["gipo-1-1"], 2),
    ],
    ids=["three lifetimes", "one lifetime, one seed, no reference", "the reference alone"],
)
def test_any_arena_can_be_drawn(
    regimes: list[str], methods: list[str], seeds: int, sweep_of: Callable[..., StudyFolder]
):
    style.apply()
    grid = {"tasks": ["door-open-v3"], "regimes": regimes, "methods": methods, "seeds": seeds}
    table = arena.table(sweep_of("arena", **grid), resamples=20)
    assert overhang(arena.draw(table)) < 0.01
    assert f"{len(methods)} objective" in arena.caption(table)
