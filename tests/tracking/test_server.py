"""A real MLflow server, as `make mlflow` starts it: what it shows of a study, from wherever its results lie."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from mlflow import MlflowClient

from checkout import ROOT
from factories import write_baseline, write_run
from gipo.runs.directory import RunDirectory
from gipo.runs.spec import RunSpec
from gipo.scale import Scale
from gipo.stages import StudyFolder
from gipo.tracking import follow
from gipo.tracking.experiments import Experiment, of_scale
from gipo.tracking.follow import Tracker
from whole_study import write_whole

pytestmark = pytest.mark.slow

TASK = "door-open-v3"
METHODS = ("gipo-1-1", "gipo-0.5-0.5", "ppo-clip")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Experiment]:
    """A study with a page, recorded in one place and moved to another; and its experiment."""
    made = tmp_path_factory.mktemp("made") / "results"
    runs = [
        write_run(made / "runs", TASK, regime, method, seed, diagnostics={"every": 500})
        for regime in ("fresh", "stale")
        for method in METHODS
        for seed in range(2)
    ]
    baseline = write_baseline(made / "baselines", TASK)
    StudyFolder(made / "test").write_stage("report", {"report.html": b"<html>a page</html>"})
    experiment = experiment_of(made, [RunDirectory(run).read_spec() for run in runs], baseline.name)
    assert Tracker([experiment], made, print).update()
    moved = shutil.move(made, tmp_path_factory.mktemp("moved") / "results")
    return Path(moved), experiment


def experiment_of(results: Path, specs: list[RunSpec], baseline: str) -> Experiment:
    runs = {spec.run_id: spec for spec in specs}
    return Experiment("gipo/test", "A test", runs, {TASK: results / "baselines" / baseline}, (results / "test",))


@contextmanager
def served(place: Path) -> Iterator[str]:
    """The server of `make mlflow` for the results in a folder; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    makefile = str(ROOT / "Makefile")
    dry = subprocess.run(
        ["make", "-n", "-o", ".venv/.study", "-f", makefile, "mlflow", f"PORT={port}"],
        cwd=place, capture_output=True, text=True, check=True,
    )  # fmt: skip
    command = dry.stdout.replace(".venv/bin/mlflow", str(Path(sys.executable).with_name("mlflow")))
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    address = f"http://127.0.0.1:{port}"
    with (place / "server.log").open("w") as log:
        server = subprocess.Popen(["sh", "-c", command], cwd=place, stdout=log, stderr=log, env=environment,
                                  start_new_session=True)  # fmt: skip
        try:
            _wait(address, server, place / "server.log")
            yield address
        finally:
            server.terminate()  # as make does it when it is told to end
            server.wait()
            with pytest.raises(OSError, match="refused"):
                urllib.request.urlopen(f"{address}/health", timeout=5)


def _wait(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    while True:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).close()
            return
        except OSError:
            assert server.poll() is None, log.read_text()
            time.sleep(0.2)


@pytest.fixture(scope="module")
def address(study: tuple[Path, Experiment]) -> Iterator[str]:
    with served(study[0].parent) as address:
        yield address


@pytest.fixture(scope="module")
def experiment_id(address: str) -> str:
    return MlflowClient(address).get_experiment_by_name("gipo/test").experiment_id


def test_a_moved_study_has_its_files_and_writes_nothing_elsewhere(
    study: tuple[Path, Experiment], address: str, experiment_id: str, tmp_path: Path
):
    mlflow = MlflowClient(address)
    spec = next(iter(study[1].runs.values()))
    (run,) = mlflow.search_runs([experiment_id], f"tags.digest = '{spec.digest()[:8]}'")
    names = {file.path for file in mlflow.list_artifacts(run.info.run_id)}
    assert names >= {"spec.json", "policy.pt", "metrics.parquet", "evaluation.parquet", "manifest.json"}
    got = mlflow.download_artifacts(run.info.run_id, "policy.pt", str(tmp_path))
    assert Path(got).read_bytes() == (study[0] / "runs" / spec.run_id / "policy.pt").read_bytes()
    (report,) = mlflow.search_runs([experiment_id], "tags.level = 'study'")
    assert "a page" in Path(mlflow.download_artifacts(report.info.run_id, "report.html", str(tmp_path))).read_text()
    assert {path.name for path in study[0].parent.iterdir()} == {"results", "server.log"}


def look_ups() -> dict[str, tuple[str, str]]:
    """Filter and order of each look-up that docs/reproduce.md prints, by what it is for."""
    text = (ROOT / "docs" / "reproduce.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| `([^`]*)` \| (?:`([^`]*)`)?[^|]*\|$", text, re.MULTILINE)
    return {what: (condition, order) for what, condition, order in rows if "tags." in condition}


