"""The scale with a world model, and the rules that only it has, on tiny runs."""

import pandas as pd
import pytest
import yaml

from checkout import Checkout
from gipo.analysis import branches
from gipo.runs.finished import FinishedRun
from gipo.scale import Scale
from gipo.stages import StudyFolder

pytestmark = pytest.mark.slow


def write_tiny_imagination(checkout: Checkout) -> Scale:
    """Its stale regimes and one of its methods, with runs of the smoke scale's size."""
    path = checkout.root / "workflow" / "config" / "imagination.yaml"
    whole, smoke = (yaml.safe_load(path.with_stem(name).read_text()) for name in ("imagination", "smoke"))
    sizes = ("environment", "network", "replay", "learner", "evaluation", "diagnostics", "baselines", "statistics")
    tiny = whole | {name: smoke[name] for name in (*sizes, "gridworld", "verdicts")} | {"seeds": [0]}
    tiny["regimes"] = {name: regime for name, regime in whole["regimes"].items() if name.startswith("stale")}
    tiny["methods"] = {name: whole["methods"][name] for name in ("gipo-1-1",)}
    small = {"warmup_steps": 400, "refit_every": 50, "fit_steps": 50, "hidden": 16, "branches": 2}
    tiny["imagination"] = whole["imagination"] | small
    path.write_text(yaml.safe_dump(tiny))
    return Scale.load(path)


def test_the_scale_runs_to_its_own_figures_from_what_the_models_foretold(edited: Checkout):
    scale = write_tiny_imagination(edited)
    made = edited.run("snakemake", "imagination", "world_model", "--cores", "2", "--config", "scale=imagination")
    assert made.returncode == 0, made.stderr
    for run in scale.runs.values():
        found = FinishedRun.read(edited.root / "results" / "runs" / run.run_id)
        found.check()
        assert ("imagination.parquet" in found.manifest.files) == (run.imagination is not None)
    study = edited.root / "results" / "imagination"
    foretold = branches.read(StudyFolder(study))
    assert set(foretold["run_id"]) == {run.run_id for run in scale.runs.values() if run.imagination}
    errors, steps = (pd.read_csv(study / "figures" / f"{name}.csv") for name in ("world_model", "imagination"))
    assert set(errors["regime"]) == {"stale-imagined-5", "stale-imagined-5-success"}
    assert set(steps["method"]) == {"gipo-1-1"}
    lost = next(run for run in scale.runs.values() if run.imagination)
    (edited.root / "results" / "runs" / lost.run_id / "imagination.parquet").unlink()
    damaged = edited.run("gipo", "verify", "imagination")
    assert damaged.returncode == 1
    said = damaged.stdout + damaged.stderr
    assert f"{lost.run_id}/imagination.parquet" in said
