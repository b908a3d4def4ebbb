"""A finished run is what its manifest says and what training writes, or it is refused by name with a way out."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from factories import make_libero_spec, metrics, successes, write_manifest, write_results, write_run
from gipo.errors import GipoError
from gipo.files import write_json
from gipo.runs.code import code_of
from gipo.runs.directory import RunDirectory
from gipo.runs.finished import FinishedRun
from gipo.runs.spec import RunSpec
from gipo.tables import RUN_EVALUATION, RUN_METRICS, read_table, write_table

SMALL = {"learner": {"updates": 120, "policy_start": 5}, "evaluation": {"every": 50}, "diagnostics": {"every": 50}}
RESULTS = ("spec.json", "metrics.parquet", "evaluation.parquet", "policy.pt", "provenance.json", "manifest.json")


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """Finished, of a number of updates that is no multiple of what happens regularly."""
    path = write_run(tmp_path / "runs", **SMALL)
    spec = FinishedRun.read(path).spec
    last = metrics(spec, np.random.default_rng(0)).iloc[-1:].assign(update=120)
    table = pd.concat([read_table(path / "metrics.parquet", RUN_METRICS), last])
    write_table(path / "metrics.parquet", table.assign(env_steps=table["update"] * 10), RUN_METRICS)
    write_manifest(path, spec)
    return RunDirectory(path)


@pytest.fixture
def other(tmp_path: Path) -> RunDirectory:
    """Another one, of another seed."""
    return RunDirectory(write_run(tmp_path / "runs", seed=1, **SMALL))


def test_a_whole_run_is_read(run: RunDirectory):
    found = FinishedRun.read(run.path)
    found.check()
    assert found.metrics()["update"].tolist() == [50, 100, 120]
    assert found.evaluation()["update"].unique().tolist() == [0, 50, 100, 120]
    found.check_code(code_of(found.spec))


def test_a_run_of_the_asynchronous_engine_is_read_though_its_env_steps_fell_with_a_lost_replay(tmp_path: Path):
    spec = make_libero_spec("libero_goal_7", "fresh", "sapo", 0)
    logged = metrics(spec, np.random.default_rng(0))
    logged.loc[3, "env_steps"] = 1
    write_results(tmp_path / spec.run_id, spec, logged, successes(spec, 1.0))
    FinishedRun.read(tmp_path / spec.run_id).check()


def test_an_unfinished_or_missing_one_is_named(run: RunDirectory, tmp_path: Path):
    run.manifest.unlink()
    with pytest.raises(GipoError, match="is unfinished"):
        FinishedRun.read(run.path)
    with pytest.raises(GipoError, match="missing results directory"):
        FinishedRun.read(tmp_path / "nowhere")


def refused(run: RunDirectory, message: str) -> None:
    with pytest.raises(GipoError, match=message) as caught:
        FinishedRun.read(run.path).check()
    assert "\n" not in str(caught.value)
    assert ("make reproduce, or training it again, restores it" in str(caught.value)) or (
        "delete that directory, then train the run again" in str(caught.value)
    )


@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-10], lambda data: b"", lambda data: data + data, lambda data: data[:-9] + b"~" + data[-8:]],
)
def test_a_damaged_file_is_named(run: RunDirectory, name: str, damage: Callable[[bytes], bytes]):
    path = run.path / name
    path.write_bytes(damage(path.read_bytes()))
    refused(run, str(path))


@pytest.mark.parametrize("name", [name for name in RESULTS if name != "manifest.json"])
def test_a_missing_file_or_one_that_is_a_folder_is_named(run: RunDirectory, name: str):
    path = run.path / name
    path.unlink()
    refused(run, f"cannot read {path}")
    path.mkdir()
    refused(run, f"cannot read {path}")


@pytest.mark.parametrize("name", RESULTS)
def test_a_file_of_another_run_is_named(run: RunDirectory, other: RunDirectory, name: str):
    shutil.copyfile(other.path / name, run.path / name)
    refused(run, f"{run.path}.* (was changed|has .* bytes|holds the results of another run)")


def test_all_files_of_another_run_are_refused(run: RunDirectory, other: RunDirectory):
    shutil.rmtree(run.path)
    shutil.copytree(other.path, run.path)
    refused(run, f"{run.path} holds the results of another run, {other.path.name}")


def test_results_of_other_code_are_refused_by_name(run: RunDirectory):
    found = FinishedRun.read(run.path)
    with pytest.raises(GipoError, match=rf"{run.path} was made by other code .*commit 0123456789ab: make reproduce"):
        found.check_code("0" * 64)


def rebound(run: RunDirectory) -> None:
    """Make a manifest for a run's files as somebody changed them."""
    write_manifest(run.path, RunSpec.model_validate_json(run.spec.read_bytes()))


