"""The smoke scale end to end: real training, real simulator, to the report; then again, with nothing to do."""

import shutil
import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from checkout import ROOT, Checkout, read_plan
from gipo.figures import of_study
from gipo.study import load_study

pytestmark = pytest.mark.slow

STUDY = load_study(ROOT / "workflow" / "config" / "smoke.yaml")
RUN_IDS = {run.run_id for run in STUDY.all_runs()}


@pytest.fixture
def again(finished: Path, tmp_path: Path) -> Path:
    """The finished working directory, to be changed by one test."""
    return shutil.copytree(finished, tmp_path / "again")


def contents(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Time and content of every result."""
    files = (path for path in (directory / "results").rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def changed(before: dict[str, tuple[int, bytes]], after: dict[str, tuple[int, bytes]]) -> set[str]:
    return {name for name in before | after if before.get(name) != after.get(name)}


def test_every_result_is_there(finished: Path):
    results = finished / "results"
    assert (results / "smoke" / "report.html").stat().st_size > 10_000
    for name in of_study("metaworld", STUDY.sweeps):
        for kind in ("svg", "png", "csv"):
            assert (results / "smoke" / "figures" / f"{name}.{kind}").stat().st_size > 0
    for run_id in RUN_IDS:
        names = {path.name for path in (results / "runs" / run_id).iterdir()}
        assert names >= {"spec.json", "metrics.parquet", "evaluation.parquet", "policy.pt", "provenance.json"}
        assert "checkpoint.pt" not in names


def test_every_claim_has_its_row(finished: Path):
    scorecard = pd.read_csv(finished / "results" / "smoke" / "scorecard.csv")
    claims = (ROOT / "src" / "gipo" / "analysis" / "claims.yaml").read_text().count("\n- id: ")
    assert len(scorecard) == claims
    assert scorecard["verdict"].isin(["reproduced", "partly", "not reproduced", "not tested at this scale"]).all()


def test_every_run_is_recorded_in_mlflow(finished: Path):
    query = """SELECT tags.value, runs.status FROM runs JOIN tags USING (run_uuid)
               WHERE tags.key = 'run_id' AND runs.lifecycle_stage = 'active'"""
    store = sqlite3.connect(finished / "results" / "mlflow.db")
    assert sorted(store.execute(query)) == [(run_id, "FINISHED") for run_id in sorted(RUN_IDS)]
    store.close()


def test_a_second_call_runs_nothing(checkout: Checkout, again: Path):
    before = contents(again)
    done = checkout.snakemake(again)
    assert done.returncode == 0
    assert "Nothing to be done" in done.stderr
    assert contents(again) == before


def test_a_deleted_figure_is_drawn_again_alone(checkout: Checkout, again: Path):
    before = contents(again)
    files = {f"results/smoke/figures/fig2.{kind}" for kind in ("svg", "png", "csv")}
    for file in files:
        (again / file).unlink()
    done = checkout.snakemake(again, "fig2")
    after = contents(again)
    assert read_plan(done.stderr).jobs == {"figure": 1, "fig2": 1}
    assert changed(before, after) == files
    assert all(after[file][1] == before[file][1] for file in files)


@pytest.mark.parametrize("kind", ["svg", "png", "csv"])
def test_a_figure_is_asked_for_as_a_whole(checkout: Checkout, again: Path, kind: str):
    (again / f"results/smoke/figures/fig4.{kind}").unlink()
    assert checkout.plan(again, "fig4").jobs == {"figure": 1, "fig4": 1}


def test_a_deleted_report_is_assembled_again_alone(checkout: Checkout, again: Path):
    before = contents(again)
    report = "results/smoke/report.html"
    (again / report).unlink()
    done = checkout.snakemake(again)
    after = contents(again)
    assert read_plan(done.stderr).jobs == {"report": 1, "all": 1}
    assert changed(before, after) == {report}
    assert after[report][1] == before[report][1]


def test_plain_snakemake_needs_no_options(edited: Checkout):
    done = edited.run("snakemake", "fig1", "--config", "scale=smoke")
    assert done.returncode == 0, done.stderr
    assert (edited.root / "results" / "smoke" / "figures" / "fig1.svg").exists()
