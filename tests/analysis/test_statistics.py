"""Statistics against plain re-implementations, hand-made tables and rliable's own point estimates."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from rliable import library, metrics
from scipy.stats import trim_mean

from gipo.analysis import statistics
from gipo.errors import GipoError

RESAMPLES = 2000


def scores(seeds: int, tasks: int, seed: int = 0, shift: float = 0.0) -> np.ndarray:
    """Tasks of very different difficulty, so that resampling across them would show."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.1, (seeds, tasks)) + 2.0 * np.arange(tasks) + shift


def brute_iqm(x: np.ndarray) -> float:
    """Mean of what is left after cutting a quarter of the values, rounded down, at either end."""
    ordered = np.sort(x.ravel())
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def brute_interval(statistic: Callable[..., float], *arrays: np.ndarray) -> tuple[np.ndarray, float]:
    """Percentile interval, and spread, of a bootstrap over seeds within each task, one resample at a time."""
    rng = np.random.default_rng(7)
    values = []
    for _ in range(4000):
        resampled = [np.stack([rng.choice(column, len(column)) for column in array.T], axis=1) for array in arrays]
        values.append(statistic(*resampled))
    return np.percentile(values, [2.5, 97.5]), float(np.std(values))


def table(*rows: tuple[str, int, int, int, float], method: str = "gipo-1-1") -> pd.DataFrame:
    """Rows of (task, seed, update, env_steps, return) in one regime."""
    frame = pd.DataFrame(rows, columns=["task", "seed", "update", "env_steps", "return"])
    return frame.assign(regime="stale", method=method)


def long_table(values: np.ndarray) -> pd.DataFrame:
    """[seeds, tasks, points] as a table with 10 updates and 100 env steps between points."""
    return table(*((f"task{t}", s, 10 * p, 100 * p, values[s, t, p]) for s, t, p in np.ndindex(values.shape)))


@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (5, 2), (5, 8), (7, 3)])
def test_iqm_is_the_trimmed_mean(shape: tuple[int, int]):
    x = scores(*shape)
    value = statistics.iqm(x, "m", 10).value
    assert value == pytest.approx(brute_iqm(x), rel=1e-12)
    assert value == pytest.approx(trim_mean(x, 0.25, axis=None), rel=1e-12)
    assert value == metrics.aggregate_iqm(x)


@pytest.mark.parametrize(
    ("ours", "brute", "count"),
    [
        (lambda x, n: statistics.iqm(x, "m", n), brute_iqm, 1),
        (lambda x, n: statistics.mean(x, "d95", "m", n), np.mean, 1),
        (
            lambda x, y, n: statistics.probability_of_improvement(x, y, "m", "r", n),
            lambda x, y: float(np.sign(x[:, None] - y[None]).mean() + 1) / 2,
            2,
        ),
    ],
    ids=["iqm", "mean", "probability_of_improvement"],
)
@pytest.mark.slow
def test_intervals_are_those_of_a_plain_stratified_bootstrap(ours: Callable, brute: Callable, count: int):
    """The difference of two quantiles of 4000 resamples has a standard error of 0.06 spreads; the bound is five."""
    arrays = [scores(6, 3), scores(5, 3, seed=1, shift=0.05)][:count]
    interval, spread = brute_interval(brute, *arrays)
    estimate = ours(*arrays, 4000)
    assert estimate.value == pytest.approx(brute(*arrays))
    np.testing.assert_allclose([estimate.low, estimate.high], interval, atol=0.3 * spread)
    assert estimate.low < estimate.value < estimate.high
    assert estimate.n == sum(array.size for array in arrays)
    assert estimate.note == ""


@pytest.mark.slow
def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """A percentile interval over 10 seeds is a little too narrow; 120 data sets cannot tell 0.95 from 0.90."""
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(120):
        estimate = statistics.iqm(rng.normal(0.5, 0.2, (10, 2)), "m", 200)
        hits += estimate.low <= 0.5 <= estimate.high
    assert 0.82 <= hits / 120 <= 0.99


def test_intervals_depend_on_metric_and_method_alone_and_leave_the_global_generator_as_it_was():
    x, y = scores(4, 2), scores(4, 2, seed=1)
    alone = statistics.iqm(x, "b", RESAMPLES)
    np.random.seed(1)  # noqa: NPY002
    expected = np.random.RandomState(1).random(3)
    statistics.iqm(y, "a", RESAMPLES)
    statistics.probability_of_improvement(x, y, "b", "a", RESAMPLES)
    assert statistics.iqm(x, "b", RESAMPLES) == alone
    np.testing.assert_array_equal(np.random.random(3), expected)  # noqa: NPY002
    assert statistics.iqm(x, "c", RESAMPLES) != alone


