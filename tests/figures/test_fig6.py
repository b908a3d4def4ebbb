from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from gipo.analysis.collect import Tables
from gipo.figures import fig6, style
from gipo.stages import StudyFolder
from pictures import overhang

SHARES = ("dead", "suppressed", "near_zero", "near_zero_old")


@pytest.fixture(scope="module")
def table(results: StudyFolder) -> pd.DataFrame:
    return fig6.table(results, resamples=20)


def windows(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["panel"] == "window"].set_index(["statistic", "method"])


def test_windowed_shares_are_those_of_the_last_fifth_of_door_open_stale(table: pd.DataFrame, results: StudyFolder):
    metrics = Tables.read(results).metrics
    runs = metrics[(metrics["task"] == "door-open-v3") & (metrics["regime"] == "stale")]
    late = runs[runs["env_steps"] >= 0.8 * runs.groupby("run_id")["env_steps"].transform("max")]
    expected = late.groupby(["method", "seed"])[list(SHARES)].mean().groupby("method").mean()
    for name in SHARES:
        for method in ("no-clip", "ppo-clip", "sapo", "gipo-1-1"):
            assert windows(table).loc[(name, method), "value"] == pytest.approx(expected.loc[method, name])
    assert set(table["task"]) == {"door-open-v3"}
    assert set(table["seeds"]) == {3}


def test_authors_values_stand_at_near_zero_of_old_alone(table: pd.DataFrame):
    paper = windows(table)["paper"].dropna()
    expected = {"ppo-clip": 0.118, "sapo": 0.002, "gipo-1-1": 0.001}
    assert paper.to_dict() == {("near_zero_old", method): value for method, value in expected.items()}


def test_curves_are_means_over_stretches(table: pd.DataFrame, results: StudyFolder):
    metrics = Tables.read(results).metrics
    metrics = metrics[(metrics["task"] == "door-open-v3") & (metrics["regime"] == "stale")]
    sapo = metrics[metrics["method"] == "sapo"]  # 100 logged points of 5000 updates, so two a stretch
    rows = table[(table["panel"] == "curve") & (table["method"] == "sapo") & (table["statistic"] == "near_zero")]
    np.testing.assert_allclose(rows["value"], sapo.groupby((sapo["update"] - 1) // 100)["near_zero"].mean())
    np.testing.assert_allclose(rows["progress"], np.arange(75, 5000, 100) / 5000)


def test_zero_and_the_largest_share_are_on_the_axis(results_of: Callable[..., StudyFolder]):
    sources = results_of(tasks=["door-open-v3"], regimes=["stale"], methods=["ppo-clip", "gipo-1-1"], seeds=2)
    tables = Tables.read(sources)
    ppo = tables.metrics["method"] == "ppo-clip"
    for name in ("dead", "suppressed", "near_zero", "near_zero_old"):
        tables.metrics[name] = np.where(ppo, 0.5, 0.0)
    tables.write(sources, "tables", {})
    table = fig6.table(sources, resamples=20)
    assert windows(table).loc[("dead", "gipo-1-1"), ["value", "low", "high"]].tolist() == [0, 0, 0]
    figure = fig6.draw(table)
    figure.canvas.draw()
    for ax in figure.axes[:4]:
        low, high = ax.get_xlim()
        assert low < 0 < 0.5 < high
        assert "0" in [label.get_text() for label in ax.get_xticklabels()]
        zero, small, half = ax.transData.transform([(0, 0), (0.001, 0), (0.5, 0)])[:, 0]
        assert half > small > zero


def test_without_door_open_and_stale_the_first_task_and_regime_stand_in(results_of: Callable[..., StudyFolder]):
    style.apply()
    sources = results_of(tasks=["push-v3", "reach-v3"], regimes=["fresh"], methods=["ppo-clip", "gipo-1-1"], seeds=1)
    table = fig6.table(sources, resamples=20)
    assert (set(table["task"]), set(table["regime"])) == ({"push-v3"}, {"fresh"})
    assert table["paper"].isna().all()
    assert windows(table).loc["near_zero_old", "value"].isna().all()  # fresh data are never old
    figure = fig6.draw(table)
    assert overhang(figure) < 0.01
    assert [text.get_text() for text in figure.axes[3].texts] == ["no old samples"]
    caption = fig6.caption(table)
    assert "push-v3 in regime fresh, 1 task x 1 seed per method" in caption
    assert "no old samples in a batch" in caption
    assert "[C]" not in caption


def test_caption_carries_n_interval_and_source(table: pd.DataFrame):
    caption = fig6.caption(table)
    for part in ("door-open-v3 in regime stale, 1 task x 3 seeds", "95 %, percentile", "one run each [C]", "[R]"):
        assert part in caption
