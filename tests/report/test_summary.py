import json
from pathlib import Path

import pandas as pd
import pytest

from factories import attempt, make_spec, provenance
from gipo.report import summary


def runs(*changes: dict[str, object]) -> pd.DataFrame:
    """One fresh and one stale run for each of `changes`, as in runs.parquet; `changes` replace columns."""
    rows = []
    for seed, change in enumerate(changes):
        for regime in ("fresh", "stale"):
            spec = make_spec("door-open-v3", regime, "sapo", seed)
            row = spec.model_dump(include={"task", "regime", "method", "seed"})
            row |= attempt(spec).model_dump() | provenance(spec) | {"numeric_classes": '["made up"]'}
            row |= {"run_id": spec.run_id, "lifetime": spec.replay.lifetime, "spec": spec.model_dump_json()}
            rows.append(row | {"libraries": json.dumps(row["libraries"])} | change)
    return pd.DataFrame(rows)


def settings(table: pd.DataFrame) -> dict[str, tuple[str, str, bool]]:
    return {row["name"]: (row["paper"], row["here"], row["same"]) for row in summary.settings(table)}


def test_settings_stand_beside_the_papers() -> None:
    rows = settings(runs({}))
    assert rows["tasks"] == ("8", "1", False)
    assert rows["learner updates per run"] == ("100,000", "5,000", False)
    assert rows["replay lifetime L / updates, stale"] == ("0.874", "0.874", True)
    assert rows["learning rate of the policy"] == ("0.00003", "0.00003", True)


def test_a_world_model_stands_among_the_settings_of_its_runs_alone() -> None:
    table = runs({})
    specs = [json.loads(spec) for spec in table["spec"]]
    specs[1]["imagination"] = {"ratio": 5, "length": 4, "lifetime": 0.05, "refit_every": 630}
    rows = settings(table.assign(spec=[json.dumps(spec) for spec in specs]))
    assert rows["imagined transitions to each real one"] == ("–", "5", False)
    assert rows["lifetime of imagined transitions / updates"] == ("–", "0.05", False)
    assert "steps of an imagined branch" not in settings(table)


def test_env_steps_per_update_of_the_paper_follow_from_its_replay() -> None:
    # 3.2 M transitions in 0.0855 x 100,000 updates are 374; here 20,480 transitions in 0.0855 x 5,000 updates
    rows = settings(runs({}))
    assert rows["env steps per update, fresh"] == ("374", "47.9", False)
    assert rows["env steps per update, stale"] == ("36.6", "4.69", False)


def test_cost_counts_overlapping_runs_once() -> None:
    # one hour each: two side by side, then one that starts half an hour before they end; two cores
    table = runs({}, {"finished_at": "2026-11-21T12:30:00+00:00"}).iloc[:3]
    table = table.assign(
        wall_seconds=3600.0, finished_at=["2026-11-21T12:00:00+00:00"] * 2 + ["2026-11-21T12:30:00+00:00"]
    )
    cost = summary.cost(table)
    assert cost["wall"] == "3.0 h"
    assert cost["machines"] == [
        {"host": "host", "cpu": "CPU", "cores": 2, "devices": "cpu", "runs": 3, "busy": "1.5 h"}
    ]
    assert cost["cpu_hours"] == "3"


def test_machines_are_counted_apart() -> None:
    cost = summary.cost(runs({"host": "a"}, {"host": "b", "cores": 16, "interruptions": 2}))
    assert [(m["host"], m["runs"]) for m in cost["machines"]] == [("a", 2), ("b", 2)]
    assert cost["interruptions"] == 4


def test_what_slurm_jobs_used_is_summed_over_the_efficiency_reports(tmp_path: Path) -> None:
    assert summary.slurm(tmp_path) is None
    head = "JobID,MainJobID,Elapsed_sec,TotalCPU_sec,NCPUS,MaxRSS_MB,RequestedMem_MB"
    (tmp_path / "efficiency_report_a.csv").write_text(
        f"{head}\n7.0,7,3600,7200,4,500,2000\n8.0,8,3600,3600,4,900,1000\n"
    )
    (tmp_path / "efficiency_report_b.csv").write_text(f"{head}\n9.0,9,1800,3600,4,100,1000\n")
    assert summary.slurm(tmp_path) == {"jobs": "3", "core_hours": "10", "used": "40 %", "memory": "90 %"}


def test_origin_names_every_commit_and_dirty_trees() -> None:
    origin = dict(summary.origin(runs({}, {"git_commit": None, "git_dirty": True})))
    assert origin["git commit"] == "0123456789abcdef0123456789abcdef01234567, unknown"
    assert origin["working tree"] == "clean, with uncommitted changes"
    assert origin["libraries"] == "numpy 2.4.6 · torch 2.13.0"


def test_origin_counts_the_runs_of_a_numeric_class_and_names_those_that_changed_it() -> None:
    table = runs({"numeric_classes": '["a"]'}, {"numeric_classes": '["a", "b"]'})
    rows = summary.origin(table)
    assert [value for name, value in rows if name == "numeric class"] == ["a (4 runs)", "b (2 runs)"]
    (changed,) = (value for name, value in rows if name == "changed class")
    assert changed.startswith("2 runs were made on more than one numeric class")
    assert all(name in changed for name in table["run_id"][2:])
    assert "changed class" not in dict(summary.origin(runs({})))


def test_runs_that_were_made_before_classes_were_noted_are_of_an_unknown_one() -> None:
    """As in the tables of the published studies."""
    assert dict(summary.origin(runs({"numeric_classes": None})))["numeric class"] == "unknown (2 runs)"


def test_scale_counts_in_words() -> None:
    scale = summary.scale(runs({}), runs({}))
    assert scale["design"] == "1 task × 2 regimes × 1 method × 1 seed"
    assert scale["share_of_paper"] == pytest.approx(0.05)


@pytest.mark.parametrize(("seconds", "words"), [(48.2, "48 s"), (600, "10 min"), (5340, "89 min"), (12_240, "3.4 h")])
def test_run_rows_give_times_in_words(seconds: float, words: str) -> None:
    assert summary.run_groups(runs({"wall_seconds": seconds}))[0]["rows"][0]["wall"] == words
