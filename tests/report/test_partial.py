"""The page of a study that is still running."""

import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import factories
from gipo import figures, trust_weights
from gipo.analysis.claims import read_scorecard
from gipo.errors import GipoError
from gipo.gridworld import tables
from gipo.report import Part, assemble
from gipo.report.partial import complete, finished_of
from gipo.runs.spec import RunSpec
from gipo.stages import StudyFolder
from gipo.study import Study

TASKS = ["door-open-v3", "handle-press-v3"]
METHODS = {
    "ppo-clip": {"name": "ppo_clip"},
    "gipo-1-1": {"name": "gipo", "parameters": {"sigma_pos": 1, "sigma_neg": 1}},
}


@pytest.fixture
def study() -> Study:
    """2 tasks x 2 regimes x 2 methods x 3 seeds, and 2 tasks x 1 method x 1 seed of V-trace."""
    return Study.model_validate(
        {
            **{"title": "A running study", "tasks": TASKS, "regimes": {"fresh": 0.0855, "stale": 0.874}},
            **{"methods": METHODS, "seeds": [0, 1, 2], "statistics": {"resamples": 20}},
            "learner": {"updates": 2000, "warmup_updates": 50, "policy_start": 25},
            "evaluation": {"every": 500, "episodes": 4},
        }
    )


def finish(results: Path, study: Study, runs: list[RunSpec]) -> None:
    """Write results of these runs, and the reference policies of every task."""
    for spec in runs:
        rng = np.random.default_rng(spec.seed)
        curves = factories.metrics(spec, rng), factories.evaluation(spec, 0.5, rng)
        factories.write_results(results / "runs" / spec.run_id, spec, *curves)
    for task in study.tasks:
        factories.write_baseline(results / "baselines", task, digest=study.baseline(task).digest())


def part(study: Study, results: Path) -> Part:
    runs = [run.run_id for run in study.all_runs()]
    folder = StudyFolder(results / "small")
    return Part("small", study.title, "metaworld", folder, figures.of_study("metaworld", ()), runs)


def test_a_seed_counts_where_it_has_finished_on_every_task(study: Study, tmp_path: Path) -> None:
    runs = study.runs()
    missing = next(r for r in runs if (r.task, r.regime, r.method, r.seed) == (TASKS[1], "stale", "gipo-1-1", 1))
    finish(tmp_path, study, [run for run in runs if run != missing])
    shown = {(run.task, run.regime, run.method, run.seed) for run in complete(runs, tmp_path / "runs")}
    assert len(shown) == len(runs) - 2
    assert not {(task, "stale", "gipo-1-1", 1) for task in TASKS} & shown


@pytest.mark.slow
def test_the_page_shows_what_is_finished_says_how_much_and_judges_nothing(study: Study, tmp_path: Path) -> None:
    runs = study.runs()
    finish(tmp_path, study, [run for run in runs if run.seed < 2])
    for write in (trust_weights.write, partial(tables.write, pairs=10, seed=0)):
        write(StudyFolder(tmp_path / "small"))
    one = finished_of(part(study, tmp_path), study, tmp_path, tmp_path / "scratch")
    assert set(read_scorecard(one.folder)["verdict"]) == {"cannot tell", "not run"}
    assemble("Running", [one], "snakemake {target}", StudyFolder(tmp_path / "small"), partial=True)
    page = " ".join((tmp_path / "small" / "report-partial.html").read_text(encoding="utf-8").split())
    assert "scale small: not finished yet, 16 of 24 training runs are there." in page
    assert "2 tasks × 2 regimes × 2 methods × 2 seeds" in page
    assert '<figure id="fig2">' in page
    assert "None of" in page
    assert not re.search(r'class="pill (reproduced|contradicted|inconclusive)"', page)
    assert not (tmp_path / "small" / "manifests" / "report.json").exists()


def test_of_nothing_there_is_no_page(study: Study, tmp_path: Path) -> None:
    one = finished_of(part(study, tmp_path), study, tmp_path, tmp_path / "scratch")
    assert not one.is_partial
    with pytest.raises(GipoError, match="nothing is finished yet of small"):
        assemble("Running", [one], "snakemake {target}", StudyFolder(tmp_path / "small"), partial=True)
