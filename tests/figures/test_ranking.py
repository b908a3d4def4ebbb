"""Ranks by bootstrap, and the figure made of them."""

import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata, trim_mean

from gipo.analysis.collect import Tables
from gipo.analysis.statistics import rank_probabilities
from gipo.figures import ranking, style
from gipo.stages import StudyFolder
from pictures import overhang

TEN = (
    *("no-clip", "ppo-clip", "sapo", "gipo-0.5-0.25", "gipo-0.5-0.5"),
    *("gipo-1-0.5", "gipo-1-1", "gipo-1-2", "gipo-2-1", "gipo-2-2"),
)


def enumerated(scores: dict[str, list[float]]) -> dict[str, np.ndarray]:
    """Probabilities of ranks of two-seed methods on one task, from every way to draw two of two with replacement."""
    draws = [[(a + b) / 2 for a in pair for b in pair] for pair in scores.values()]
    total = np.zeros((len(scores), len(scores)))
    outcomes = list(itertools.product(*draws))
    for means in outcomes:
        for method, low, high in zip(
            range(len(means)), rankdata(np.negative(means), "min"), rankdata(np.negative(means), "max"), strict=True
        ):
            total[method, low - 1 : high] += 1 / (high - low + 1)
    return dict(zip(scores, total / len(outcomes), strict=True))


def test_rank_probabilities_are_those_of_all_possible_resamples():
    """20,000 resamples have a standard error of at most 0.0035; the bound is five. One pair ties now and then."""
    scores = {"a": [0.0, 1.0], "b": [0.25, 0.5], "c": [0.0, 0.5]}
    found = rank_probabilities({name: np.array(pair)[:, None] for name, pair in scores.items()}, 20_000)
    for name, expected in enumerated(scores).items():
        np.testing.assert_allclose(found[name], expected, atol=0.018)


def test_each_task_is_resampled_by_itself():
    """Ones among four scores: always two if both tasks drew the same seeds, binomial as each draws its own."""
    scores = {"a": np.array([[0.0, 1.0], [1.0, 0.0]]), "b": np.full((2, 2), 0.6)}
    assert rank_probabilities(scores, 4000)["a"][0] == pytest.approx(5 / 16, abs=0.04)  # three or four ones


def test_what_is_certain_what_ties_and_what_is_unknown():
    rng = np.random.default_rng(0)
    apart = {name: rng.normal(level, 0.1, (4, 2)) for name, level in (("low", 0), ("high", 9), ("middle", 5))}
    found = rank_probabilities(apart, 100)
    assert [list(found[name]) for name in ("high", "middle", "low")] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    equal = rank_probabilities({name: np.full((3, 2), 0.5) for name in "abcd"}, 100)
    assert all((shares == 0.25).all() for shares in equal.values())
    for unknown in (np.full((1, 2), 0.5), np.array([[0.1, np.nan], [0.2, 0.3]])):
        assert np.isnan(list(rank_probabilities(apart | {"x": unknown}, 100).values())).all()


def test_probabilities_sum_to_one_both_ways_and_do_not_depend_on_the_order_or_on_hopeless_rivals():
    rng = np.random.default_rng(1)
    scores = {name: rng.normal(0, 1, (4, 3)) for name in "abcde"}
    found = rank_probabilities(scores, 500)
    np.testing.assert_allclose(np.sum(list(found.values()), axis=0), 1)
    np.testing.assert_allclose(np.sum(list(found.values()), axis=1), 1)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    again = rank_probabilities(dict(reversed(scores.items())) | {"z": np.full((4, 3), -99.0)}, 500)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    for name in scores:
        np.testing.assert_array_equal(again[name], [*found[name], 0])


def test_the_table_has_windowed_iqms_best_first_and_a_probability_for_every_rank(results: StudyFolder):
    table = ranking.table(results, resamples=50)
    evaluations = Tables.read(results, "sweeps/ranking").evaluations
    late = evaluations[evaluations["env_steps"] >= 0.8 * evaluations["env_steps"].max()]
    scores = late.groupby(["method", "seed", "update"])["score"].mean().groupby(["method", "seed"]).mean()
    expected = scores.groupby("method").agg(trim_mean, 0.25).sort_values(ascending=False)
    iqm = table[table["panel"] == "iqm"].set_index("method")
    pd.testing.assert_series_equal(iqm["value"], expected, check_names=False)
    shares = table[table["panel"] == "probability"]
    assert list(shares["rank"]) == [1, 2, 3, 4] * 4
    np.testing.assert_allclose(shares.groupby("method")["value"].sum(), 1)
    assert "top" not in set(table["panel"])
    assert "with 2 of them among 4 configurations here that cannot be checked" in ranking.caption(table)


@pytest.mark.slow
def test_ten_configurations_on_three_tasks(sweep_of: Callable[..., StudyFolder]):
    style.apply()
    tasks = ["door-open-v3", "handle-press-v3", "push-v3"]
    table = ranking.table(sweep_of("ranking", tasks=tasks, regimes=["stale"], methods=TEN, seeds=2), resamples=50)
    best = table.loc[table["panel"] == "iqm", "method"].head(6)
    top = table[table["panel"] == "top"].iloc[0]
    assert top["value"] == best.str.startswith("gipo").sum()
    assert top["low"] <= top["value"] <= top["high"]
    words = ranking.caption(table)
    assert (
        f"GIPO variants take {top['value']:.0f} of the top six ranks here (95 % interval [{top['low']:.0f}, " in words
    )
    for part in ("3 tasks x 2 seeds", "0.730", "0.180 [P article]", "95 %, percentile", "50 resamples"):
        assert part in words
    assert overhang(ranking.draw(table)) < 0.01


def test_a_single_seed_has_no_probabilities(sweep_of: Callable[..., StudyFolder]):
    style.apply()
    grid = {"tasks": ["door-open-v3"], "regimes": ["stale"], "methods": ["ppo-clip", "gipo-1-1"], "seeds": 1}
    table = ranking.table(sweep_of("ranking", **grid), resamples=50)
    assert table.loc[table["panel"] == "probability", "value"].isna().all()
    assert "a single seed, so no interval" in ranking.caption(table)
    assert overhang(ranking.draw(table)) < 0.01
