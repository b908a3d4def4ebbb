"""The numbers behind the figures, against plain pandas."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.stats import trim_mean

from factories import EXPERT_RETURN, RANDOM_RETURN
from gipo.analysis.collect import Tables
from gipo.errors import GipoError
from gipo.figures import fig2, iqm, table1
from gipo.stages import StudyFolder
from windows import windowed


def test_fig2_has_the_mean_over_seeds_at_every_evaluation(results: StudyFolder):
    table = fig2.table(results, resamples=20)
    cell = ["task", "regime", "method", "update"]
    evaluations = Tables.read(results).evaluations
    expected = evaluations.groupby([*cell, "seed"])["return"].mean().groupby(cell).mean()
    pd.testing.assert_series_equal(table.set_index(cell)["mean_return"].sort_index(), expected, check_names=False)
    assert (table["low"] <= table["mean_return"]).all()
    assert (table["mean_return"] <= table["high"]).all()
    np.testing.assert_allclose(table["random"], RANDOM_RETURN)
    np.testing.assert_allclose(table["expert"], EXPERT_RETURN)


def test_table1_averages_runs_then_tasks_and_spreads_over_tasks(results: StudyFolder):
    table = table1.table(results, resamples=50).set_index(["statistic", "regime", "method"])
    metrics = Tables.read(results).metrics
    for statistic in ("old_frac", "gap_mean", "d95"):
        by_task = windowed(metrics, statistic).groupby(["regime", "task"]).mean()
        for regime in ("fresh", "stale"):
            row = table.loc[statistic, regime, "all"]
            assert row["value"] == pytest.approx(by_task[regime].mean())
            assert row["std_across_tasks"] == pytest.approx(by_task[regime].std(), abs=1e-12)
    sapo = windowed(metrics, "d95")["stale", "sapo"]
    assert table.loc["d95", "stale", "sapo"]["value"] == pytest.approx(sapo.groupby("task").mean().mean())
    share = table.loc["gap_share", "stale", "all"]["value"]
    assert share == pytest.approx(table.loc["gap_mean", "stale", "all"]["value"] / 5000)


def test_table1_wants_the_same_seeds_for_every_method(results_of: Callable[..., StudyFolder]):
    results = results_of(tasks=["door-open-v3"], methods=["sapo", "gipo-1-1"], seeds=2, drop="sapo/seed1")
    with pytest.raises(GipoError, match="same number of seeds for every method, got sapo 1, gipo-1-1 2"):
        table1.table(results, resamples=20)


def test_iqm_panels_hold_the_estimates_of_the_windowed_scores(results: StudyFolder):
    table = iqm.table(results, resamples=20).set_index(["panel", "regime", "method"]).sort_index()
    scores = windowed(Tables.read(results).evaluations, "score")
    for regime in ("fresh", "stale"):
        for method in ("ppo-clip", "gipo-1-1"):
            values = scores[regime, method].to_numpy()
            row = table.loc["iqm", regime, method].iloc[0]
            assert row["value"] == pytest.approx(trim_mean(values, 0.25))
            assert (row["n"], row["tasks"], row["seeds"]) == (6, 2, 3)
            profile = table.loc["profile", regime, method]
            np.testing.assert_allclose(profile["value"], [(values > tau).mean() for tau in profile["x"]])
            assert profile["value"].iloc[-1] == 0
            assert table.loc["efficiency", regime, method]["x"].is_monotonic_increasing


def test_every_other_method_is_compared_with_the_named_gipo(results_of: Callable[..., StudyFolder]):
    methods = ["sapo", "gipo-0.5-0.5", "gipo-1-1"]
    rows = iqm.table(results_of(methods=methods, regimes=["stale"], seeds=2), resamples=20)
    improvement = rows[rows["panel"] == "improvement"]
    assert list(improvement["rival"]) == ["sapo", "gipo-0.5-0.5"]
    assert set(improvement["method"]) == {"gipo-1-1"}


def test_without_the_named_gipo_the_first_in_order_stands_for_it(results_of: Callable[..., StudyFolder]):
    methods = ["gipo-2-2", "sapo", "gipo-0.5-0.5"]
    rows = iqm.table(results_of(methods=methods, regimes=["stale"], seeds=2), resamples=20)
    assert set(rows.loc[rows["panel"] == "improvement", "method"]) == {"gipo-0.5-0.5"}


def test_estimates_of_a_method_do_not_depend_on_the_others(
    results: StudyFolder, results_of: Callable[..., StudyFolder]
):
    fewer = results_of(methods=["gipo-1-1"])
    columns = ["value", "low", "high"]
    for module, keys in ((fig2, {}), (table1, {"statistic": "d95"}), (iqm, {"panel": "iqm"})):
        many, few = (module.table(r, resamples=50) for r in (results, fewer))
        names = ["mean_return", "low", "high"] if module is fig2 else columns
        picked = [t[(t[["method", *keys]] == ["gipo-1-1", *keys.values()]).all(axis=1)][names] for t in (many, few)]
        pd.testing.assert_frame_equal(*(frame.reset_index(drop=True) for frame in picked))
        assert len(picked[0])
