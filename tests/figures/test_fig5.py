from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from factories import LIFETIMES
from gipo.analysis.collect import Tables
from gipo.errors import GipoError
from gipo.figures import fig5, style
from gipo.stages import StudyFolder
from pictures import overhang


@pytest.fixture(scope="module")
def table(results: StudyFolder) -> pd.DataFrame:
    return fig5.table(results, resamples=20)


def one(table: pd.DataFrame, statistic: str, regime: str, method: str = "all") -> pd.DataFrame:
    keys = [statistic, regime, method]
    return table[(table[["statistic", "regime", "method"]] == keys).all(axis=1)]


def test_curves_are_means_over_runs_and_stretches(table: pd.DataFrame, results: StudyFolder):
    metrics = Tables.read(results).metrics  # 100 logged points of 5000 updates, so two a stretch
    metrics["stretch"] = (metrics["update"] - 1) // 100
    stale = metrics[metrics["regime"] == "stale"]
    d95 = one(table, "d95", "stale", "sapo")
    expected = stale[stale["method"] == "sapo"].groupby("stretch")["d95"].mean()
    np.testing.assert_allclose(d95["value"], expected)
    gaps = one(table, "gap_share", "stale")
    np.testing.assert_allclose(gaps["value"], stale.groupby("stretch")["gap_mean"].mean() / 5000)
    np.testing.assert_allclose(gaps["progress"], np.arange(75, 5000, 100) / 5000)
    np.testing.assert_allclose(gaps["update"], np.arange(75, 5000, 100))


def test_levels_follow_from_the_lifetime_of_the_replay(table: pd.DataFrame):
    """Gaps are uniform on [0, L] once the replay is full: facts, section 4."""
    for regime, lifetime in ((regime, LIFETIMES[regime]) for regime in ("fresh", "stale")):
        end = {name: one(table, name, regime)["value"].iloc[-1] for name in fig5.SHARED}
        assert end["gap_share"] == pytest.approx(lifetime / 2, rel=1e-3)
        assert end["gap_q95_share"] == pytest.approx(0.95 * lifetime, rel=1e-3)
        assert end["old_frac"] == pytest.approx(max(0, 1 - 0.1 / lifetime), abs=1e-3)
    assert set(one(table, "old_frac", "stale")["paper"]) == {0.884}
    assert set(one(table, "d95", "fresh", "sapo")["paper"]) == {0.095}


def test_the_interval_surrounds_the_mean_of_all_tasks(table: pd.DataFrame):
    rows = one(table, "d95", "stale", "sapo")
    assert (rows["low"] <= rows["value"]).all()
    assert (rows["value"] <= rows["high"]).all()
    assert (rows["low"] < rows["high"]).mean() > 0.8  # early on, made-up D0.95 are all the same
    assert set(rows["tasks"]) == {2}


def test_a_method_that_lacks_a_seed_is_named(results_of: Callable[..., StudyFolder]):
    sources = results_of(tasks=["door-open-v3"], methods=["sapo", "gipo-1-1"], seeds=2, drop="stale/sapo/seed1")
    with pytest.raises(GipoError, match="'stale': expected the same seeds and points of every method, got sapo 1, gi"):
        fig5.table(sources, resamples=20)


def test_the_paper_has_a_diamond_in_every_panel(table: pd.DataFrame):
    axes = fig5.draw(table).axes
    levels = [line.get_ydata()[0] for ax in axes for line in ax.lines if line.get_marker() == style.PAPER["marker"]]
    assert levels == [0.04273, 0.43677, 0.0, 0.884, 0.095, 1.46]


def test_caption_carries_n_interval_and_sources(table: pd.DataFrame):
    caption = fig5.caption(table)
    for part in ("2 tasks x 3 seeds per method", "95 %, percentile", "20 resamples", "Table 1 [P]", "logs [C]"):
        assert part in caption


def test_one_seed_of_one_regime_draws(results_of: Callable[..., StudyFolder]):
    style.apply()
    sources = results_of(tasks=["push-v3"], regimes=["stale"], methods=["ppo-clip"], seeds=1)
    table = fig5.table(sources, resamples=20)
    assert table["low"].isna().all()
    assert overhang(fig5.draw(table)) < 0.01
    assert "a single seed, so no interval" in fig5.caption(table)
