from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from gipo.analysis.collect import Tables
from gipo.figures import fig7, style
from gipo.stages import StudyFolder
from pictures import overhang


@pytest.fixture(scope="module")
def table(results: StudyFolder) -> pd.DataFrame:
    return fig7.table(results, resamples=20)


def late(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the last fifth of the env steps of the stale door-open runs."""
    rows = table[(table["task"] == "door-open-v3") & (table["regime"] == "stale")]
    return rows[rows["env_steps"] >= 0.8 * rows.groupby("run_id")["env_steps"].transform("max")]


def test_every_run_is_a_point_of_its_windowed_values(table: pd.DataFrame, results: StudyFolder):
    tables, run = Tables.read(results), ["method", "seed"]
    rows = table[table["panel"] == "run"].set_index(run).sort_index()
    assert len(rows) == 4 * 3
    metrics = late(tables.metrics).groupby(run)[["kl", "ess_eff_old"]].mean()
    episodes = late(tables.evaluations).groupby([*run, "update"])["return"].mean().groupby(run).mean()
    np.testing.assert_allclose(rows["kl"], metrics["kl"])
    np.testing.assert_allclose(rows["ess_eff_old"], metrics["ess_eff_old"])
    np.testing.assert_allclose(rows["return"], episodes)


def test_methods_have_the_mean_of_their_runs_and_the_authors_value(results_of: Callable[..., StudyFolder]):
    sources = results_of(tasks=["door-open-v3"], regimes=["stale"], methods=["no-clip", "sapo"], seeds=3)
    tables = Tables.read(sources)
    tables.metrics["ess_eff_old"] = tables.metrics["seed"].map({0: 0.2, 1: 0.3, 2: 0.7})
    tables.write(sources, "tables", {})
    rows = fig7.table(sources, resamples=200).query("panel == 'method'").set_index("method")
    assert rows.loc["sapo", ["value", "paper", "source"]].tolist() == [pytest.approx(0.4), 0.830, "[C], one run"]
    assert 0.2 <= rows.loc["sapo", "low"] < 0.4 < rows.loc["sapo", "high"] <= 0.7
    assert np.isnan(rows.loc["no-clip", "paper"])


def test_points_are_coloured_by_return_on_one_scale(table: pd.DataFrame):
    figure = fig7.draw(table)
    clouds = figure.axes[0].collections
    runs = table[table["panel"] == "run"]
    assert sum(len(cloud.get_offsets()) for cloud in clouds) == len(runs)
    assert {cloud.get_clim() for cloud in clouds} == {(runs["return"].min(), runs["return"].max())}


def test_runs_without_old_samples_are_left_out_and_counted(results_of: Callable[..., StudyFolder]):
    sources = results_of(tasks=["door-open-v3"], regimes=["stale"], methods=["sapo", "gipo-1-1"], seeds=2)
    tables = Tables.read(sources)
    one = (tables.metrics["method"] == "sapo") & (tables.metrics["seed"] == 1)
    tables.metrics.loc[one, "ess_eff_old"] = np.nan
    tables.write(sources, "tables", {})
    table = fig7.table(sources, resamples=20)
    assert sum(len(cloud.get_offsets()) for cloud in fig7.draw(table).axes[0].collections) == 3
    assert "1 of 4 runs had no old samples and are not shown" in fig7.caption(table)


def test_kl_may_be_negative(results_of: Callable[..., StudyFolder]):
    """It is estimated from a batch; then its axis is linear."""
    sources = results_of(tasks=["door-open-v3"], regimes=["stale"], methods=["sapo"], seeds=2)
    tables = Tables.read(sources)
    tables.metrics["kl"] = tables.metrics["seed"].map({0: -0.01, 1: 0.2})
    tables.write(sources, "tables", {})
    ax = fig7.draw(fig7.table(sources, resamples=20)).axes[0]
    assert ax.get_ylim()[0] < -0.01 < 0.2 < ax.get_ylim()[1]


def test_without_door_open_and_stale_the_first_task_and_regime_stand_in(results_of: Callable[..., StudyFolder]):
    style.apply()
    sources = results_of(tasks=["push-v3"], regimes=["fresh"], methods=["ppo-clip", "gipo-1-1"], seeds=1)
    table = fig7.table(sources, resamples=20)
    figure = fig7.draw(table)
    assert overhang(figure) < 0.01
    assert [text.get_text() for text in figure.axes[0].texts] == ["no old samples"]
    caption = fig7.caption(table)
    assert "push-v3 in regime fresh, 1 task x 1 seed per method" in caption
    assert "2 of 2 runs" in caption
    assert "[C]" not in caption


def test_caption_carries_n_interval_and_source(table: pd.DataFrame):
    caption = fig7.caption(table)
    for part in ("door-open-v3 in regime stale, 1 task x 3 seeds", "95 %, percentile", "one run each [C]", "[R]"):
        assert part in caption