def test_intervals_are_the_same_in_another_process():
    code = (
        "import numpy as np; from gipo.analysis import statistics;"
        "print(statistics.iqm(np.arange(12.).reshape(4, 3) ** 2, 'gipo-1-1', 300))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert other.strip() == str(statistics.iqm(np.arange(12.0).reshape(4, 3) ** 2, "gipo-1-1", 300))


@pytest.mark.parametrize("most", [7, 10**6])
@pytest.mark.parametrize(("seeds", "rivals"), [(2, 2), (5, 4)])
def test_resamples_are_rliables_bit_for_bit(seeds: int, rivals: int, most: int, monkeypatch: pytest.MonkeyPatch):
    """However many are drawn at a time, and with groups of different sizes."""
    monkeypatch.setattr(statistics, "MOST_DRAWN", most)
    monkeypatch.setattr(statistics, "_generator", lambda *_: np.random.RandomState(7))
    x, y = scores(seeds, 3), scores(rivals, 3, 1)
    curve = scores(seeds, 12, 2).reshape(seeds, 3, 4)

    def theirs(arrays: object, statistic: Callable[..., np.ndarray]) -> list[np.ndarray]:
        np.random.seed(7)  # noqa: NPY002
        return list(library.get_interval_estimates({"m": arrays}, statistic, reps=50)[1]["m"])

    iqm, both = statistics.iqm(x, "m", 50), statistics.probability_of_improvement(x, y, "m", "r", 50)
    band = statistics.iqm_curve(curve, "m", 50)
    mean = statistics.mean_over_runs(curve, "d95", "m", 50)
    assert [iqm.low, iqm.high] == theirs(x, lambda x: np.array([metrics.aggregate_iqm(x)]))
    assert [both.low, both.high] == theirs([x, y], lambda x, y: np.array([metrics.probability_of_improvement(x, y)]))
    drawn = np.broadcast_to(np.arange(seeds)[:, None], (seeds, 3))  # of curves, rliable is given the seeds to draw from

    def runs(chosen: np.ndarray) -> np.ndarray:
        return curve[chosen, np.arange(3)].reshape(-1, 4)

    np.testing.assert_array_equal([band.low, band.high], theirs(drawn, lambda x: trim_mean(runs(x), 0.25)))
    expected = theirs(drawn, lambda x: runs(x).mean(axis=0))
    np.testing.assert_allclose([mean.low, mean.high], expected, rtol=1e-12)  # sums in another order


def test_probability_of_improvement_counts_pairs_with_ties_half():
    x, y = np.array([[1.0, 5.0], [2.0, 5.0]]), np.array([[1.0, 7.0], [0.0, 5.0], [9.0, 5.0]])
    # task 0: 1 > 0, 1 = 1, 2 > 1, 2 > 0 of 6 pairs; task 1: four ties, two losses
    expected = np.mean([3.5 / 6, 2 / 6])
    assert statistics.probability_of_improvement(x, y, "x", "y", 10).value == pytest.approx(expected)
    back = statistics.probability_of_improvement(y, x, "y", "x", 10).value
    assert back == pytest.approx(1 - expected)
    for seed in range(5):
        pair = np.round(scores(4, 3, seed), 1), np.round(scores(4, 3, seed + 9), 1)
        value = statistics.probability_of_improvement(*pair, "x", "y", 10).value
        assert value == pytest.approx(metrics.probability_of_improvement(*pair))


def test_performance_profile_is_the_share_of_runs_above():
    x, thresholds = np.round(2 * scores(5, 3)) / 2, np.linspace(-1, 5, 13)  # scores on thresholds: not above
    band = statistics.performance_profile(x, thresholds, "m", 200)
    expected = [sum(value > tau for value in x.ravel()) / x.size for tau in thresholds]
    np.testing.assert_allclose(band.value, expected)
    np.testing.assert_allclose(band.value, library.score_distributions(x, thresholds))
    assert (band.low <= band.value).all()
    assert (band.value <= band.high).all()


def test_curves_are_estimated_point_by_point():
    x = np.stack([scores(5, 3, seed) for seed in range(4)], axis=-1)
    efficiency, mean = statistics.iqm_curve(x, "m", 200), statistics.mean_curve(x, "m", 200)
    np.testing.assert_allclose(efficiency.value, [brute_iqm(x[..., p]) for p in range(4)])
    np.testing.assert_allclose(mean.value, x.mean(axis=0))
    assert mean.low.shape == mean.high.shape == (3, 4)
    assert efficiency.n == mean.n == 15
    for band in (efficiency, mean):
        assert (band.low < band.value).all()
        assert (band.value < band.high).all()


def test_one_nan_is_said_and_never_trimmed_away():
    x = scores(4, 3)
    x[0, 0] = np.nan
    for estimate in (
        statistics.iqm(x, "m", 10),
        statistics.probability_of_improvement(x, scores(4, 3), "m", "r", 10),
    ):
        assert np.isnan([estimate.value, estimate.low, estimate.high]).all()
        assert "NaN" in estimate.note
    assert np.isnan(statistics.performance_profile(x, np.zeros(2), "m", 10).value).all()


def test_a_single_seed_has_no_interval():
    estimate = statistics.iqm(scores(1, 8), "m", 10)
    assert estimate.value == pytest.approx(brute_iqm(scores(1, 8)))
    assert np.isnan([estimate.low, estimate.high]).all()
    assert "single seed" in estimate.note
    rival = statistics.probability_of_improvement(scores(3, 2), scores(1, 2), "m", "r", 10)
    assert np.isnan(rival.low)
    assert "single seed" in rival.note


def test_saturation_is_said():
    full = statistics.iqm(np.ones((5, 2)), "m", 50)
    assert (full.value, full.low, full.high) == (1, 1, 1)
    assert "same value" in full.note
    x = scores(5, 2)
    x[:, 1] = 1.0
    assert "agree in some tasks" in statistics.iqm(x, "m", 50).note
    always = statistics.probability_of_improvement(scores(3, 2, shift=1), scores(3, 2), "m", "r", 50)
    assert (always.value, always.low, always.high) == (1, 1, 1)
    assert "all resamples agree" in always.note
    curve = np.stack([scores(5, 2), scores(5, 2, 1)], axis=-1)
    curve[:, :, 0] = 0.0  # all alike at the first point only
    assert statistics.iqm_curve(curve, "m", 50).note == ""


def test_std_across_tasks_is_that_of_the_task_means():
    x = np.array([[1.0, 5.0, 6.0], [3.0, 5.0, 10.0]])  # task means 2, 5, 8
    assert statistics.std_across_tasks(x) == pytest.approx(3)
    assert statistics.std_across_tasks(np.stack([x, x + 1], axis=2)) == pytest.approx(3)
    assert np.isnan(statistics.std_across_tasks(x[:, :1]))


def test_mean_weighs_all_runs_alike():
    x = np.arange(12.0).reshape(2, 3, 2)
    estimate = statistics.mean(x, "d95", "all", 100)
    assert (estimate.value, estimate.n) == (5.5, 12)


def test_curves_are_seeds_by_tasks_by_points_whatever_the_order_of_rows():
    values = np.random.default_rng(0).normal(size=(3, 2, 4))
    shuffled = long_table(values).sample(frac=1, random_state=0)
    curves = statistics.curves(shuffled, "stale", "gipo-1-1", "return")
    np.testing.assert_array_equal(curves.values, values)
    np.testing.assert_array_equal(curves.updates, [0, 10, 20, 30])
    np.testing.assert_array_equal(curves.env_steps, np.broadcast_to([0, 100, 200, 300], (3, 2, 4)))
    assert curves.tasks == ["task0", "task1"]


def test_episodes_are_averaged_first_and_the_window_is_the_last_fifth_of_each_runs_env_steps():
    runs = table(
        ("a", 0, 1, 500, 9.0),
        ("a", 0, 2, 800, 1.0),  # exactly at 80 % of 1000: inside
        ("a", 0, 3, 1000, 2.0),
        ("a", 0, 3, 1000, 4.0),  # a second episode of the same evaluation
        ("a", 1, 1, 500, 9.0),
        ("a", 1, 2, 790, 9.0),
        ("a", 1, 3, 1000, 5.0),
    )
    np.testing.assert_allclose(statistics.curves(runs, "stale", "gipo-1-1", "return").window(), [[(1 + 3) / 2], [5]])


def test_a_nan_episode_makes_its_run_nan_inside_the_window_only():
    values = np.zeros((2, 1, 11))
    values[0, 0, 10] = values[1, 0, 3] = np.nan
    twice = pd.concat([long_table(values), long_table(np.zeros_like(values))])
    np.testing.assert_array_equal(statistics.curves(twice, "stale", "gipo-1-1", "return").window(), [[np.nan], [0]])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a", 0, 1, 1, 0.0)], "method 'sapo' in regime 'stale': no runs"),
        ([("a", 0, 1, 1, 0.0), ("a", 1, 1, 1, 0.0), ("b", 0, 1, 1, 0.0)], "seeds in every task, got a 2, b 1"),
        ([("a", 0, 1, 1, 0.0), ("a", 1, 1, 1, 0.0), ("a", 1, 2, 2, 0.0)], "log 'return' at the same updates"),
    ],
    ids=["no runs", "unequal seeds", "unequal updates"],
)  # fmt: skip
def test_runs_that_do_not_compare_are_an_error(rows: list, message: str):
    method = "sapo" if "sapo" in message else "gipo-1-1"
    with pytest.raises(GipoError, match=message):
        statistics.curves(table(*rows), "stale", method, "return")


