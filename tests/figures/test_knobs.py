"""An objective with several settings: which is the middle one, and what the others change."""

from collections.abc import Callable

import pytest
from scipy.stats import trim_mean

from gipo.analysis.collect import Tables
from gipo.figures import knobs, style
from gipo.stages import StudyFolder
from pictures import overhang
from windows import windowed

METHODS = ["no-clip", "gipo-2-2", "gipo-0.5-0.5", "gipo-1-1"]
GRID = {"tasks": ["handle-press-v3"], "regimes": ["stale"], "methods": METHODS, "seeds": 4}


@pytest.fixture
def folder(sweep_of: Callable[..., StudyFolder]) -> StudyFolder:
    return sweep_of("knobs", **GRID)


def test_settings_are_those_of_the_runs_from_low_to_high(folder: StudyFolder):
    scores = knobs.table(folder, resamples=50).query("statistic == 'score'")
    gipo = scores[scores["objective"] == "gipo-1-1"]
    assert gipo["method"].tolist() == ["gipo-0.5-0.5", "gipo-1-1", "gipo-2-2"]
    assert gipo["place"].tolist() == [-1, 0, 1]
    assert gipo["setting"].tolist() == [f"sigma_neg {sigma}, sigma_pos {sigma}" for sigma in ("0.5", "1", "2")]
    alone = scores[scores["objective"] == "no-clip"]
    assert (alone["place"].tolist(), alone["setting"].tolist()) == ([0], [""])


def test_changes_are_differences_to_the_middle_setting(folder: StudyFolder):
    table = knobs.table(folder, resamples=50).set_index(["statistic", "method"])
    evaluations = Tables.read(folder, "sweeps/knobs").evaluations
    score = windowed(evaluations, "score")
    solved = windowed(evaluations.astype({"success_any": float}), "success_any")
    for method in METHODS:
        assert table.loc[("score", method), "value"] == pytest.approx(trim_mean(score["stale", method], 0.25))
        assert table.loc[("success", method), "value"] == pytest.approx(solved["stale", method].mean())
    middle = table.loc[("score", "gipo-1-1"), "value"]
    for method in ("gipo-0.5-0.5", "gipo-2-2"):
        change = table.loc[("change", method)]
        assert change["value"] == pytest.approx(table.loc[("score", method), "value"] - middle)
        assert change["low"] <= change["value"] <= change["high"]
    assert set(table.loc["change"].index) == {"gipo-0.5-0.5", "gipo-2-2"}


@pytest.mark.parametrize("seeds", [1, 4])
@pytest.mark.parametrize("regimes", [["stale"], ["fresh", "stale"]], ids=["one regime", "two"])
@pytest.mark.parametrize("methods", [METHODS, ["sapo"]], ids=["several", "a single setting"])
def test_nothing_is_cut_off(methods: list[str], regimes: list[str], seeds: int, sweep_of: Callable[..., StudyFolder]):
    style.apply()
    grid = GRID | {"methods": methods, "regimes": regimes, "seeds": seeds}
    table = knobs.table(sweep_of("knobs", **grid), resamples=20)
    assert overhang(knobs.draw(table)) < 0.01
    assert "handle-press-v3" in knobs.caption(table)


def test_the_caption_names_what_can_be_told(folder: StudyFolder):
    table = knobs.table(folder, resamples=20)
    changes = table["statistic"] == "change"
    table.loc[changes, ["value", "low", "high"]] = (0.2, -0.1, 0.5)
    assert "None of 2 changes can be told from none" in knobs.caption(table)
    table.loc[changes & (table["method"] == "gipo-2-2"), "low"] = 0.1
    assert "of 2: GIPO (1, 1), sigma_neg 2, sigma_pos 2: 0.200 [0.100, 0.500]" in knobs.caption(table)
