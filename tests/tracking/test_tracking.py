"""The MLflow record holds what the run directories hold, however often and however interruptedly it is made."""

import json
import shutil
import sqlite3
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.entities import Run
from typer.testing import CliRunner

from factories import EXPERT_RETURN, RANDOM_RETURN, write_baseline, write_run, write_study
from gipo.cli import cli
from gipo.errors import GipoError
from gipo.files import read_json, write_json
from gipo.manifest import Manifest
from gipo.report import metrics as glossary
from gipo.runs.directory import RunDirectory
from gipo.runs.lock import Holder
from gipo.runs.manifest import RunManifest
from gipo.runs.progress import Progress
from gipo.runs.spec import RunSpec
from gipo.tracking import curves, store
from gipo.tracking.curves import MOST_POINTS, Curve
from gipo.tracking.experiments import Experiment
from gipo.tracking.follow import Tracker
from gipo.tracking.store import MlflowClient

pytestmark = pytest.mark.slow

TASK = "door-open-v3"
CELL = f"{TASK}/stale/gipo-1-0.5"


def experiment(results: Path, specs: list[RunSpec]) -> Experiment:
    return Experiment("gipo/test", "A test", {s.run_id: s for s in specs}, {TASK: results / "baselines" / BASELINE})


BASELINE = f"{TASK}-ba5eba5e"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[RunSpec]]:
    """A small study and the store it was recorded in; read only."""
    results = tmp_path_factory.mktemp("made") / "results"
    study = write_study(results, tasks=(TASK,), regimes=("stale",), methods=("gipo-1-0.5", "ppo-clip"), seeds=2)
    specs = [RunDirectory(run).read_spec() for run in study.runs]
    tracked(results, specs)
    return results, specs


@pytest.fixture
def copied(recorded: tuple[Path, list[RunSpec]], tmp_path: Path) -> tuple[Path, list[RunSpec]]:
    """The same in another place, to be changed by the test."""
    return shutil.copytree(recorded[0], tmp_path / "moved" / "results", symlinks=True), recorded[1]


def tracked(results: Path, specs: list[RunSpec]) -> list[str]:
    """Record what is new; what was told."""
    told: list[str] = []
    Tracker([experiment(results, specs)], results, told.append).update()
    return told


