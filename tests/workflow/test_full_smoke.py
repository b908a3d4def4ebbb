"""Scale full-smoke: LIBERO on its real simulator beside the finished smoke scale, to one report; then nothing to do.

In jobs of SLURM where there is one, as the full reproduction is run: the site names the scale.
"""

import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from checkout import ROOT, Checkout, copy_checkout, copy_finished
from gipo.analysis.claims import load
from gipo.envs.libero_assets import VARIABLE, assets_directory
from gipo.scale import Scale
from libero_needs import skip_without_libero
from slurm_needs import missing_slurm, on_slurm

skip_without_libero()
pytestmark = pytest.mark.slow

SCALE = Scale.load(ROOT / "workflow" / "config" / "full-smoke.yaml")
STUDY = SCALE.parts["libero-smoke"]

SITE = """
scale: full-smoke
cpu_partition: main
train_partition: gpu
gres: gpu:h200:1
runs_at_once: 2
cores_per_run: 1
poll_seconds: 3
"""


@pytest.fixture(scope="module")
def whole(checkout: Checkout, finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which the scale ran to its report, in jobs of SLURM where there is one; not to be changed.

    What was printed is in log.txt.
    """
    place = copy_checkout(checkout.root, tmp_path_factory.mktemp("libero") / "checkout")
    copy_finished(finished, place.root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(assets_directory()))
        if missing_slurm():
            done = place.snakemake(place.root, scale=SCALE.name)
        else:
            on_slurm(place, SITE)
            done = place.run("snakemake", "--profile", "slurm")
    assert done.returncode == 0, done.stderr
    (place.root / "log.txt").write_text(done.stderr)
    return place


def test_the_cost_is_said_before_the_first_job(whole: Checkout):
    lines = (whole.root / "log.txt").read_text().splitlines()
    [cost] = [i for i, line in enumerate(lines) if line.startswith("scale full-smoke: 2 training runs to do of 17 (")]
    assert not any("100%" in line for line in lines[:cost])


def test_every_run_was_a_job_of_slurm(whole: Checkout):
    if reason := missing_slurm():
        pytest.skip(reason)
    logs = list(whole.root.glob(".snakemake/slurm_logs/rule_train_libero/**/*.log"))
    assert len(logs) >= len(STUDY.all_runs())  # more where one was tried again


def test_every_run_leaves_its_results(whole: Checkout):
    for run in STUDY.all_runs():
        directory = whole.root / "results" / "runs" / run.run_id
        assert {path.name for path in directory.iterdir()} >= {
            *("spec.json", "metrics.parquet", "evaluation.parquet", "policy.pt"),
            *("provenance.json", "engine.json", "manifest.json"),
        }
        evaluation = pd.read_parquet(directory / "evaluation.parquet")
        assert evaluation["update"].unique().tolist() == [0, run.learner.updates]
        metrics = pd.read_parquet(directory / "metrics.parquet")
        assert metrics["update"].tolist() == list(range(1, run.learner.updates + 1))
        assert metrics["grad_norm_policy"].gt(0).all()


def test_every_figure_and_the_report_are_there(whole: Checkout):
    results = whole.root / "results"
    for folder, names in SCALE.figures().items():
        for name in names:
            assert (results / folder / "figures" / f"{name}.png").stat().st_size > 0
    report = (results / "full-smoke" / "report.html").read_text()
    assert "The numbers of LIBERO mean nothing about the" in report
    for anchor in ("smoke-fig2", "smoke-fig5", "libero-smoke-fig3", "libero-smoke-fig5"):
        assert f'<figure id="{anchor}">' in report
    assert not (results / "full-smoke" / "report-partial.html").exists()
    assert len(pd.read_csv(results / "libero-smoke" / "figures" / "fig3.csv")) == 2 * len(STUDY.runs())


def test_each_claim_is_judged_on_the_runs_of_its_suite(whole: Checkout):
    folders = [whole.root / "results" / name for name in ("full-smoke", "smoke", "libero-smoke")]
    both, metaworld, libero = (pd.read_csv(folder / "scorecard.csv").set_index("id") for folder in folders)
    of_libero = [claim.id for claim in load() if claim.measure.suite == "libero"]
    assert "libero-steps" in of_libero
    pd.testing.assert_frame_equal(both.loc[of_libero], libero.loc[of_libero])
    pd.testing.assert_frame_equal(both.drop(index=of_libero), metaworld.drop(index=of_libero))


def test_every_run_of_both_suites_is_in_one_store(whole: Checkout):
    store = sqlite3.connect(whole.root / "results" / "mlflow.db")
    recorded = {value for (value,) in store.execute("SELECT value FROM tags WHERE key = 'run_id'")}
    store.close()
    assert recorded == set(SCALE.runs)


def test_no_claim_has_a_verdict(whole: Checkout):
    rows = pd.read_csv(whole.root / "results" / "libero-smoke" / "scorecard.csv").set_index("id")
    assert rows.loc["libero-steps", "note"].startswith("The policy is a tiny random model")
    assert rows.loc["stale-gipo-over-ppo", "note"] == "Needs runs of MetaWorld."
    assert set(rows["verdict"]) == {"cannot tell", "not run"}


def test_a_second_call_runs_nothing(whole: Checkout, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(VARIABLE, str(assets_directory()))
    assert whole.plan(whole.root, scale=SCALE.name).jobs == {}
