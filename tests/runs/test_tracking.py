"""The MLflow record holds what the run directories hold, however often and however interruptedly it is made."""

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy
from sqlalchemy.engine import Engine

from factories import Study, write_run, write_study
from gipo.errors import GipoError
from gipo.files import read_json, write_json
from gipo.manifest import Manifest
from gipo.runs import tracking
from gipo.runs.directory import RunDirectory
from gipo.runs.manifest import RunManifest
from gipo.runs.tracking import MlflowClient, track, usable
from gipo.tables import STATISTICS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    """A small study and the store it was recorded in; read only."""
    root = tmp_path_factory.mktemp("results")
    methods = ("gipo-1-0.5", "ppo-clip")
    study = write_study(root, tasks=("door-open-v3",), regimes=("fresh",), methods=methods, seeds=2)
    track(study.runs, root / "mlflow.db")
    return study, root / "mlflow.db"


@pytest.fixture
def copied(recorded: tuple[Study, Path], tmp_path: Path) -> tuple[Study, Path]:
    """The same, to be changed by the test."""
    study, store = recorded
    runs = [tmp_path / "runs" / run.relative_to(store.parent / "runs") for run in study.runs]
    shutil.copytree(store.parent / "runs", tmp_path / "runs")
    return Study(runs, []), Path(shutil.copy(store, tmp_path))