def test_a_method_that_lacks_a_task_is_an_error():
    both = pd.concat([table(("a", 0, 1, 1, 0.0), ("b", 0, 1, 1, 0.0)), table(("a", 0, 1, 1, 0.0), method="sapo")])
    with pytest.raises(GipoError, match="'sapo' in regime 'stale': no runs of task 'b'"):
        statistics.curves(both, "stale", "sapo", "return").window()


def test_the_area_under_a_curve_is_its_mean_over_env_steps():
    runs = statistics.curves(
        table(("a", 0, 0, 0, 0.0), ("a", 0, 1, 100, 1.0), ("a", 0, 2, 400, 1.0), ("a", 1, 0, 0, 2.0),
              ("a", 1, 1, 100, 2.0), ("a", 1, 2, 400, 0.0)),
        "stale", "gipo-1-1", "return",
    )  # fmt: skip
    # 50 + 300 of 400 env steps; 200 + 300
    np.testing.assert_allclose(runs.area(), [[350 / 400], [500 / 400]])
    np.testing.assert_array_equal(runs.final(), [[1.0], [0.0]])


def test_a_run_with_one_evaluation_has_its_value_as_area():
    runs = statistics.curves(table(("a", 0, 7, 70, 3.0), ("a", 1, 7, 70, 4.0)), "stale", "gipo-1-1", "return")
    np.testing.assert_array_equal(runs.area(), [[3.0], [4.0]])


