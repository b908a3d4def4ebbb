"""Sigma sensitivity, and the model's choice of sigma beside it."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from gipo import theory
from gipo.analysis.collect import Tables
from gipo.errors import GipoError
from gipo.figures import fig9, style
from gipo.stages import StudyFolder
from pictures import overhang

MANY = ("no-clip", "ppo-clip", "sapo", "gipo-0.25-0.25", "gipo-4-4", "gipo-2-1", "gipo-1-2")


def test_the_table_has_windowed_means_and_the_sigmas_of_every_configuration(results: StudyFolder):
    table = fig9.table(results, resamples=50).set_index(["statistic", "regime", "method"]).sort_index()
    tables = Tables.read(results, "sweeps/sigma")
    run = ["regime", "method", "seed"]
    for statistic, logged in (("d95", tables.metrics), ("score", tables.evaluations)):
        late = logged[logged["env_steps"] >= 0.8 * logged.groupby(run)["env_steps"].transform("max")]
        expected = late.groupby([*run, "update"])[statistic].mean().groupby(["regime", "method"]).mean()
        for cell, value in expected.items():
            assert table.loc[(statistic, *cell), "value"] == pytest.approx(value)
    assert np.isnan(table.loc["ess_eff_old", "fresh"]["value"]).all()
    sigmas = table.loc["score", "stale"][["sigma_pos", "sigma_neg"]]
    assert sigmas.T.to_dict("list") == {
        "gipo-0.5-0.5": [0.5, 0.5],
        "gipo-1-0.5": [1.0, 0.5],
        "gipo-1-1": [1.0, 1.0],
    }


def test_the_model_uses_d95_of_gipo_1_1_and_the_batch(results: StudyFolder):
    table = fig9.table(results, resamples=50).set_index(["statistic", "regime", "method"])
    for regime in ("fresh", "stale"):
        row = table.loc["best_sigma", regime, "gipo-1-1"]
        d95 = table.loc["d95", regime, "gipo-1-1"]["value"]
        assert row["samples"] == 256
        assert row["value"] == theory.best_sigma(d95, 256)
        assert (row["low"], row["high"]) == theory.good_sigmas(d95, 256, 0.1)


def test_the_best_measured_sigma_is_that_of_the_highest_symmetric_score():
    scores = {(0.5, 0.5): 0.3, (1.0, 1.0): 0.6, (1.0, 0.5): 0.9, (2.0, 2.0): np.nan, (np.nan, np.nan): 1.0}
    rows = pd.DataFrame([{"statistic": "score", "sigma_pos": p, "sigma_neg": n, "value": v}
                         for (p, n), v in scores.items()])  # fmt: skip
    assert list(fig9.best_measured(rows)["sigma_pos"]) == [1.0]
    assert fig9.best_measured(rows[rows["value"].isna()]).empty


def test_the_caption_tells_honestly_what_the_model_says(results: StudyFolder):
    table = fig9.table(results, resamples=50)
    words = fig9.caption(table)
    for part in ("handle-press-v3, 1 task x 2 seeds", "ours and not the paper's [R]", "N = 256 samples", "95 %, perc"):
        assert part in words
    best = fig9.best_measured(table[table["regime"] == "stale"])["sigma_pos"].iloc[0]
    low = table[(table["statistic"] == "best_sigma") & (table["regime"] == "stale")]["low"].iloc[0]
    assert best < low  # so says the model of these made-up runs
    assert f"hence σ 4.2, band from {low:.2g} up; the best measured σ, {best:g}, lies outside it" in words
    assert "NaN" not in words


@pytest.mark.parametrize(
    ("task", "grid"),
    [
        ("handle-press-v3", {"methods": ["ppo-clip", "gipo-1-1"], "seeds": 1}),
        ("door-open-v3", {"methods": MANY, "seeds": 2, "tasks": ["door-open-v3"]}),
    ],
    ids=["one seed", "many methods on another task"],
)
def test_any_sweep_can_be_drawn(task: str, grid: dict, sweep_of: Callable[..., StudyFolder]):
    style.apply()
    table = fig9.table(sweep_of("sigma", **grid), resamples=20)
    assert overhang(fig9.draw(table)) < 0.01
    assert set(table["task"]) == {task}
    assert fig9.caption(table)


def test_a_sweep_without_gipo_is_an_error(sweep_of: Callable[..., StudyFolder]):
    with pytest.raises(GipoError, match="no GIPO run"):
        fig9.table(sweep_of("sigma", methods=["sapo"], seeds=1), resamples=20)
