"""What a world model adds, and what it gets wrong, from made-up runs whose answers are known."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.stats import trim_mean

from gipo import figures
from gipo.analysis.collect import Tables
from gipo.analysis.measures import StepsToSame
from gipo.analysis.results import Results
from gipo.errors import GipoError
from gipo.figures import imagination, world_model
from gipo.stages import StudyFolder
from pictures import overhang
from windows import windowed

REGIMES = ["fresh", "fresh-imagined-5", "stale", "stale-imagined-1", "stale-imagined-5", "stale-imagined-5-success"]
METHODS = ["ppo-clip", "gipo-1-1"]
GRID = {"tasks": ["handle-press-v3"], "regimes": REGIMES, "methods": METHODS, "seeds": 3}


@pytest.fixture
def folder(results_of: Callable[..., StudyFolder]) -> StudyFolder:
    return results_of(**GRID)


def test_a_study_with_world_models_has_both_figures_and_others_have_none():
    assert set(figures.of_study("metaworld", (), imagines=True)) - set(figures.of_study("metaworld", ())) == {
        "imagination",
        "world_model",
    }


def test_each_regime_is_compared_with_the_one_of_its_lifetime(folder: StudyFolder):
    found = imagination.pairs(Tables.read(folder).runs)
    assert [(pair.regime, pair.free, pair.ratio, pair.reward) for pair in found] == [
        ("fresh-imagined-5", "fresh", 5, "environment"),
        ("stale-imagined-1", "stale", 1, "environment"),
        ("stale-imagined-5", "stale", 5, "environment"),
        ("stale-imagined-5-success", "stale", 5, "success"),
    ]


def test_a_run_without_any_model_comes_before_one_that_only_measures_it(results_of: Callable[..., StudyFolder]):
    for free in (["stale-imagined-0", "stale"], ["stale", "stale-imagined-0"]):
        folder = results_of(**GRID | {"regimes": [*free, "stale-imagined-5"]})
        found = imagination.pairs(Tables.read(folder).runs)
        assert [(pair.regime, pair.free) for pair in found] == [("stale-imagined-5", "stale")]


def test_more_kinds_than_lines_are_refused(results_of: Callable[..., StudyFolder]):
    regimes = ["stale", *(f"stale-imagined-{ratio}" for ratio in range(1, 7))]
    with pytest.raises(GipoError, match="more than 5 kinds of imagined transitions"):
        imagination.table(results_of(**GRID | {"regimes": regimes, "methods": ["gipo-1-1"]}), resamples=20)


def test_a_regime_without_a_model_free_one_is_named(results_of: Callable[..., StudyFolder]):
    folder = results_of(**GRID | {"regimes": ["fresh", "stale-imagined-5"]})
    with pytest.raises(GipoError, match=r"'stale-imagined-5'.*no regime without them has its replay lifetime, 0\.874"):
        imagination.table(folder, resamples=20)


def test_the_gain_is_the_difference_of_the_last_scores(folder: StudyFolder):
    table = imagination.table(folder, resamples=50).set_index(["statistic", "regime", "method"]).sort_index()
    score = windowed(Tables.read(folder).evaluations, "score")
    for regime, free in (("fresh-imagined-5", "fresh"), ("stale-imagined-1", "stale"), ("stale-imagined-5", "stale")):
        for method in METHODS:
            with_, without = (trim_mean(score[name, method], 0.25) for name in (regime, free))
            assert table.loc[("score gain", regime, method), "value"].item() == pytest.approx(with_ - without)
            assert table.loc[("score", regime, method), "value"].item() == pytest.approx(with_)


def test_the_saved_env_steps_are_those_of_the_claim(folder: StudyFolder):
    """The claims measure it anew from the same tables: estimate and interval agree to the bit."""
    table = imagination.table(folder, resamples=50).set_index(["statistic", "regime", "method"]).sort_index()
    nothing = pd.DataFrame()
    results = Results(Tables.read(folder), nothing, nothing, nothing, resamples=50)
    gipo = {"name": "gipo", "parameters": {"sigma_pos": 1, "sigma_neg": 1}}
    of, over = ({"quantity": "success", "method": gipo, "regime": name} for name in ("stale", "stale-imagined-5"))
    claimed = StepsToSame(name="steps_to_same", of=of, over=over).estimate(results)
    row = table.loc[("success steps", "stale-imagined-5", "gipo-1-1")].iloc[0]
    assert (row["value"], row["low"], row["high"]) == (claimed.value, claimed.low, claimed.high)


def test_errors_and_calibration_are_those_that_were_made_up(folder: StudyFolder):
    """An error of a tenth of the step, rewards all foretold, every second of the successes from step 9 on refused."""
    table = world_model.table(folder, resamples=50)
    for regime in ("fresh-imagined-5", "stale-imagined-1", "stale-imagined-5"):
        own = table[table["regime"] == regime].set_index("statistic")
        for statistic, share in (("error", 0.1), ("still", 0.3)):
            np.testing.assert_allclose(own.loc[statistic, "value"], share * np.arange(1, 17))
        np.testing.assert_allclose(own.loc["reward", "value"], own.loc["reward", "foretold"])
        assert own.loc["success", "foretold"].tolist() == [0.25, 0.75]
        assert own.loc["success", "value"].tolist() == [0, 0.5]
        assert own.loc["refused", "value"] == 0.5
        assert own.loc["missed", "value"] == 0
        assert own.loc["error", "n"].unique().tolist() == [6]
        assert sorted(own.loc["reward real", "branch"].unique()) == [0, 1, 2]


@pytest.mark.parametrize("module", [imagination, world_model])
def test_pictures_have_nothing_cut_off(module, folder: StudyFolder):
    table = module.table(folder, resamples=20)
    assert overhang(module.draw(table)) < 0.01
    assert "handle-press-v3" in module.caption(table)


def test_each_kind_of_imagination_has_a_line_of_its_own(folder: StudyFolder):
    figure = imagination.draw(imagination.table(folder, resamples=20))
    stale = next(ax for ax in figure.axes if "stale data" in (ax.get_title(), ax.get_title("left")))
    assert len({(line.get_color(), line.get_linestyle()) for line in stale.lines}) == 2 * 4
    drawn = {tuple(line.get_ydata()) for line in stale.lines if len(line.get_ydata())}
    assert len(drawn) == 2 * 4
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words[-2:] == ["5 imagined to 1 real", "5 imagined to 1 real, rewarded by success"]


def test_figures_of_the_paper_show_the_model_free_regimes(folder: StudyFolder):
    for name in ("fig2", "fig5", "success", "iqm", "effects", "table1"):
        table = figures.module(name).table(folder, resamples=20)
        assert set(table["regime"].dropna()) - {""} == {"fresh", "stale"}
