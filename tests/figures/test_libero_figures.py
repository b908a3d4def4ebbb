"""Figures of LIBERO studies: what they show of made-up runs, and that every figure of such a study can be drawn."""

from pathlib import Path

import pandas as pd
import pytest

from factories import LIBERO_METHODS, SUITES, write_libero_study
from gipo import figures
from gipo.analysis.collect import collect
from gipo.figures import fig3, fig5, iqm, style, success
from gipo.stages import StudyFolder
from pictures import overhang


def write(root: Path, **grid: object) -> StudyFolder:
    study = write_libero_study(root / "study", **grid)  # type: ignore[arg-type]
    results = StudyFolder(root / "results")
    collect(study.runs, study.baselines, results)
    return results


@pytest.fixture(scope="module")
def libero(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """4 suites x 2 regimes x 3 methods x 3 seeds; PPO-Clip learns at half the pace."""
    return write(tmp_path_factory.mktemp("libero"), pace={"ppo-clip": 0.5})


GRIDS = {
    "the paper's": {},
    "one task, one seed": {"tasks": ["libero_goal_7"], "methods": ["gipo-0.5-0.5"], "seeds": 1, "regimes": ["stale"]},
    "a suite and a task": {"tasks": ["libero_10", "libero_goal_7"], "seeds": 2},
    "states": {"tasks": ["libero_goal_7"], "seeds": 2, "states": True},
}


def test_the_rule_says_which_figures_a_study_has():
    libero = set(figures.of_study("libero", ()))
    assert {"fig1", "fig3", "success", "fig4", "fig5", "iqm", "scorecard"} <= libero
    assert not {"fig2", "table1", "fig6", "fig7", "fig8", "fig9", *figures.SWEEPS} & libero
    plain = figures.of_study("metaworld", ())
    assert "fig3" not in plain
    assert {"success", "success_curves"} <= set(plain)
    assert set(figures.of_study("metaworld", ["lag"])) - set(plain) == {"lagsweep"}


def test_figure_3_has_24_curves_of_success_rates(libero: StudyFolder):
    table = fig3.table(libero, resamples=20)
    curves = table.groupby(["task", "regime", "method"])
    assert len(curves) == 4 * 2 * 3
    one = curves.get_group(("libero_goal", "stale", "ppo-clip")).set_index("update")
    # 20 episodes a seed; seeds 0, 1, 2 have 0.2 + 0.75 x 0.5 x (1, 1.05, 1.1) of them at the end: 11.5, 11.875, 12.25
    assert one.loc[3000, "success"] == pytest.approx((12 + 12 + 12) / 60)
    assert one.loc[0, "success"] == pytest.approx(0.2)
    assert one.loc[3000, "env_steps"] == 3 * 3000
    assert "24 curves" in fig3.caption(table)
    axes = fig3.draw(table).axes
    assert len(axes) == 4 * 4
    assert sum(len(ax.get_lines()) for ax in axes) == 2 * 24


def test_the_published_rates_stand_beside_the_measured_ones(libero: StudyFolder):
    table = success.table(libero, resamples=20)
    rows = table.set_index(["kind", "method", "regime", "task"])["value"].sort_index()
    assert rows["published", "AcceRL + GIPO", "", "libero_object"] == 1.0
    assert rows["published", "OpenVLA-OFT, fine-tuned", "", "libero_10"] == 0.907
    assert rows["start", success.START, "", "libero_spatial"] == pytest.approx(0.2)
    # at the last three of eleven evaluations, 0.8, 0.9 and 1 of the pace, the mean over the seeds of what is rounded
    ends = [round(20 * (0.2 + 0.75 * min(1.0, (1 + 0.05 * s) * x))) / 20 for s in range(3) for x in (0.8, 0.9, 1.0)]
    assert rows["measured", "sapo", "stale", "libero_10"] == pytest.approx(sum(ends) / 9)
    assert len(table[(table["kind"] == "measured") & (table["task"] != success.ALL)]) == 24
    assert rows["measured", "sapo", "stale", success.ALL] == pytest.approx(rows["measured", "sapo", "stale"].mean())
    assert "3 seeds" in success.caption(table)
    assert "before training, the control arm: the policy that all runs of a seed start from" in success.caption(table)


def test_scores_are_success_rates_without_the_papers_marks(libero: StudyFolder):
    table = iqm.table(libero, resamples=20)
    assert set(table["suite"]) == {"libero"}
    assert iqm.caption(table).startswith("Success rate, 4 tasks x 3 seeds")
    assert "[P article]" not in iqm.caption(table)
    staleness = fig5.table(libero, resamples=20)
    assert staleness["paper"].isna().all()
    assert "Table 1" not in fig5.caption(staleness)


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_any_libero_study_can_be_drawn_with_nothing_cut_off(grid: dict, tmp_path: Path):
    style.apply()
    results = write(tmp_path, **grid)
    for module in (fig3, success, fig5, iqm):
        table = module.table(results, resamples=20)
        assert overhang(module.draw(table)) < 0.01
        table.to_csv(tmp_path / "table.csv", index=False, float_format="%.10g")
        assert module.caption(pd.read_csv(tmp_path / "table.csv")) == module.caption(table)
        assert module.draw(pd.read_csv(tmp_path / "table.csv"))


def test_suites_have_the_papers_names_and_order():
    assert fig3.LIBERO.order_tasks(reversed((*SUITES, "libero_goal_7"))) == [*SUITES, "libero_goal_7"]
    assert [fig3.LIBERO.task_title(task) for task in ("libero_10", "libero_goal_7")] == ["LIBERO-Long", "libero_goal_7"]
    assert style.order(LIBERO_METHODS) == list(LIBERO_METHODS)
