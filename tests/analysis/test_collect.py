"""Run directories become tidy tables, and every way in which they can be broken is one clear error."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from factories import (
    EXPERT_RETURN,
    RANDOM_RETURN,
    Study,
    make_spec,
    rewrite_provenance,
    write_baseline,
    write_libero_study,
    write_manifest,
    write_run,
)
from gipo.analysis.collect import Tables, collect
from gipo.errors import GipoError
from gipo.report import summary
from gipo.runs.baseline import Baseline
from gipo.runs.finished import FinishedRun
from gipo.stages import StudyFolder


@pytest.fixture(scope="module")
def tables(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    out = tmp_path_factory.mktemp("tables")
    collect(study.runs, study.baselines, StudyFolder(out))
    return Tables.read(StudyFolder(out))


def test_every_run_has_all_its_rows(study: Study, tables: Tables):
    assert len(tables.runs) == len(study.runs) == 48
    assert len(tables.metrics) == sum(len(pd.read_parquet(run / "metrics.parquet")) for run in study.runs)
    assert len(tables.evaluations) == sum(len(pd.read_parquet(run / "evaluation.parquet")) for run in study.runs)
    assert len(tables.baselines) == 2 * 2 * 5
    one = tables.metrics[tables.metrics["run_id"] == tables.runs["run_id"][7]]
    directory = next(run for run in study.runs if run.name == tables.runs["run_id"][7].rpartition("/")[2])
    original = pd.read_parquet(directory / "metrics.parquet")
    pd.testing.assert_frame_equal(one[list(original)].reset_index(drop=True), original)


def test_runs_says_what_was_run_and_at_what_cost(study: Study, tables: Tables):
    by_id = tables.runs.set_index("run_id")
    spec = make_spec("door-open-v3", "stale", "gipo-1-1", 2)
    row = by_id.loc[spec.run_id]
    assert (row["task"], row["regime"], row["method"], row["seed"]) == ("door-open-v3", "stale", "gipo-1-1", 2)
    assert row["lifetime"] == 0.874
    assert row["objective"] == "gipo"
    assert json.loads(row["parameters"]) == {"sigma_neg": 1.0, "sigma_pos": 1.0}
    assert json.loads(row["spec"]) == spec.model_dump(mode="json")
    assert json.loads(row["libraries"])["torch"] == "2.13.0"
    assert (row["wall_seconds"], row["updates"], row["updates_per_second"]) == (100.0, 5000, 50.0)


def test_score_is_0_for_the_random_policy_and_1_for_the_expert(tables: Tables):
    expected = (tables.evaluations["return"] - RANDOM_RETURN) / (EXPERT_RETURN - RANDOM_RETURN)
    np.testing.assert_allclose(tables.evaluations["score"], expected)


def test_liberos_score_is_the_success_and_needs_no_baseline(tmp_path: Path):
    study = write_libero_study(tmp_path / "study", tasks=["libero_goal_7", "libero_10"], seeds=2)
    collect(study.runs, study.baselines, StudyFolder(tmp_path / "out"))
    tables = Tables.read(StudyFolder(tmp_path / "out"))
    assert len(tables.runs) == 2 * 2 * 3 * 2
    assert tables.runs["lifetime"].isna().all()
    assert tables.baselines.empty
    np.testing.assert_array_equal(tables.evaluations["score"], tables.evaluations["success_any"])
    assert set(tables.evaluations["score"]) == {0.0, 1.0}


def test_score_uses_the_baseline_of_its_own_task(tmp_path: Path):
    runs = [write_run(tmp_path / "runs", task, final_score=0.5) for task in ("a-v3", "b-v3")]
    baselines = [write_baseline(tmp_path, "a-v3", 0.0, 100.0), write_baseline(tmp_path, "b-v3", 100.0, 200.0)]
    collect(runs, baselines, StudyFolder(tmp_path / "out"))
    evaluations = Tables.read(StudyFolder(tmp_path / "out")).evaluations
    for task, random in (("a-v3", 0.0), ("b-v3", 100.0)):
        of_task = evaluations[evaluations["task"] == task]
        np.testing.assert_allclose(of_task["score"], (of_task["return"] - random) / 100)


def test_equal_runs_give_equal_bytes_in_any_order(study: Study, tmp_path: Path):
    collect(study.runs, study.baselines, StudyFolder(tmp_path / "one"))
    collect(reversed(study.runs), reversed(study.baselines), StudyFolder(tmp_path / "other"))
    for name in ("runs", "metrics", "evaluations", "baselines"):
        file = f"{name}.parquet"
        assert (tmp_path / "one" / "tables" / file).read_bytes() == (tmp_path / "other" / "tables" / file).read_bytes()
    assert len(list((tmp_path / "one" / "tables").iterdir())) == 4


def test_a_checkout_without_git_can_be_collected(small_study: Study, tmp_path: Path):
    unknown = dict.fromkeys(("git_commit", "git_dirty", "lock_digest"))
    rewrite_provenance(small_study.runs[0], **unknown)
    collect(small_study.runs, small_study.baselines, StudyFolder(tmp_path / "tables"))
    runs = Tables.read(StudyFolder(tmp_path / "tables")).runs
    assert runs[list(unknown)].isna().sum().tolist() == [1, 1, 1]
    assert dict(summary.origin(runs))["working tree"] == "clean, unknown"


def _expect(study: Study, tmp_path: Path, message: str) -> None:
    with pytest.raises(GipoError, match=message):
        collect(study.runs, study.baselines, StudyFolder(tmp_path / "tables"))
    assert not (tmp_path / "tables").exists()


def test_missing_results_directory(small_study: Study, tmp_path: Path):
    shutil.rmtree(small_study.runs[1])
    _expect(small_study, tmp_path, f"missing results directory .*{small_study.runs[1].name}")


def test_missing_tables_directory(tmp_path: Path):
    with pytest.raises(GipoError, match=r"absent/tables/runs\.parquet is missing"):
        Tables.read(StudyFolder(tmp_path / "absent"))


def test_no_runs_and_no_baselines(small_study: Study, tmp_path: Path):
    _expect(Study([], small_study.baselines), tmp_path, "no runs to collect")
    _expect(Study(small_study.runs, []), tmp_path, "no baselines to collect")


def test_unfinished_run(small_study: Study, tmp_path: Path):
    (small_study.runs[2] / "manifest.json").unlink()
    _expect(small_study, tmp_path, f"{small_study.runs[2].name} is unfinished")


@pytest.mark.parametrize("name", ["spec.json", "metrics.parquet", "evaluation.parquet", "provenance.json"])
def test_a_damaged_file_of_a_run(small_study: Study, tmp_path: Path, name: str):
    path = small_study.runs[0] / name
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    _expect(small_study, tmp_path, f"{path} was changed")


def test_the_tables_are_bound_to_the_runs_and_baselines_that_they_were_made_from(study: Study, tmp_path: Path):
    folder = StudyFolder(tmp_path)
    collect(study.runs, study.baselines, folder)
    runs = {run.spec.run_id: run.manifest.digest() for run in map(FinishedRun.read, study.runs)}
    baselines = {f"baselines/{path.name}": Baseline.read(path).manifest.digest() for path in study.baselines}
    assert folder.manifest_of("tables").inputs == runs | baselines


def test_the_tables_say_on_which_numeric_classes_a_run_was_made(small_study: Study, tmp_path: Path):
    directory = small_study.runs[0]
    spec = FinishedRun.read(directory).spec
    rewrite_provenance(directory, interruptions=2)
    write_manifest(directory, spec, ["one", "other", "one"])
    collect(small_study.runs, small_study.baselines, StudyFolder(tmp_path / "tables"))
    runs = Tables.read(StudyFolder(tmp_path / "tables")).runs.set_index("run_id")
    assert json.loads(runs.loc[spec.run_id, "numeric_classes"]) == ["one", "other"]
    assert {json.loads(classes)[0] for classes in runs.drop(spec.run_id)["numeric_classes"]} == {"made up"}


def test_the_same_seed_twice(small_study: Study, tmp_path: Path):
    again = write_run(tmp_path / "results" / "runs", method="ppo-clip", seed=1, learner={"gamma": 0.9})
    _expect(Study([*small_study.runs, again], small_study.baselines), tmp_path, "two runs of one seed")


def test_missing_baseline(small_study: Study, tmp_path: Path):
    other = write_baseline(tmp_path / "other", "handle-press-v3")
    _expect(Study(small_study.runs, [other]), tmp_path, "random policy on task door-open-v3")


def test_two_baselines_of_a_task(small_study: Study, tmp_path: Path):
    other = write_baseline(tmp_path / "other", "door-open-v3")
    _expect(Study(small_study.runs, [*small_study.baselines, other]), tmp_path, "two baselines of task door-open-v3")


@pytest.mark.parametrize("expert", [RANDOM_RETURN, RANDOM_RETURN - 1])
def test_expert_that_is_not_better_than_random(small_study: Study, tmp_path: Path, expert: float):
    baseline = write_baseline(tmp_path / "bad", "door-open-v3", expert_return=expert)
    _expect(Study(small_study.runs, [baseline]), tmp_path, "task door-open-v3 is undefined")
