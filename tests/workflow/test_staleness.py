"""What an edit makes stale: the rules whose behaviour it can change, and no other."""

import re
from pathlib import Path

import pytest

from checkout import ROOT, Checkout, copy_finished, read_plan, snakemake_logs
from gipo.figures import SWEEPS, of_study
from gipo.study import Study

pytestmark = pytest.mark.slow

OBJECTIVES = "src/gipo/objectives"
REPORT = {"report": 1, "all": 1}
SCORECARD = {"claims": 1, "figure": 1} | REPORT
FIGURES = of_study("metaworld", Study.load(ROOT / "workflow" / "config" / "smoke.yaml").sweeps)
TRAINED = set(FIGURES) - {"fig1", "fig4", "field"}
"""Figures that rest on training runs."""


def append(checkout: Checkout, file: str, line: str) -> None:
    with (checkout.root / file).open("a") as stream:
        stream.write(f"\n{line}\n")


@pytest.mark.parametrize("command", [("python", "-m", "gipo"), ("gipo",)])
def test_the_package_of_the_copy_is_the_one_that_runs(edited: Checkout, command: tuple[str, ...]):
    """All other tests here rest on it."""
    edited.edit("src/gipo/cli.py", '"""Every step', '"""The copy: every step')
    assert "The copy: every step" in edited.run(*command, "--help").stdout


def test_what_does_not_run_makes_nothing_stale(edited: Checkout, finished: Path):
    """A comment, a docstring, formatting, a README, a version. Nor does the place of the checkout, another one here."""
    for old, new in (
        ("from dataclasses import dataclass\n", "from dataclasses import dataclass  # only here\n"),
        ('"""PPO\'s clipped surrogate,', '"""The clipped surrogate of PPO,'),
        (
            "alive = with_gradient(rho, samples.log_ratio)",
            "alive = with_gradient(\n            rho, samples.log_ratio\n        )",
        ),
    ):
        edited.edit(f"{OBJECTIVES}/ppo_clip.py", old, new)
    append(edited, "README.md", "One more line.")
    edited.edit("pyproject.toml", 'version = "0.1.0"', 'version = "0.1.1"')
    assert edited.plan(finished).jobs == {}


DRAWN_OF_METHODS = dict.fromkeys(("gridworld", "weights", "track", "claims", "videos"), 1)


def test_what_all_objectives_share_makes_training_and_all_that_follows_stale(edited: Checkout, finished: Path):
    edited.edit(f"{OBJECTIVES}/base.py", "LOG_RATIO_BOUND = 30.0", "LOG_RATIO_BOUND = 29.0")
    plan = edited.plan(finished)
    assert plan.jobs == {"train": 15, "tables": 6, "figure": len(FIGURES)} | DRAWN_OF_METHODS | REPORT


def test_an_objective_makes_its_own_runs_stale_and_no_others(edited: Checkout, finished: Path):
    """PPO-Clip has 4 of the main grid's 8 runs and 2 of the lag sweep's 4; all others are GIPO's."""
    edited.edit(f"{OBJECTIVES}/ppo_clip.py", "1 + above", "1.1 + above")
    plan = edited.plan(finished)
    assert plan.jobs["train"] == 6
    assert plan.methods == {"ppo-clip"}


def test_an_objective_makes_its_runs_stale_where_its_label_stands_for_another_one_elsewhere(
    edited: Checkout, tmp_path: Path
):
    edited.edit("workflow/config/smoke.yaml", "seeds: [0, 1]", "seeds: [0]")
    sweep = "ranking: {regimes: {stale: 0.874}, seeds: [0]}"
    other = "ranking: {regimes: {ranked: 0.874}, methods: {ppo-clip: {name: sapo}}, seeds: [0]}"
    edited.edit("workflow/config/smoke.yaml", sweep, other)
    runs = Study.load(edited.root / "workflow" / "config" / "smoke.yaml").all_runs()
    two = [run for run in runs if run.method == "ppo-clip" and run.regime in ("stale", "ranked")]
    targets = [f"results/runs/{run.run_id}/metrics.parquet" for run in two]
    done = edited.snakemake(tmp_path, *targets)
    assert done.returncode == 0, done.stderr
    for method, old, regime in (("ppo_clip", "1 + above,", "stale"), ("sapo", "4 * gate", "ranked")):
        edited.edit(f"{OBJECTIVES}/{method}.py", old, f"1.1 * {old}")
        plan = edited.snakemake(tmp_path, "--dry-run", *targets).stdout
        assert read_plan(plan).jobs == {"train": 1}
        assert f"regime={regime}" in plan
        edited.edit(f"{OBJECTIVES}/{method}.py", f"1.1 * {old}", old)


def test_an_objective_that_no_run_has_makes_only_its_drawings_stale(edited: Checkout, finished: Path):
    edited.edit(f"{OBJECTIVES}/sapo.py", "4 * gate.sigmoid()", "4.5 * gate.sigmoid()")
    plan = edited.plan(finished)
    assert "train" not in plan.jobs
    assert plan.figures == {"fig1", "fig4", "field", "scorecard"}


