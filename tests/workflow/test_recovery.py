"""A finished study is damaged in every way, and the same command again brings everything back, byte for byte."""

import itertools
import os
import shutil
from pathlib import Path

import pytest

from checkout import Checkout, copy_finished
from damage import cut, empty, flip
from gipo.runs.directory import RunDirectory
from gipo.scale import Scale, config
from gipo.verify import verify

pytestmark = pytest.mark.slow

SMOKE = Scale.load(config("smoke"))
RUNS = sorted(SMOKE.runs)
BASELINE = f"baselines/{SMOKE.baseline('door-open-v3').baseline_id}"
OF_A_RUN = ("spec.json", "metrics.parquet", "evaluation.parquet", "policy.pt", "provenance.json", "manifest.json")
FILES = [
    *(f"runs/{run}/{name}" for run, name in zip(RUNS, OF_A_RUN, strict=False)),
    *(f"runs/{RUNS[len(OF_A_RUN)]}/kept/{name}" for name in ("metrics.parquet", "manifest.json")),
    *(f"{BASELINE}/{name}" for name in ("episodes.parquet", "manifest.json")),
    *(f"smoke/tables/{name}.parquet" for name in ("runs", "metrics")),
    *(f"smoke/{name}.csv" for name in ("weights", "scorecard", "figures/fig4")),
    "smoke/videos/videos.json",
    *(f"smoke/{name}" for name in ("sweeps/lag/evaluations.parquet", "figures/fig9.svg", "figures/iqm.png")),
    *(f"smoke/manifests/{stage}.json" for stage in ("sweeps/sigma", "figures/fig7", "gridworld")),
    "smoke/report.html",
    "smoke/manifests/report.json",
]
"""One or more of every kind of file."""
CHANGED_PLACES = [
    (f"runs/{RUNS[7]}/metrics.parquet", f"runs/{RUNS[8]}/metrics.parquet"),
    (f"runs/{RUNS[9]}/manifest.json", f"runs/{RUNS[10]}/manifest.json"),
    (f"runs/{RUNS[11]}/policy.pt", f"runs/{RUNS[11]}/kept/spec.json"),
    ("smoke/sweeps/sigma/metrics.parquet", "smoke/sweeps/lag/metrics.parquet"),
    ("smoke/figures/fig1.csv", "smoke/figures/fig2.csv"),
    ("smoke/manifests/weights.json", "smoke/manifests/videos.json"),
]
"""Files that are whole, but each where the other belongs."""
NEW_EACH_TIME = {"smoke/report.html", "smoke/manifests/report.json", "smoke/tracked.json", "mlflow.db"}
"""Files that hold the date at which it was made, or the order in which runs were recorded."""


def delete(path: Path) -> None:
    path.unlink()


@pytest.fixture
def again(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The finished working directory, to be changed by one test, where nothing draws, as when it was made."""
    monkeypatch.setenv("MUJOCO_GL", "none at all")
    return copy_finished(finished, tmp_path / "again")


def contents(directory: Path) -> dict[str, bytes]:
    """Every result that is a function of the study alone."""
    results = directory / "results"
    files = {path.relative_to(results).as_posix(): path for path in results.rglob("*") if path.is_file()}
    logs = ("run.log", "errors.log", "progress.json")
    return {
        name: path.read_bytes()
        for name, path in files.items()
        if name not in NEW_EACH_TIME and path.name not in logs and not name.startswith(("images/", "mlflow-artifacts/"))
    }


def test_what_was_damaged_lost_or_changed_places_comes_back(checkout: Checkout, again: Path):
    before = contents(again)
    results = again / "results"
    for name, damage in zip(FILES, itertools.cycle((flip, delete, cut, empty)), strict=False):
        damage(results / name)
    for one, other in CHANGED_PLACES:
        swapped = (results / one).read_bytes()
        shutil.copy(results / other, results / one)
        (results / other).write_bytes(swapped)
    shutil.rmtree(results / "smoke" / "gridworld")
    left = [results / name / ".a.00000000-1-1.json" for name in ("smoke", f"runs/{RUNS[0]}", f"runs/{RUNS[1]}/kept")]
    for path in left:  # of killed processes
        path.touch()
        os.utime(path, (0, 0))  # of another machine, and old
    done = checkout.snakemake(again)
    assert done.returncode == 0, done.stderr
    after = contents(again)
    assert {name for name in before | after if before.get(name) != after.get(name)} == set()
    assert verify(SMOKE, again / "results" / "smoke").problems == []
    assert checkout.plan(again).jobs == {}
    assert "runs restored from their kept copies: 12" in done.stderr
    assert "files of killed processes removed: 3" in done.stderr


def test_a_run_that_is_damaged_twice_is_trained_again_to_the_same_numbers_and_no_other_is(
    checkout: Checkout, again: Path
):
    before = contents(again)
    lost, other = (RunDirectory(again / "results" / "runs" / name) for name in RUNS[:2])
    flip(lost.metrics)
    flip(lost.kept / lost.metrics.name)
    done = checkout.snakemake(again, "fig2")
    assert done.returncode == 0, done.stderr
    assert "runs to be trained again: 1" in done.stderr
    after = contents(again)
    for path in (lost.metrics, lost.evaluation, lost.policy):
        name = path.relative_to(again / "results").as_posix()
        assert after[name] == before[name]
    name = other.manifest.relative_to(again / "results").as_posix()
    assert after[name] == before[name]


def test_a_dry_run_tells_of_damage_and_changes_nothing(checkout: Checkout, again: Path):
    flip(again / "results" / "smoke" / "weights.csv")
    before = contents(again)
    done = checkout.snakemake(again, "--dry-run")
    assert "smoke/weights.csv was changed" in done.stdout + done.stderr
    assert contents(again) == before


def test_a_figure_asked_for_alone_is_made_again(checkout: Checkout, again: Path):
    before = contents(again)
    flip(again / "results" / "smoke" / "figures" / "fig4.png")
    flip(again / "results" / "smoke" / "gridworld" / "family.csv")
    done = checkout.snakemake(again, "fig4")
    assert done.returncode == 0, done.stderr
    assert contents(again) == before