@pytest.mark.slow
def test_a_difference_as_large_as_the_detectable_one_is_seen_in_four_studies_of_five():
    """By simulation: normal scores, two methods of 20 seeds whose true means differ by that much."""
    rng, seen, asked = np.random.default_rng(0), [], []
    for _ in range(300):
        one, other = rng.normal(0, 1, (20, 1)), rng.normal(0.9, 1, (20, 1))
        found = statistics.estimate(
            "d", {"a": other, "b": one}, lambda x, y: statistics.mean_of_all(x) - statistics.mean_of_all(y), 400
        )
        seen.append(found.low > 0)
        asked.append(found.detectable)
    assert np.mean(asked) == pytest.approx(2.8 * np.sqrt(2 / 20), rel=0.1)  # 0.89
    assert np.mean(seen) == pytest.approx(0.8, abs=0.08)


@pytest.mark.parametrize(("low", "high"), [(np.nan, np.nan), (0.2, 0.2)])
def test_without_an_interval_of_some_width_nothing_is_said_of_what_could_be_seen(low: float, high: float):
    assert np.isnan(statistics.Estimate(0.2, low, high, 3, "").detectable)


def test_numbers_of_one_run_stay_together_where_that_is_said():
    x = scores(5, 3)
    both = np.stack([x, -x], axis=-1)

    def sums(x: np.ndarray) -> np.ndarray:
        return x.sum(axis=(1, 2, 3))[:, None]

    together, apart = (statistics.estimate("s", {"m": both}, sums, 200, within=within) for within in (1, 0))
    assert together.low == pytest.approx(together.high, abs=1e-12)
    assert apart.high - apart.low > 0.1
