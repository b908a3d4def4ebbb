"""The scale with a world model, every rule of it on tiny runs."""

import pandas as pd
import pytest
import yaml

from checkout import Checkout
from gipo.runs.finished import FinishedRun
from gipo.scale import Scale

pytestmark = pytest.mark.slow


def write_tiny_imagination(checkout: Checkout) -> Scale:
    """Its stale regimes and two of its methods, with runs of the smoke scale's size."""
    path = checkout.root / "workflow" / "config" / "imagination.yaml"
    whole, smoke = (yaml.safe_load(path.with_stem(name).read_text()) for name in ("imagination", "smoke"))
    sizes = ("environment", "network", "replay", "learner", "evaluation", "diagnostics", "baselines", "statistics")
    tiny = whole | {name: smoke[name] for name in (*sizes, "gridworld", "verdicts")} | {"seeds": [0]}
    tiny["regimes"] = {name: regime for name, regime in whole["regimes"].items() if name.startswith("stale")}
    tiny["methods"] = {name: whole["methods"][name] for name in ("no-clip", "gipo-1-1")}
    small = {"warmup_steps": 400, "refit_every": 50, "fit_steps": 50, "hidden": 16, "branches": 2}
    tiny["imagination"] = whole["imagination"] | small
    path.write_text(yaml.safe_dump(tiny))
    return Scale.load(path)


def test_the_scale_runs_to_its_report_and_every_file_is_as_it_was_made(edited: Checkout):
    scale = write_tiny_imagination(edited)
    made = edited.run("snakemake", "--cores", "2", "--config", "scale=imagination")
    assert made.returncode == 0, made.stderr
    for run in scale.runs.values():
        found = FinishedRun.read(edited.root / "results" / "runs" / run.run_id)
        found.check()
        assert ("imagination.parquet" in found.manifest.files) == (run.imagination is not None)
    scores = pd.read_csv(edited.root / "results" / "imagination" / "figures" / "fig2.csv")
    assert set(scores["regime"]) == {"stale", "stale-imagined-5"}
    whole = edited.run("gipo", "verify", "imagination")
    assert whole.returncode == 0, whole.stdout + whole.stderr
    lost = next(run for run in scale.runs.values() if run.imagination)
    table = edited.root / "results" / "runs" / lost.run_id / "imagination.parquet"
    table.unlink()
    damaged = edited.run("gipo", "verify", "imagination")
    assert damaged.returncode == 1
    assert f"{lost.run_id}/imagination.parquet" in damaged.stdout + damaged.stderr