def _client(store: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{store}")


def _records(store: Path) -> dict[str, list]:
    client = _client(store)
    found: dict[str, list] = {}
    for record in client.search_runs([client.get_experiment_by_name("gipo").experiment_id]):
        found.setdefault(record.data.tags["run_id"], []).append(record)
    return found


def test_a_record_holds_the_spec_the_curves_and_the_files(recorded: tuple[Study, Path]):
    study, store = recorded
    records = _records(store)
    assert len(records) == len(study.runs) == 4
    (record,) = records["/".join(study.runs[0].parts[-4:])]
    assert record.info.status == "FINISHED"
    assert record.info.end_time - record.info.start_time == 100_000
    assert (
        record.data.tags.items()
        >= {
            **{"task": "door-open-v3", "regime": "fresh", "method": "gipo-1-0.5", "seed": "0"},
            **{"git_commit": "0123456789abcdef0123456789abcdef01234567", "directory": str(study.runs[0])},
        }.items()
    )
    assert (
        record.data.params.items()
        >= {
            **{"objective.name": "gipo", "objective.parameters.sigma_neg": "0.5"},
            **{"learner.updates": "5000", "replay.lifetime": "0.0855", "learner.refresh_every": "None"},
        }.items()
    )
    client = _client(store)
    files = {file.path for file in client.list_artifacts(record.info.run_id)}
    assert files == {"spec.json", "provenance.json", "metrics.parquet", "evaluation.parquet", "manifest.json"}
    assert record.data.tags["numeric_classes"] == "made up"


def test_the_curves_are_those_of_the_run_directory_without_nan(recorded: tuple[Study, Path]):
    study, store = recorded
    client = _client(store)
    (record,) = _records(store)["/".join(study.runs[0].parts[-4:])]

    def curve(name: str) -> pd.Series:
        points = client.get_metric_history(record.info.run_id, name)
        return pd.Series([p.value for p in points], [p.step for p in points], dtype=float).sort_index()

    metrics = pd.read_parquet(study.runs[0] / "metrics.parquet").set_index("update")
    evaluation = pd.read_parquet(study.runs[0] / "evaluation.parquet")
    for name in ("env_steps", *STATISTICS):
        expected = metrics[name].dropna()
        np.testing.assert_array_equal(curve(name).index, expected.index)
        np.testing.assert_allclose(curve(name), expected)
    assert curve("old_share").empty
    for name in ("return", "success_any", "success_last"):
        expected = evaluation.groupby("update")[name].mean()
        np.testing.assert_array_equal(curve(f"evaluation/{name}").index, expected.index)
        np.testing.assert_allclose(curve(f"evaluation/{name}"), expected)
    points = client.get_metric_history(record.info.run_id, "kl")
    times = [p.timestamp for p in sorted(points, key=lambda p: p.step)]
    assert times == sorted(times)
    assert record.info.start_time < times[0]
    assert times[-1] == record.info.end_time


def test_a_second_call_changes_not_a_byte(copied: tuple[Study, Path]):
    study, store = copied
    before = store.read_bytes()
    track(reversed(study.runs), store)
    assert store.read_bytes() == before


def test_a_run_that_was_trained_again_replaces_its_record(copied: tuple[Study, Path]):
    study, store = copied
    before = _records(store)
    write_run(store.parent / "runs", regime="fresh", method="ppo-clip", seed=1, interruptions=3)
    track(study.runs, store)
    after = _records(store)
    assert before.keys() == after.keys()
    assert [len(records) for records in after.values()] == [1, 1, 1, 1]
    changed = [i for i in after if after[i][0].info.run_id != before[i][0].info.run_id]
    assert changed == ["/".join(study.runs[3].parts[-4:])]


@pytest.mark.parametrize(("method", "call"), [("log_batch", 3), ("log_artifacts", 1)])
def test_an_interrupted_record_is_made_again(
    copied: tuple[Study, Path], monkeypatch: pytest.MonkeyPatch, method: str, call: int
):
    study, store = copied
    new = write_run(store.parent / "runs", seed=5)
    original = getattr(tracking.MlflowClient, method)
    calls = []

    def one_call_is_interrupted(*args, **kwargs):
        calls.append(args)
        if len(calls) == call:
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(tracking.MlflowClient, method, one_call_is_interrupted)
        with pytest.raises(KeyboardInterrupt):
            track([*study.runs, new], store)
    assert [r[0].info.status for r in _records(store).values()].count("RUNNING") == 1
    track([*study.runs, new], store)
    records = _records(store)
    assert [(len(r), r[0].info.status) for r in records.values()] == [(1, "FINISHED")] * 5
    (record,) = records["/".join(new.parts[-4:])]
    assert len(_client(store).get_metric_history(record.info.run_id, "kl")) == 100


def test_a_deleted_experiment_comes_back(copied: tuple[Study, Path]):
    study, store = copied
    client = _client(store)
    client.delete_experiment(client.get_experiment_by_name("gipo").experiment_id)
    track(study.runs, store)
    assert len(_records(store)) == 4


def test_unfinished_runs_and_broken_stores_are_named(recorded: tuple[Study, Path], tmp_path: Path):
    store = tmp_path / "mlflow.db"
    with pytest.raises(GipoError, match=r"missing results directory .*absent"):
        track([tmp_path / "absent"], store)
    assert not store.exists()
    store.write_text("not a database")
    with pytest.raises(GipoError, match=r"cannot use the MLflow store .*mlflow\.db"):
        track(recorded[0].runs, store)


def test_a_disk_that_fails_is_told_in_one_line(copied: tuple[Study, Path], capfd: pytest.CaptureFixture[str]):
    study, store = copied

    def fail(cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("INSERT INTO metrics"):
            raise sqlite3.OperationalError("disk I/O error")

    store.unlink()
    for event_name in ("do_execute", "do_executemany"):
        sqlalchemy.event.listen(Engine, event_name, fail)
    try:
        with pytest.raises(GipoError, match=r"mlflow\.db: disk I/O error; delete it, and it is made again"):
            track(study.runs, store)
    finally:
        for event_name in ("do_execute", "do_executemany"):
            sqlalchemy.event.remove(Engine, event_name, fail)
    assert "Traceback" not in capfd.readouterr().err


def _age(path: Path) -> None:
    """Let a run be the work of other code."""
    run = RunDirectory(path)
    write_json(run.provenance, read_json(run.provenance) | {"code_digest": "0" * 64})
    content = RunManifest.read(run.manifest).model_dump() | {
        "code_digest": "0" * 64,
        "files": Manifest.facts(path, [file.name for file in run.results]),
    }
    RunManifest.model_validate(content).write(run.manifest)


def _cut(path: Path) -> None:
    metrics = path / "metrics.parquet"
    metrics.write_bytes(metrics.read_bytes()[:-20])


@pytest.mark.parametrize(("what", "says"), [(_age, "by other code than today's"), (_cut, "its manifest says")])
def test_a_run_that_cannot_be_used_is_refused_by_name_and_left_out_of_a_store_of_all(tmp_path: Path, what, says: str):
    runs = [write_run(tmp_path / "runs", seed=seed) for seed in range(2)]
    what(runs[1])
    with pytest.raises(GipoError, match=rf"{runs[1]}.*{says}"):
        track(runs, tmp_path / "mlflow.db")
    assert not (tmp_path / "mlflow.db").exists()
    lines: list[str] = []
    assert usable(runs, lines.append) == [runs[0]]
    (line,) = lines
    assert line.startswith(f"left out: {runs[1]}")
    assert says in line
