"""Scale libero-smoke end to end: the real simulator, a tiny random model, Ray, to the report; then nothing to do."""

import pandas as pd
import pytest

from checkout import ROOT, Checkout, copy_checkout
from gipo.envs.libero_assets import VARIABLE, assets_directory
from gipo.figures import of_study
from gipo.study import Study
from libero_needs import skip_without_libero
from slurm_needs import missing_slurm, on_slurm

skip_without_libero()
pytestmark = pytest.mark.slow

SCALE = "libero-smoke"
STUDY = Study.load(ROOT / "workflow" / "config" / f"{SCALE}.yaml")


SITE = """
cpu_partition: main
train_partition: gpu
jobs: 1
poll_seconds: 3
"""


@pytest.fixture(scope="module")
def finished(checkout: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which the scale ran to its report, in jobs of SLURM where there is one; not to be changed."""
    place = copy_checkout(checkout.root, tmp_path_factory.mktemp("libero") / "checkout")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(assets_directory()))
        if missing_slurm():
            done = place.snakemake(place.root, scale=SCALE)
        else:
            on_slurm(place, SITE)
            done = place.run("snakemake", "--profile", "slurm", "--config", f"scale={SCALE}")
    assert done.returncode == 0, done.stderr
    return place


def test_every_run_was_a_job_of_slurm(finished: Checkout):
    if reason := missing_slurm():
        pytest.skip(reason)
    logs = list(finished.root.glob(".snakemake/slurm_logs/rule_train_libero/**/*.log"))
    assert len(logs) >= len(STUDY.all_runs())  # more where one was tried again


def test_every_run_leaves_its_results(finished: Checkout):
    for run in STUDY.all_runs():
        directory = finished.root / "results" / "runs" / run.run_id
        assert {path.name for path in directory.iterdir()} >= {
            *("spec.json", "metrics.parquet", "evaluation.parquet", "policy.pt", "provenance.json", "engine.json"),
        }
        evaluation = pd.read_parquet(directory / "evaluation.parquet")
        assert evaluation["update"].unique().tolist() == [0, run.learner.updates]
        metrics = pd.read_parquet(directory / "metrics.parquet")
        assert metrics["update"].tolist() == list(range(1, run.learner.updates + 1))
        assert metrics["grad_norm_policy"].gt(0).all()


def test_every_figure_and_the_report_are_there(finished: Checkout):
    results = finished.root / "results" / "libero-smoke"
    for name in of_study("libero", ()):
        assert (results / "figures" / f"{name}.png").stat().st_size > 0
    report = (results / "report.html").read_text()
    assert "These numbers mean nothing about the paper" in report
    assert len(pd.read_csv(results / "figures" / "fig3.csv")) == 2 * len(STUDY.runs())


def test_no_claim_on_training_has_a_verdict(finished: Checkout):
    rows = pd.read_csv(finished.root / "results" / "libero-smoke" / "scorecard.csv").set_index("id")
    assert rows.loc["libero-steps", "note"].startswith("The policy is a tiny random model")
    assert rows.loc["stale-gipo-over-ppo", "note"] == "Needs runs of MetaWorld."
    assert rows.loc["weight-bound", "verdict"] == "reproduced"


def test_a_second_call_runs_nothing(finished: Checkout, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(VARIABLE, str(assets_directory()))
    assert finished.plan(finished.root, scale=SCALE).jobs == {}
