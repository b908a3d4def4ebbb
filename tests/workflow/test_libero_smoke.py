"""Scale libero-smoke end to end: the real simulator, a tiny random model, Ray, to the report; then nothing to do."""

from pathlib import Path

import pandas as pd
import pytest
from filelock import FileLock

from checkout import ROOT, Checkout
from gipo.envs.libero_assets import VARIABLE, assets_directory
from gipo.figures import of_study
from gipo.study import Study
from libero_needs import skip_without_libero

skip_without_libero()
pytestmark = pytest.mark.slow

STUDY = Study.load(ROOT / "workflow" / "config" / "libero-smoke.yaml")


@pytest.fixture(scope="module")
def assets() -> Path:
    """Where LIBERO's assets lie."""
    return assets_directory().resolve()


@pytest.fixture(scope="module")
def finished_libero(checkout: Checkout, shared: Path, assets: Path) -> Path:
    """Working directory in which the scale ran to its report; not to be changed."""
    directory = shared / "finished-libero"
    with FileLock(shared / "finished-libero.lock"), pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(assets))
        if not (directory / "results" / "libero-smoke" / "report.html").exists():
            done = checkout.snakemake(directory, scale="libero-smoke")
            assert done.returncode == 0, done.stderr
    return directory


def test_every_run_leaves_its_results(finished_libero: Path):
    for run in STUDY.all_runs():
        directory = finished_libero / "results" / "runs" / run.run_id
        assert {path.name for path in directory.iterdir()} >= {
            *("spec.json", "metrics.parquet", "evaluation.parquet", "policy.pt", "provenance.json", "engine.json"),
        }
        evaluation = pd.read_parquet(directory / "evaluation.parquet")
        assert evaluation["update"].unique().tolist() == [0, run.learner.updates]
        metrics = pd.read_parquet(directory / "metrics.parquet")
        assert metrics["update"].tolist() == list(range(1, run.learner.updates + 1))
        assert metrics["grad_norm_policy"].gt(0).all()


def test_every_figure_and_the_report_are_there(finished_libero: Path):
    results = finished_libero / "results" / "libero-smoke"
    for name in of_study("libero", ()):
        assert (results / "figures" / f"{name}.png").stat().st_size > 0
    report = (results / "report.html").read_text()
    assert "These numbers mean nothing about the paper" in report
    assert len(pd.read_csv(results / "figures" / "fig3.csv")) == 2 * len(STUDY.runs())


def test_no_claim_on_training_has_a_verdict(finished_libero: Path):
    rows = pd.read_csv(finished_libero / "results" / "libero-smoke" / "scorecard.csv").set_index("id")
    assert rows.loc["libero-steps", "note"].startswith("The policy is a tiny random model")
    assert rows.loc["stale-gipo-over-ppo", "note"] == "Needs runs of MetaWorld."
    assert rows.loc["weight-bound", "verdict"] == "reproduced"


def test_a_second_call_runs_nothing(
    checkout: Checkout, finished_libero: Path, assets: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(VARIABLE, str(assets))
    assert checkout.plan(finished_libero, scale="libero-smoke").jobs == {}
