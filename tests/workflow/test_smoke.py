"""The smoke scale end to end: real training, real simulator, to the report; then again, with nothing to do."""

import json
import re
import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from checkout import ROOT, Checkout, copy_finished, read_plan, snakemake_logs
from factories import write_run
from gipo.figures import of_study
from gipo.runs.merge import merge
from gipo.study import Study

pytestmark = pytest.mark.slow

STUDY = Study.load(ROOT / "workflow" / "config" / "smoke.yaml")
RUN_IDS = {run.run_id for run in STUDY.all_runs()}


@pytest.fixture
def again(finished: Path, tmp_path: Path) -> Path:
    """The finished working directory, to be changed by one test."""
    return copy_finished(finished, tmp_path / "again")


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
    index = json.loads((results / "smoke" / "videos" / "videos.json").read_text())
    videos = {path.name: path.stat().st_size for path in (results / "smoke" / "videos").glob("*.webp")}
    assert {f"videos/{name}" for name in videos} == {film["file"] for film in index["films"]}
    assert len(videos) == (0 if index["note"] else len(STUDY.regimes) * len(STUDY.methods))
    assert all(size < 300_000 for size in videos.values())
    assert '<section id="videos">' in (results / "smoke" / "report.html").read_text()
    for run_id in RUN_IDS:
        names = {path.name for path in (results / "runs" / run_id).iterdir()}
        assert names >= {
            "spec.json",
            "metrics.parquet",
            "evaluation.parquet",
            "policy.pt",
            "provenance.json",
            "manifest.json",
        }
        assert "checkpoint.pt" not in names


def test_every_cell_has_its_first_seed_before_any_has_its_second(finished: Path):
    log = "\n".join(snakemake_logs(finished))
    started = [int(seed) for seed in re.findall(r"^    wildcards: .*, seed=(\d+),", log, re.M)]
    assert started == sorted(started, key=STUDY.seeds.index)
    assert len(started) == len(RUN_IDS)


def test_every_claim_has_its_row(finished: Path):
    scorecard = pd.read_csv(finished / "results" / "smoke" / "scorecard.csv")
    claims = (ROOT / "src" / "gipo" / "analysis" / "claims.yaml").read_text().count("\n- id: ")
    assert len(scorecard) == claims
    assert set(scorecard["verdict"]) == {"cannot tell", "not run"}


def recorded(results: Path) -> list[tuple[str, str]]:
    """Run id and status of every record in MLflow."""
    query = """SELECT tags.value, runs.status FROM runs JOIN tags USING (run_uuid)
               WHERE tags.key = 'run_id' AND runs.lifecycle_stage = 'active'"""
    store = sqlite3.connect(results / "mlflow.db")
    records = sorted(store.execute(query))
    store.close()
    return records


def test_every_run_is_recorded_in_mlflow(finished: Path):
    assert recorded(finished / "results") == [(run_id, "FINISHED") for run_id in sorted(RUN_IDS)]


def test_mlflow_has_the_page_and_a_row_for_the_seeds_of_each_method(finished: Path):
    store = sqlite3.connect(finished / "results" / "mlflow.db")
    query = """SELECT tags.value, COUNT(*) FROM runs JOIN tags USING (run_uuid)
               WHERE tags.key = 'level' AND runs.lifecycle_stage = 'active' GROUP BY tags.value"""
    levels = dict(store.execute(query))
    store.close()
    assert levels == {
        "seed": len(RUN_IDS),
        "method": len({run_id.rpartition("/")[0] for run_id in RUN_IDS}),
        "study": 1,
    }
    assert list((finished / "results" / "mlflow-artifacts").glob("smoke/*/artifacts/report.html"))


def test_a_lost_mlflow_store_is_made_again_whole_with_runs_of_other_scales(checkout: Checkout, again: Path):
    results = again / "results"
    (results / "mlflow.db").unlink()
    other = write_run(results / "runs", seed=9)
    assert checkout.plan(again).jobs == {"store": 1, "track": 1, "all": 1}
    done = checkout.snakemake(again)
    assert done.returncode == 0, done.stderr
    names = {*RUN_IDS, str(other.relative_to(results / "runs"))}
    assert recorded(results) == [(run_id, "FINISHED") for run_id in sorted(names)]
    assert checkout.plan(again).jobs == {}


def test_runs_of_another_machine_are_not_made_again(checkout: Checkout, finished: Path, tmp_path: Path):
    merge([finished / "results"], tmp_path / "results", lambda line: None)
    jobs = checkout.plan(tmp_path).jobs
    assert "train" not in jobs
    assert jobs["tables"] == 6


def test_where_a_run_was_made_makes_nothing_stale(checkout: Checkout, finished: Path):
    settings = ["--set-threads", "train=3", "--set-resources", "train:device=cuda", "train:checkpoint_seconds=600"]
    assert read_plan(checkout.snakemake(finished, "--dry-run", *settings).stdout).jobs == {}


def test_the_study_is_told_in_a_line_for_each_run_and_some_more(finished: Path, shared: Path):
    told = (shared / "finished.txt").read_text().splitlines()
    assert sum(line.startswith("door-open-v3 ") for line in told) == len(RUN_IDS)
    assert len(told) < 60
    assert "results/smoke/report.html: 15 training runs in " in told[-2]


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
    assert checkout.snakemake(again, "fig2").returncode == 0
    after = contents(again)
    assert read_plan(snakemake_logs(again)[-1]).jobs == {"figure": 1, "fig2": 1}
    assert changed(before, after) == files | {"results/smoke/manifests/figures/fig2.json"}
    assert all(after[file][1] == before[file][1] for file in files)


@pytest.mark.parametrize("kind", ["svg", "png", "csv"])
def test_a_figure_is_asked_for_as_a_whole(checkout: Checkout, again: Path, kind: str):
    (again / f"results/smoke/figures/fig4.{kind}").unlink()
    assert checkout.plan(again, "fig4").jobs == {"figure": 1, "fig4": 1}


def test_the_report_of_snakemake_opens_on_the_answer_and_holds_every_figure(checkout: Checkout, again: Path):
    done = checkout.snakemake(again, "--report", "report.html")
    assert done.returncode == 0, done.stderr
    page = (again / "report.html").read_text(encoding="utf-8")
    assert 'open <tt class=\\"docutils literal\\">report.html</tt> under <em>Answer</em>' in page
    for name in (*of_study("metaworld", STUDY.sweeps), "report"):
        assert f"{name}.{'html' if name == 'report' else 'svg'}" in page
    assert all(f'"{category}"' in page for category in ("Answer", "Main grid", "Sweeps", "Exact"))


def test_a_deleted_report_is_assembled_again_alone(checkout: Checkout, again: Path):
    before = contents(again)
    report = "results/smoke/report.html"
    (again / report).unlink()
    assert checkout.snakemake(again).returncode == 0
    after = contents(again)
    assert read_plan(snakemake_logs(again)[-1]).jobs == {"report": 1, "all": 1}
    assert changed(before, after) == {report, "results/smoke/manifests/report.json"}
    assert after[report][1] == before[report][1]


def test_plain_snakemake_needs_no_options(edited: Checkout):
    done = edited.run("snakemake", "fig1", "--config", "scale=smoke")
    assert done.returncode == 0, done.stderr
    assert (edited.root / "results" / "smoke" / "figures" / "fig1.svg").exists()
