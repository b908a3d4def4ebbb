"""Stale data weighted, discarded or waited out."""

from pathlib import Path

import pytest
from scipy.stats import trim_mean

from factories import write_baseline, write_run
from gipo.analysis.collect import Tables, collect
from gipo.figures import pace, style
from gipo.stages import StudyFolder
from pictures import overhang
from windows import windowed

TASK = "handle-press-v3"


def study(folder: Path, regimes: list[str], methods: list[str], seeds: int = 4) -> StudyFolder:
    runs = [
        write_run(folder / "runs", TASK, regime, method, seed)
        for regime in regimes
        for method in methods
        for seed in range(seeds)
    ]
    made = StudyFolder(folder / "made")
    collect(runs, [write_baseline(folder / "baselines", TASK)], made, "sweeps/pace")
    return made


def test_ways_are_those_of_the_runs_and_differ_from_all_data_and_updates(tmp_path: Path):
    made = study(tmp_path, ["lag-0.2", "lag-0.8"], ["ppo-clip", "ppo-clip-half", "gipo-1-1", "gipo-1-1-half"])
    table = pace.table(made, resamples=50)
    tables = Tables.read(made, "sweeps/pace")
    named = {name.partition(": ")[0]: name for name in tables.runs["method"]}
    score, tail = windowed(tables.evaluations, "score"), windowed(tables.metrics, "d95")
    solved = windowed(tables.evaluations.astype({"success_any": float}), "success_any")
    cells = table.set_index(["statistic", "objective", "newest", "pace"])["value"]
    for objective in ("ppo-clip", "gipo-1-1"):
        for regime, newest in (("lag-0.8", 1.0), ("lag-0.2", 0.25)):
            for label, share in ((objective, 1.0), (f"{objective}-half", 0.5)):
                where, runs = (objective, pytest.approx(newest), share), (regime, named[label])
                found = {name[0]: value for name, value in cells.items() if name[1:] == where}
                expected = trim_mean(score[runs], 0.25)
                assert found["score"] == pytest.approx(expected)
                assert found["success"] == pytest.approx(solved[runs].mean())
                assert found["d95"] == pytest.approx(tail[runs].mean())
                all_of_it = trim_mean(score["lag-0.8", named[objective]], 0.25)
                assert found.get("change", 0.0) == pytest.approx(expected - all_of_it)
    assert len(table[table["statistic"] == "change"]) == 2 * 3


def test_env_steps_are_equal_whatever_the_number_of_updates(tmp_path: Path):
    table = pace.table(study(tmp_path, ["lag-0.8"], ["gipo-1-1", "gipo-1-1-half"]), resamples=20)
    assert dict(table.groupby("updates")["env_steps"].nunique()) == {2500: 1, 5000: 1}
    assert table["env_steps"].max() - table["env_steps"].min() <= 1


@pytest.mark.parametrize("seeds", [1, 4])
@pytest.mark.parametrize("methods", [["gipo-1-1"], ["sapo", "sapo-half", "gipo-1-1", "gipo-1-1-half"]], ids=len)
def test_nothing_is_cut_off(methods: list[str], seeds: int, tmp_path: Path):
    style.apply()
    table = pace.table(study(tmp_path, ["lag-0.2", "lag-0.8"], methods, seeds), resamples=20)
    assert overhang(pace.draw(table)) < 0.01
    assert TASK in pace.caption(table)


def test_the_caption_names_what_can_be_told(tmp_path: Path):
    table = pace.table(study(tmp_path, ["lag-0.2", "lag-0.8"], ["gipo-1-1", "gipo-1-1-half"]), resamples=20)
    changes = table["statistic"] == "change"
    table.loc[changes, ["value", "low", "high"]] = (0.2, -0.1, 0.5)
    assert "None of 3 changes can be told from none" in pace.caption(table)
    table.loc[changes & (table["pace"] == 0.5) & (table["newest"] == 1), "low"] = 0.1
    told = "of 3: GIPO (1, 1), all data, 50% of the updates: 0.200 [0.100, 0.500]"
    assert told in pace.caption(table)
