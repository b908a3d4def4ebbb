"""Levels and differences in five measures, against plain pandas."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.stats import trim_mean

from gipo.analysis.cells import Cell
from gipo.analysis.collect import Tables
from gipo.analysis.measures import Difference
from gipo.analysis.results import Results
from gipo.figures import effects, iqm, style, success
from gipo.stages import StudyFolder
from pictures import overhang


@pytest.fixture(scope="module")
def table(results: StudyFolder) -> pd.DataFrame:
    return effects.table(results, resamples=50)


def per_run(study: StudyFolder, column: str) -> pd.DataFrame:
    """Mean over the episodes of every evaluation: (regime, method, task, seed) by env steps of the evaluation."""
    rows = Tables.read(study).evaluations
    return rows.groupby(["regime", "method", "task", "seed", "env_steps"])[column].mean().reset_index()


def test_levels_are_those_of_the_curves(table: pd.DataFrame, results: StudyFolder) -> None:
    levels = table[table["panel"] == "level"].set_index(["regime", "view", "method"])["value"]
    rows = per_run(results, "score")
    for method in ("ppo-clip", "gipo-1-1"):
        runs = [
            run for _, run in rows[(rows["regime"] == "stale") & (rows["method"] == method)].groupby(["task", "seed"])
        ]
        scores = [run["score"].clip(upper=1) for run in runs]
        assert levels["stale", "final", method] == pytest.approx(trim_mean([score.iloc[-1] for score in scores], 0.25))
        areas = [np.trapezoid(s, r["env_steps"]) / np.ptp(r["env_steps"]) for s, r in zip(scores, runs, strict=True)]
        assert levels["stale", "area", method] == pytest.approx(trim_mean(areas, 0.25))
    rates = per_run(results, "success_any").query("regime == 'fresh' and method == 'sapo'")
    late = rates["env_steps"] >= 0.8 * rates["env_steps"].max()
    assert levels["fresh", "success", "sapo"] == pytest.approx(rates[late]["success_any"].mean())


def test_the_difference_of_scores_is_that_of_the_scorecard(table: pd.DataFrame, results: StudyFolder) -> None:
    gipo = {"name": "gipo", "parameters": {"sigma_pos": 1, "sigma_neg": 1}}
    cells = [Cell(quantity="score", method=method, regime="stale") for method in (gipo, {"name": "ppo_clip"})]
    found = Difference(name="difference", of=cells[0], minus=cells[1]).estimate(
        Results(Tables.read(results), pd.DataFrame(), pd.DataFrame(), pd.DataFrame(), resamples=50)
    )
    here = table.query("panel == 'difference' and regime == 'stale' and view == 'window' and rival == 'ppo-clip'")
    assert tuple(here[["value", "low", "high", "detectable"]].iloc[0]) == pytest.approx(
        (found.value, found.low, found.high, found.detectable)
    )
    assert here["paper"].iloc[0] == pytest.approx(0.55)


def test_the_papers_values_stand_beside_both_normalisations_and_nowhere_else(table: pd.DataFrame) -> None:
    published = table[table["paper"].notna()]
    assert set(published["view"]) == {"window", "min-max"}
    assert set(published["regime"]) == {"stale"}
    assert sorted(published["paper"].unique()) == pytest.approx([0.18, 0.55, 0.73])


def test_success_stands_beside_the_scores_of_metaworld(results: StudyFolder) -> None:
    rows = iqm.table(results, resamples=20).query("panel == 'success'")
    table = success.table(results, resamples=20)
    overall = table[(table["task"] == success.ALL) & (table["kind"] == "measured")]
    merged = rows.merge(overall, on=["regime", "method"])
    assert len(merged) == 2 * 4
    np.testing.assert_allclose(merged["value_x"], merged["value_y"])
    assert (overall["at_end"] <= overall["value"]).all()
    assert set(table["kind"]) == {"start", "measured"}
    assert "LIBERO" not in success.caption(table)


@pytest.mark.parametrize("grid", [{"methods": ["sapo"], "seeds": 1}, {"tasks": ["push-v3"]}, {"regimes": ["fresh"]}])
def test_other_studies_can_be_drawn_with_nothing_cut_off(grid: dict, results_of: Callable[..., StudyFolder]) -> None:
    style.apply()
    study = results_of(**grid)
    for module in (effects, success, iqm):
        table = module.table(study, resamples=20)
        assert overhang(module.draw(table)) < 0.01
        assert module.caption(table)