DOUBLE, HALF = (lambda table: pd.concat([table, table])), (lambda table: table.iloc[: len(table) // 2])


def shifted(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(update=table["update"] + 1)


def rich(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(env_steps=10**9)


def falling(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(env_steps=table["env_steps"].to_numpy()[::-1])


@pytest.mark.parametrize(
    "change",
    [DOUBLE, HALF, shifted, rich, falling, lambda table: table.iloc[:0], lambda table: table.iloc[::-1],
     lambda table: table.assign(loss_policy=float("nan"))],
)  # fmt: skip
def test_metrics_that_training_does_not_write_are_refused_with_a_manifest_of_their_own(
    run: RunDirectory, change: Callable[[pd.DataFrame], pd.DataFrame]
):
    write_table(run.metrics, change(read_table(run.metrics, RUN_METRICS)), RUN_METRICS)
    rebound(run)
    refused(run, rf"{run.metrics} has .*; training does not write that")


@pytest.mark.parametrize(
    "change",
    [DOUBLE, HALF, shifted, rich, lambda table: table.assign(episode=0), lambda table: table.iloc[::-1],
     lambda table: table[table["update"] > 0], lambda table: table.assign(**{"return": float("inf")})],
)  # fmt: skip
def test_evaluations_that_training_does_not_write_are_refused_with_a_manifest_of_their_own(
    run: RunDirectory, change: Callable[[pd.DataFrame], pd.DataFrame]
):
    write_table(run.evaluation, change(read_table(run.evaluation, RUN_EVALUATION)), RUN_EVALUATION)
    rebound(run)
    refused(run, rf"{run.evaluation} has .*; training does not write that")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"updates": 60}, "is of 60 updates, not of all 120"),
        ({"code_digest": "0" * 64}, "names other code"),
        ({"interruptions": 1}, "counts other attempts"),
        ({"finished_at": "yesterday"}, "finished_at = 'yesterday'"),
        ({"wall_seconds": None}, "wall_seconds"),
        ({"host": "h"}, "unknown key host"),
    ],
)
def test_a_provenance_that_training_does_not_write_is_refused(run: RunDirectory, changes: dict, message: str):
    write_json(run.provenance, json.loads(run.provenance.read_text()) | changes)
    rebound(run)
    refused(run, message)


@pytest.mark.parametrize("content", ["[]", "null", "{}", "7", '"x"', "[" * 5000, ""])
@pytest.mark.parametrize("name", ["provenance.json", "spec.json", "manifest.json"])
def test_json_of_another_kind_is_refused(run: RunDirectory, name: str, content: str):
    spec = RunSpec.model_validate_json(run.spec.read_bytes())
    (run.path / name).write_text(content)
    if name != "manifest.json":
        write_manifest(run.path, spec)
    refused(run, str(run.path / name))


def test_a_manifest_that_leaves_out_a_file_is_refused(run: RunDirectory):
    found = FinishedRun.read(run.path)
    files = {name: facts for name, facts in found.manifest.files.items() if name != "policy.pt"}
    found.manifest.model_copy(update={"files": files}).write(run.manifest)
    refused(run, r"manifest.json does not name policy\.pt")