def client(results: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{results / 'mlflow.db'}")


def found(results: Path) -> dict[str, list[Run]]:
    """All records by the run or the seeds that they are of."""
    records: dict[str, list[Run]] = {}
    mlflow = client(results)
    for run in mlflow.search_runs([mlflow.get_experiment_by_name("gipo/test").experiment_id]):
        records.setdefault(run.data.tags["record"], []).append(run)
    return records


def curve(results: Path, run: Run, name: str) -> pd.Series:
    points = client(results).get_metric_history(run.info.run_id, name)
    return pd.Series([p.value for p in points], [p.step for p in points], dtype=float).sort_index()


def test_seeds_stand_below_their_method_with_what_tells_them_apart(recorded: tuple[Path, list[RunSpec]]):
    results, specs = recorded
    records = found(results)
    assert len(records) == len(specs) + 2
    (parent,) = records[CELL]
    (child,) = records[specs[1].run_id]
    assert (parent.info.run_name, child.info.run_name) == ("GIPO (1, 0.5) stale door-open", "seed 1")
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert (
        child.data.tags.items()
        >= {
            **{"task": TASK, "regime": "stale", "method": "gipo-1-0.5", "objective": "gipo", "seed": "1"},
            **{"digest": specs[1].digest()[:8], "level": "seed"},
        }.items()
    )
    assert child.data.params == {"sigma_pos": "1.0", "sigma_neg": "0.5"}
    assert records[specs[2].run_id][0].data.params == {}
    assert child.info.status == parent.info.status == "FINISHED"
    assert child.info.end_time - child.info.start_time == 100_000


def test_two_that_take_turns_make_no_record_twice(copied: tuple[Path, list[RunSpec]], tmp_path: Path):
    """As the follower of a workflow and its rule do."""
    results, specs = copied
    (results / "mlflow.db").unlink()
    last = results / "runs" / specs[-1].run_id
    shutil.move(last, tmp_path / "last")
    one, other = (Tracker([experiment(results, specs)], results, print) for _ in range(2))
    assert not one.update()
    assert not other.update()
    shutil.move(tmp_path / "last", last)
    assert other.update()
    assert one.update()
    assert {key: len(runs) for key, runs in found(results).items()} == dict.fromkeys(found(results), 1)


def test_the_follower_takes_the_configs_that_it_is_given(tmp_path: Path):
    """Those of a rehearsal have the names of the real ones."""
    (tmp_path / "mine.yaml").write_text("title: Mine\n")
    done = CliRunner().invoke(cli, ["follow", "smoke", "--configs", str(tmp_path)])
    assert str(done.exception).endswith("known: mine")


def test_curves_are_those_of_the_run_and_of_few_points(recorded: tuple[Path, list[RunSpec]]):
    results, specs = recorded
    (run,) = found(results)[specs[0].run_id]
    logged = pd.read_parquet(results / "runs" / specs[0].run_id / "metrics.parquet").set_index("update")
    pd.testing.assert_series_equal(curve(results, run, "lag/d95"), logged["d95"], check_names=False)
    assert len(curve(results, run, "use/old_share")) == logged["old_share"].count()
    episodes = pd.read_parquet(results / "runs" / specs[0].run_id / "evaluation.parquet")
    means = episodes.groupby("update")["return"].mean()
    pd.testing.assert_series_equal(curve(results, run, "return/return"), means, check_names=False)
    score = ((means - RANDOM_RETURN) / (EXPERT_RETURN - RANDOM_RETURN)).clip(upper=1)
    pd.testing.assert_series_equal(curve(results, run, "return/score"), score, check_names=False)
    steps = episodes.groupby("update")["env_steps"].first()
    late = score[steps >= 0.8 * steps.iloc[-1]]
    assert run.data.metrics["return/final_score"] == pytest.approx(late.mean())


def test_a_long_curve_keeps_its_ends():
    thin = Curve(np.arange(1, 1001) * 100, np.linspace(0, 1, 1000)).thinned()
    assert len(thin.updates) == MOST_POINTS
    assert (thin.updates[0], thin.updates[-1], thin.values[-1]) == (100, 100_000, 1)
    assert set(np.diff(thin.updates)) <= {600, 700}


def test_a_method_has_mean_and_spread_over_its_seeds(recorded: tuple[Path, list[RunSpec]]):
    results, specs = recorded
    records = found(results)
    seeds = [records[spec.run_id][0] for spec in specs[:2]]
    (method,) = records[CELL]
    scores = [seed.data.metrics["return/final_score"] for seed in seeds]
    assert method.data.metrics["return/final_score"] == pytest.approx(np.mean(scores))
    assert method.data.metrics["spread/final_score"] == pytest.approx(np.std(scores, ddof=1))
    both = pd.concat([curve(results, seed, "loss/kl") for seed in seeds], axis=1).mean(axis=1)
    pd.testing.assert_series_equal(curve(results, method, "loss/kl"), both, check_names=False)


def test_the_experiment_explains_every_number_that_it_shows(recorded: tuple[Path, list[RunSpec]]):
    results, specs = recorded
    note = client(results).get_experiment_by_name("gipo/test").tags["mlflow.note.content"]
    shown = set(found(results)[specs[0].run_id][0].data.metrics)
    assert {name for name in shown if f"| `{name}` |" not in note} == set()
    entries = {metric.group for columns in glossary.tables().values() for metric in columns.values()} - {None}
    assert {name.partition("/")[0] for name in shown} == entries


def test_a_second_look_changes_not_a_byte(copied: tuple[Path, list[RunSpec]]):
    results, specs = copied
    before = (results / "mlflow.db").read_bytes()
    assert tracked(results, specs) == []
    assert (results / "mlflow.db").read_bytes() == before


def test_a_run_that_was_trained_again_replaces_its_record_and_that_of_its_seeds(copied: tuple[Path, list[RunSpec]]):
    results, specs = copied
    before = found(results)
    write_run(results / "runs", regime="stale", method="gipo-1-0.5", seed=1, interruptions=3)
    tracked(results, specs)
    after = found(results)
    assert {len(records) for records in after.values()} == {1}
    changed = {key for key in after if after[key][0].info.run_id != before[key][0].info.run_id}
    assert changed == {specs[1].run_id, CELL}
    for spec in specs[:2]:
        assert after[spec.run_id][0].data.tags["mlflow.parentRunId"] == after[CELL][0].info.run_id


@pytest.mark.parametrize("method", ["add", "attach", "finish"])
def test_an_interrupted_record_is_made_again(
    copied: tuple[Path, list[RunSpec]], monkeypatch: pytest.MonkeyPatch, method: str
):
    results, specs = copied
    new = RunDirectory(write_run(results / "runs", seed=5)).read_spec()
    with monkeypatch.context() as patch:
        patch.setattr(store.LocalStore, method, _interrupt)
        with pytest.raises(KeyboardInterrupt):
            tracked(results, [*specs, new])
    tracked(results, [*specs, new])
    records = found(results)
    assert {(len(of), of[0].info.status) for of in records.values()} == {(1, "FINISHED")}
    assert len(records) == len(specs) + 4
    assert len(curve(results, records[new.run_id][0], "loss/kl")) == 100


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_run_is_shown_while_it_trains_and_when_it_stops(copied: tuple[Path, list[RunSpec]]):
    results, specs = copied
    directory = RunDirectory(results / "runs" / specs[3].run_id)
    directory.manifest.unlink()
    spoken = Progress(1200, 5000, 90_000, 60.0, 20.0, 321.5, 0.25, None)
    write_json(directory.progress, asdict(spoken))
    lock = directory.path / "run.lock"
    lock.write_text(json.dumps(asdict(Holder.this())))
    told: list[str] = []
    tracker = Tracker([experiment(results, specs)], results, told.append)
    assert not tracker.update()
    (run,) = found(results)[specs[3].run_id]
    assert (run.info.status, run.data.tags["progress"]) == ("RUNNING", "24%, about 3 min left")
    assert run.data.metrics == {"cost/env_steps": 90_000, "return/return": 321.5, "return/success_any": 0.25}
    write_json(directory.progress, asdict(spoken) | {"update": 1500})
    lock.unlink()
    tracker.update()
    (run,) = found(results)[specs[3].run_id]
    assert (run.info.status, list(curve(results, run, "return/return").index)) == ("KILLED", [1200, 1500])
    write_run(results / "runs", regime="stale", method="ppo-clip", seed=1)
    assert tracker.update()
    records = found(results)
    assert {(len(of), of[0].info.status) for of in records.values()} == {(1, "FINISHED")}
    assert told == []


def test_a_store_that_is_lost_is_made_again_by_the_same_follower(copied: tuple[Path, list[RunSpec]]):
    results, specs = copied
    tracker = Tracker([experiment(results, specs)], results, print)
    tracker.update()
    (results / "mlflow.db").unlink()
    assert tracker.update()
    assert len(found(results)) == len(specs) + 2


def test_a_score_comes_with_the_reference_policies(copied: tuple[Path, list[RunSpec]]):
    results, specs = copied
    shutil.rmtree(results / "baselines")
    tracked(results, specs)
    assert "return/score" not in found(results)[specs[0].run_id][0].data.metrics
    write_baseline(results / "baselines", TASK)
    tracked(results, specs)
    assert "return/score" in found(results)[specs[0].run_id][0].data.metrics


def test_a_broken_store_is_told_in_one_line(copied: tuple[Path, list[RunSpec]], capfd: pytest.CaptureFixture[str]):
    results, specs = copied
    (results / "mlflow.db").write_text("not a database")
    with pytest.raises(GipoError, match=r"cannot use the MLflow store .*mlflow\.db: .*delete it, and it is made again"):
        tracked(results, specs)
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
def test_a_run_that_cannot_be_used_is_left_out_by_name(copied: tuple[Path, list[RunSpec]], what, says: str):
    results, specs = copied
    (results / "mlflow.db").unlink()
    what(results / "runs" / specs[3].run_id)
    (line,) = tracked(results, specs)
    assert line.startswith(f"left out: {results / 'runs' / specs[3].run_id}")
    assert says in line
    assert specs[3].run_id not in found(results)


def test_a_fault_of_the_disk_is_one_line(copied: tuple[Path, list[RunSpec]]):
    results, specs = copied
    write_run(results / "runs", regime="stale", method="ppo-clip", seed=1, interruptions=1)
    database = sqlite3.connect(results / "mlflow.db")
    database.execute("CREATE TRIGGER full BEFORE INSERT ON metrics BEGIN SELECT RAISE(FAIL, 'disk is full'); END")
    database.commit()
    database.close()
    with pytest.raises(GipoError, match=r"mlflow\.db: disk is full; delete it"):
        tracked(results, specs)


def test_the_names_are_those_of_the_glossary():
    assert curves.RUN["d95"] == "lag/d95"
    assert curves.EVALUATION["return"] == "return/return"
