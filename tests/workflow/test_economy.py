"""After a whole study: what makes which jobs run again, by dry-runs.

The results are empty files; Snakemake records how they came about as if it had made them (--touch).
"""

import re
from pathlib import Path

import pytest

from checkout import ROOT, Checkout, read_plan, snakemake_logs
from gipo.figures import SWEEPS, of_study
from gipo.scale import config
from gipo.study import Study

pytestmark = pytest.mark.slow

FIGURES = of_study("metaworld", Study.load(config("smoke")).sweeps)
TOUCH = """
import sys
from snakemake.executors import touch
touch.Executor.SLEEPING_TIME = 0
from snakemake.cli import main
main(["--touch", "--forceall", "--quiet", "all", "--directory", sys.argv[1], "--cores", "2", "--config", "scale=smoke"])
"""


@pytest.fixture(scope="module")
def studied(checkout: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Working directory in which the scale ran to its report, as far as Snakemake can tell."""
    directory = tmp_path_factory.mktemp("studied")
    for name in outputs(Study.load(config("smoke", checkout.root / "workflow" / "config"))):
        path = directory / "results" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    done = checkout.run("python", "-c", TOUCH, str(directory))
    assert done.returncode == 0, done.stderr
    return directory


def outputs(study: Study) -> list[str]:
    """Everything that the study leaves, by name."""
    run_files = ("spec.json", "metrics.parquet", "evaluation.parquet", "policy.pt", "provenance.json", "manifest.json")
    grids = ["tables", *(f"sweeps/{name}" for name in study.sweeps)]
    names = [f"runs/{run.run_id}/{name}" for run in study.all_runs() for name in run_files]
    baselines = [f"baselines/{study.baseline(task).baseline_id}" for task in study.tasks]
    names += [f"{baseline}/{name}" for baseline in baselines for name in ("episodes.parquet", "manifest.json")]
    names += [f"smoke/{grid}/{t}.parquet" for grid in grids for t in ("runs", "metrics", "evaluations", "baselines")]
    gridworld = ("policies", "case_study", "margins", "family", "family_claims", "field", "field_family")
    names += [f"smoke/gridworld/{name}.csv" for name in gridworld]
    names += [f"smoke/figures/{name}.{kind}" for name in FIGURES for kind in ("svg", "png", "csv")]
    stages = [*grids, "gridworld", "weights", "scorecard", "videos", "report", *(f"figures/{name}" for name in FIGURES)]
    names += [f"smoke/manifests/{stage}.json" for stage in stages]
    return [
        *names,
        *(f"smoke/{n}" for n in ("weights.csv", "scorecard.csv", "videos/videos.json", "report.html", "tracked.json")),
        "mlflow.db",
    ]


def test_nothing_is_left_to_do(checkout: Checkout, studied: Path):
    assert checkout.plan(studied).jobs == {}


def test_a_figure_asked_for_again_touches_only_itself(checkout: Checkout, studied: Path):
    again = checkout.snakemake(studied, "fig7", "--forcerun", "figure", "--dry-run")
    assert read_plan(again.stdout).jobs == {"figure": 1, "fig7": 1}
    assert checkout.plan(studied, "fig7").jobs == {}


@pytest.mark.parametrize(
    ("file", "old", "new", "figures"),
    [
        ("src/gipo/engines/lockstep.py", '"""The lockstep engine:', '"""The deterministic engine:', set()),
        ("pyproject.toml", 'version = "0.1.0"', 'version = "0.1.1"', set()),
        ("src/gipo/figures/fig7.py", "\ndef table(", "\nEDITED = True\n\n\ndef table(", {"fig7"}),
    ],
    ids=["docstring", "package", "figure"],
)
def test_an_edit_that_changes_no_run_trains_none(
    edited: Checkout, studied: Path, file: str, old: str, new: str, figures: set[str]
):
    edited.edit(file, old, new)
    plan = edited.plan(studied)
    assert plan.figures == figures
    assert plan.jobs == ({"figure": 1, "report": 1, "all": 1} if figures else {})


OF_RUNS = set(FIGURES) - {"fig1", "fig4", "field"}


def test_one_more_seed_trains_only_its_runs(edited: Checkout, studied: Path):
    edited.edit("workflow/config/smoke.yaml", "seeds: [0, 1]", "seeds: [0, 1, 2]")
    plan = edited.plan(studied)
    assert plan.jobs["train"] == 2 * 2
    assert "baseline" not in plan.jobs
    assert plan.figures == OF_RUNS - set(SWEEPS)


def test_one_more_task_trains_only_its_runs(edited: Checkout, studied: Path):
    edited.edit("workflow/config/smoke.yaml", "[door-open-v3]", "[door-open-v3, reach-v3]")
    plan = edited.plan(studied)
    assert plan.jobs["train"] == 2 * 2 * 2 + 1 + 2 + 2 * 2
    assert plan.jobs["baseline"] == 1
    assert plan.figures == OF_RUNS


def test_the_readme_is_no_input(edited: Checkout, studied: Path):
    (edited.root / "README.md").write_text((ROOT / "README.md").read_text() + "\nOne more line.\n")
    assert edited.plan(studied).jobs == {}


def test_jobs_that_wait_are_looked_at_when_one_ends_not_each_second(checkout: Checkout, tmp_path: Path):
    wanted = ("results/smoke/gridworld/policies.csv", "results/smoke/weights.csv")
    settings = ("--cores", "1", "--verbose", "--directory", str(tmp_path), "--config", "scale=smoke")
    done = checkout.run("snakemake", *wanted, *settings)
    assert done.returncode == 0, done.stderr
    [log] = snakemake_logs(tmp_path)
    assert re.findall(r"Selected jobs: (\d)", log) == ["1", "1"]
