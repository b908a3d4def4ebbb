"""Figures 6 to 8 show every configuration that was run on their task, whichever grid it is of."""

import shutil
from pathlib import Path

import pytest

import factories
from gipo.analysis.collect import collect
from gipo.figures import fig6, fig7, fig8
from gipo.figures.windowed import every_configuration
from gipo.stages import StudyFolder

MAIN, SWEPT = ("ppo-clip", "gipo-1-1"), ("gipo-0.5-0.5", "gipo-2-2")
TASK = "door-open-v3"


@pytest.fixture
def both(tmp_path: Path) -> StudyFolder:
    """A main grid of 3 seeds, and a ranking of its methods and two more with 2 seeds; and two without."""
    folder = StudyFolder(tmp_path / "r")
    main = factories.write_study(tmp_path / "study", tasks=[TASK], methods=MAIN)
    swept = factories.write_study(tmp_path / "study", [TASK], ["stale", "refreshed"], (*MAIN, *SWEPT), seeds=2)
    collect(main.runs, main.baselines, folder)
    collect(swept.runs, swept.baselines, folder, "sweeps/ranking")
    return folder


def test_runs_of_a_sweep_in_the_regimes_of_the_main_grid_are_added_once(both: StudyFolder) -> None:
    tables = every_configuration(both)
    assert not tables.runs["run_id"].duplicated().any()
    assert set(tables.runs["regime"]) == {"fresh", "stale"}
    counts = tables.runs.groupby(["regime", "method"]).size().to_dict()
    assert counts == {(regime, method): 3 for regime in ("fresh", "stale") for method in MAIN} | {
        ("stale", method): 2 for method in SWEPT
    }
    assert set(tables.metrics["run_id"]) == set(tables.evaluations["run_id"]) == set(tables.runs["run_id"])


def test_all_of_them_are_drawn(both: StudyFolder) -> None:
    for figure in (fig6, fig7):
        assert set(figure.table(both, resamples=20)["method"]) == {*MAIN, *SWEPT}
    table = fig8.table(both, resamples=20)
    assert len(table[table["panel"] == "configuration"]) == 6


def test_the_correlation_of_the_main_grid_is_that_of_its_runs_alone(both: StudyFolder, tmp_path: Path) -> None:
    alone = StudyFolder(shutil.copytree(both.path, tmp_path / "alone"))
    shutil.rmtree(alone.path / "sweeps")
    shutil.rmtree(alone.path / "manifests" / "sweeps")
    joined, single = (fig8.table(folder, resamples=20).query("panel == 'correlation'") for folder in (both, alone))
    rows = [rows.set_index("regime")[["r", "low", "high", "n"]] for rows in (joined, single)]
    assert rows[0].drop(index=fig8.EVERY).equals(rows[1])
    assert rows[0].loc[fig8.EVERY, "n"] == 6
    assert "With those of the sweeps" in fig8.caption(fig8.table(both, resamples=20))
