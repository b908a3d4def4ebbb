"""Claims on LIBERO: measured on runs of LIBERO on a published model, and on nothing else."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from factories import LIBERO_METHODS, Study, write_libero_study
from gipo.analysis import claims
from gipo.analysis.collect import Tables, collect
from gipo.analysis.measures import StepsToSame
from gipo.analysis.results import Results
from gipo.analysis.statistics import _steps_ratio
from gipo.analysis.verdicts import CANNOT_TELL, CONTRADICTED, INCONCLUSIVE, NOT_RUN, REPRODUCED
from gipo.stages import StudyFolder

LIBERO = [one for one in claims.load() if one.section.startswith(("Figure 3", "AcceRL: LIBERO", "Article: LIBERO"))]
NOTHING = pd.DataFrame()


def score(root: Path, **grid: object) -> pd.DataFrame:
    study: Study = write_libero_study(root / "study", **grid)  # type: ignore[arg-type]
    collect(study.runs, study.baselines, StudyFolder(root))
    results = Results(Tables.read(StudyFolder(root)), NOTHING, NOTHING, NOTHING, resamples=200)
    about_runs = [one for one in claims.load() if one.measure.name not in EXACT]
    return claims.scorecard(results, [one.model_copy(update={"needs": None}) for one in about_runs]).set_index("id")


EXACT = ("bound_use", "asymmetry", "case_study", "margin", "family", "theory")


def test_there_are_nine():
    assert len(LIBERO) == 9


def test_a_study_of_the_paper_tests_all_of_them_and_none_on_metaworld(tmp_path: Path):
    rows = score(tmp_path, pace={"ppo-clip": 0.2, "sapo": 0.6, "gipo-0.5-0.5": 2.0})
    ours = [one.id for one in LIBERO]
    assert (rows.loc[ours, "verdict"] != NOT_RUN).all()
    others = rows.drop(ours)
    assert set(others["verdict"]) == {NOT_RUN}
    assert set(others["note"]) == {"Needs runs of MetaWorld."}
    assert rows.loc["libero-stale-gipo-over-sapo", "verdict"] == REPRODUCED
    assert rows.loc["libero-stale-sapo-over-ppo", "verdict"] == REPRODUCED
    assert rows.loc["libero-fresh-gipo-ppo-close", "verdict"] == CONTRADICTED
    assert rows.loc["libero-spatial", "measured"] == pytest.approx(0.95)
    assert rows.loc["libero-spatial", "verdict"] == CONTRADICTED
    assert rows.loc["libero-long", "verdict"] == INCONCLUSIVE  # above 0.907, below 0.981
    assert rows.loc["libero-goal", "n"] == 3


def test_the_steps_to_the_same_performance_are_those_of_the_curves(tmp_path: Path):
    # PPO-Clip ends at 7 or 8 of 20 episodes, which it has from the ninth evaluation on; GIPO has 10 at the first
    rows = score(tmp_path, tasks=["libero_goal"], pace={"ppo-clip": 0.25, "gipo-0.5-0.5": 4.0})
    row = rows.loc["libero-steps"]
    assert row["measured"] == pytest.approx(9)
    assert row["verdict"] == REPRODUCED
    assert row["n"] == 6
    assert row["note"].startswith("1 task x 3 seeds; to the nearest evaluation")


def test_methods_that_learn_alike_take_the_same_steps(tmp_path: Path):
    row = score(tmp_path, tasks=["libero_goal", "libero_10"]).loc["libero-steps"]
    assert (row["measured"], row["low"], row["high"], row["verdict"]) == (1, 1, 1, CONTRADICTED)


def test_the_ratio_of_steps_by_hand():
    def runs(*values: float) -> np.ndarray:
        return np.array([[0, 10, 20, 30, 40, 50], values], float)[None, None]

    slow, fast = runs(0, 0.1, 0.2, 0.3, 0.4, 0.4), runs(0, 0.4, 0.8, 0.9, 0.9, 0.9)
    assert _steps_ratio(slow, fast) == pytest.approx(40 / 10)
    assert _steps_ratio(fast, slow) == pytest.approx(10 / 40)
    both = np.concatenate([slow, fast], axis=1), np.concatenate([fast, fast], axis=1)
    assert _steps_ratio(*both) == pytest.approx(2)  # geometric mean of 4 and 1


def test_steps_need_two_methods():
    cell = {"suite": "libero", "quantity": "score", "regime": "stale"}
    with pytest.raises(ValueError, match="of one method each"):
        StepsToSame(name="steps_to_same", of=cell, over=cell | {"method": {"name": "sapo"}})


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"openvla": {"repository": "tiny-random", "revision": "seed-0"}}, "The policy is a tiny random model"),
        ({"states": True, "tasks": ["libero_goal_7"]}, "The policy sees states and not frames"),
    ],
)
def test_nothing_about_the_paper_follows_from_another_policy(spec: dict, reason: str, tmp_path: Path):
    rows = score(tmp_path, methods=LIBERO_METHODS, seeds=2, **spec)
    assert set(rows["verdict"]) == {CANNOT_TELL, NOT_RUN}
    assert set(rows.loc[[one.id for one in LIBERO], "verdict"]) == {CANNOT_TELL}
    assert rows.loc[[one.id for one in LIBERO], "note"].str.startswith(reason).all()


def test_a_single_seed_gives_no_verdict(tmp_path: Path):
    rows = score(tmp_path, seeds=1)
    assert set(rows["verdict"]) == {CANNOT_TELL, NOT_RUN}
    assert "single seed" in rows.loc["libero-steps", "note"]