def test_the_printed_look_ups_find_what_they_say(study: tuple[Path, Experiment], address: str, experiment_id: str):
    compare, one, best = look_ups().values()
    mlflow = MlflowClient(address)
    runs = mlflow.search_runs([experiment_id], *[compare[0]])
    assert {run.info.run_name for run in runs} == {
        *("GIPO (1, 1) stale door-open", "GIPO (0.5, 0.5) stale door-open", "PPO-Clip stale door-open"),
    }
    spec = next(iter(study[1].runs.values()))
    condition = one[0].replace("0123abcd", spec.digest()[:8])
    assert [run.data.tags["run_id"] for run in mlflow.search_runs([experiment_id], condition)] == [spec.run_id]
    order = f"metrics.`{best[1]}` DESC"
    runs = mlflow.search_runs([experiment_id], best[0], order_by=[order])
    assert {run.data.tags["method"] for run in runs} == {"gipo-1-1", "gipo-0.5-0.5"}
    scores = [run.data.metrics["return/final_score"] for run in runs]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")
def test_the_page_lists_methods_by_their_names(address: str, experiment_id: str, tmp_path: Path):
    page = opened(f"{address}/#/experiments/{experiment_id}/runs", tmp_path)
    assert "GIPO (1, 1) stale door-open" in page
    assert "gipo/test" in page


def opened(address: str, profile: Path) -> str:
    """What a browser shows at an address, as HTML."""
    command = [
        *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"),
        *("--window-size=1500,1000", "--virtual-time-budget=20000", "--dump-dom", address),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=300).stdout


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")
def test_the_page_finds_what_is_looked_up_in_a_study_of_238_runs(tmp_path: Path):
    scale = Scale.load(ROOT / "workflow" / "config" / "metaworld-mini.yaml")
    assert len(scale.runs) == 238
    write_whole(scale, tmp_path / "results")
    (experiment,) = of_scale(scale, tmp_path / "results")
    assert Tracker([experiment], tmp_path / "results", print).update()
    with served(tmp_path) as address:
        mlflow = MlflowClient(address)
        number = mlflow.get_experiment_by_name(experiment.name).experiment_id

        def named(condition: str) -> list[str]:
            return [run.info.run_name for run in mlflow.search_runs([number], condition, max_results=1000)]

        def shown(condition: str, order: str, names: list[str]) -> set[str]:
            column = f"metrics.`{order}`" if order else "attributes.start_time"
            search = f"searchFilter={quote(condition)}&orderByKey={quote(column)}"
            page = opened(f"{address}/#/experiments/{number}/runs?{search}", tmp_path / "profile")
            return {name for name in names if f">{name}<" in page}

        compare, one, best = look_ups().values()
        every = named("tags.level = 'method'")
        for condition, order in (compare, best):
            assert shown(condition, order, every) == set(named(condition)) < set(every)
        run = list(scale.runs.values())[-1]
        [row] = mlflow.search_runs([number], condition := one[0].replace("0123abcd", run.digest()[:8]))
        assert shown(condition, "", every) == {mlflow.get_run(row.data.tags["mlflow.parentRunId"]).info.run_name}


def test_runs_are_recorded_on_the_server_that_the_environment_names(
    study: tuple[Path, Experiment], address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    results = tmp_path / "results"
    spec = RunDirectory(write_run(results / "runs", seed=7, diagnostics={"every": 500})).read_spec()
    experiment = Experiment("gipo/served", "Served", {spec.run_id: spec})
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert Tracker([experiment], results, print).update()
    mlflow = MlflowClient(address)
    runs = mlflow.search_runs([mlflow.get_experiment_by_name("gipo/served").experiment_id])
    assert {(run.info.run_name, run.info.status) for run in runs} == {
        ("seed 7", "FINISHED"), ("GIPO (1, 1) stale door-open", "FINISHED"),
    }  # fmt: skip
    (child,) = [run for run in runs if run.info.run_name == "seed 7"]
    assert "policy.pt" in {file.path for file in mlflow.list_artifacts(child.info.run_id)}
    assert not (results / "mlflow.db").exists()


def test_a_server_that_is_away_costs_one_line_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    class Scale:
        name = "test"
        runs = ()
        parts = ()

    write_run(tmp_path / "results" / "runs", seed=7)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret-word@127.0.0.1:9")
    monkeypatch.setattr(follow, "of_scale", lambda *_: [Experiment("gipo/away", "Away", {})])
    told: list[str] = []
    assert follow.track(Scale(), tmp_path / "results", told.append, pause=0.0) == []
    (line,) = told
    assert line.startswith("the MLflow server 127.0.0.1 is away or refuses")
    shown = line + "".join(capfd.readouterr())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert "secret-word" not in shown + "".join(path.read_text(errors="replace") for path in files)


def test_an_address_of_no_server_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:///tmp/mlruns")
    with pytest.raises(follow.GipoError, match="MLFLOW_TRACKING_URI is no address of an MLflow server"):
        Tracker([], tmp_path, print).update()