def test_the_baselines_make_scores_stale_but_no_training(edited: Checkout, finished: Path):
    edited.edit("src/gipo/envs/baselines.py", 'episode_seed(seed, "baseline"', 'episode_seed(seed, "reference"')
    plan = edited.plan(finished)
    assert plan.jobs == {"baseline": 1, "tables": 6, "claims": 1, "videos": 1, "figure": len(TRAINED)} | REPORT
    assert plan.figures == TRAINED


def test_a_figure_makes_itself_and_the_report_stale(edited: Checkout, finished: Path):
    append(edited, "src/gipo/figures/fig2.py", "EDITED = True")
    plan = edited.plan(finished)
    assert plan.jobs == {"figure": 1} | REPORT
    assert plan.figures == {"fig2"}


def test_the_claims_make_the_scorecard_and_the_report_stale(edited: Checkout, finished: Path):
    append(edited, "src/gipo/analysis/claims.yaml", "# one more")
    plan = edited.plan(finished)
    assert plan.jobs == SCORECARD
    assert plan.figures == {"scorecard"}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("src/gipo/report/page/report.html", "<body>", "<body lang='en'>"),
        ("workflow/config/smoke.yaml", "title: Smoke test", "title: Another title"),
    ],
)
def test_the_page_and_its_title_make_only_the_report_stale(
    edited: Checkout, finished: Path, file: str, old: str, new: str
):
    edited.edit(file, old, new)
    assert edited.plan(finished).jobs == REPORT


def test_the_catalogue_of_suites_makes_all_that_reads_it_stale_and_no_training(edited: Checkout, finished: Path):
    edited.edit("src/gipo/suites/metaworld.py", '"stale-gipo-over-sapo")', '"iqm-gipo")')
    plan = edited.plan(finished)
    assert plan.jobs == {"tables": 6, "track": 1, "claims": 1, "videos": 1, "figure": len(FIGURES)} | REPORT


def test_a_gridworld_setting_makes_the_gridworld_and_what_follows_stale(edited: Checkout, finished: Path):
    edited.edit("workflow/config/smoke.yaml", "gridworld: {pairs: 100}", "gridworld: {pairs: 200}")
    plan = edited.plan(finished)
    assert plan.jobs == {"gridworld": 1, "claims": 1, "figure": 3} | REPORT
    assert plan.figures == {"fig4", "field", "scorecard"}


def test_one_more_seed_trains_only_its_runs(edited: Checkout, finished: Path):
    edited.edit("workflow/config/smoke.yaml", "seeds: [0, 1]", "seeds: [0, 1, 2]")
    plan = edited.plan(finished)
    main = TRAINED - set(SWEEPS)
    assert plan.jobs == {"train": 4, "tables": 1, "track": 1, "claims": 1, "videos": 1, "figure": len(main)} | REPORT
    assert plan.figures == main


def test_one_more_task_trains_only_its_runs(edited: Checkout, finished: Path):
    edited.edit("workflow/config/smoke.yaml", "[door-open-v3]", "[door-open-v3, reach-v3]")
    plan = edited.plan(finished)
    assert plan.jobs["train"] == 2 * 2 * 2 + 1 + 2 + 2 * 2
    assert plan.jobs["baseline"] == 1
    assert plan.figures == TRAINED


def test_a_figure_asked_for_again_touches_only_itself(checkout: Checkout, finished: Path):
    again = checkout.snakemake(finished, "fig7", "--forcerun", "figure", "--dry-run")
    assert read_plan(again.stdout).jobs == {"figure": 1, "fig7": 1}
    assert checkout.plan(finished, "fig7").jobs == {}


def test_jobs_that_wait_are_looked_at_when_one_ends_not_each_second(edited: Checkout, tmp_path: Path):
    edited.edit("workflow/config/smoke.yaml", "gridworld: {pairs: 100}", "gridworld: {pairs: 2}")
    wanted = ("results/smoke/gridworld/policies.csv", "results/smoke/weights.csv")
    settings = ("--cores", "1", "--verbose", "--directory", str(tmp_path), "--config", "scale=smoke")
    done = edited.run("snakemake", *wanted, *settings)
    assert done.returncode == 0, done.stderr
    [log] = snakemake_logs(tmp_path)
    assert re.findall(r"Selected jobs: (\d)", log) == ["1", "1"]


def test_a_failure_beside_a_report_that_is_there_leaves_no_page_of_what_is_finished(
    checkout: Checkout, finished: Path, tmp_path: Path
):
    """Nothing would remove it later."""
    copy = copy_finished(finished, tmp_path / "copy", symlinks=True)
    (copy / "results" / "smoke" / "tracked.json").unlink()
    (copy / "results" / "mlflow.db").write_bytes(b"not a database")
    done = checkout.snakemake(copy, "--rerun-triggers", "mtime")
    assert done.returncode == 1
    assert (copy / "results" / "smoke" / "report.html").exists()
    assert not (copy / "results" / "smoke" / "report-partial.html").exists()
