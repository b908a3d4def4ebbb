"""The command line: light to start, and one line for every mistake in what it is given."""

import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import factories
from checkout import ROOT
from gipo import suites
from gipo.runs.baseline import Baseline
from gipo.study import Study

CONFIGS = ROOT / "workflow" / "config"
SMOKE = str(CONFIGS / "smoke.yaml")
HEAVY = {"torch", "mujoco", "metaworld", "gymnasium", "mlflow", "matplotlib", "rliable", "pandas", "numpy"}

Gipo = Callable[..., tuple[int, str, str]]


@pytest.fixture
def gipo(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Gipo:
    """``python -m gipo ...`` in this process: exit code, stdout, stderr."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gipo", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_module("gipo", run_name="__main__")
        return end.value.code, *capfd.readouterr()

    return run


@pytest.fixture
def fails(gipo: Gipo) -> Callable[..., None]:
    """Run with arguments that are wrong, and see exactly one line with the given words."""

    def run(arguments: list[str | Path], words: list[str]) -> None:
        code, out, err = gipo(*arguments)
        assert (code, out) == (1, "")
        assert err.startswith("error: ")
        assert err.endswith("\n")
        assert err.count("\n") == 1
        for word in words:
            assert word in err

    return run


def test_help_imports_nothing_heavy():
    command = [sys.executable, "-X", "importtime", "-m", "gipo", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "typer" in imported
    assert not imported & HEAVY
    for name in ("train", "baseline", "collect", "track", "figure", "scorecard", "report", "plan", "schema"):
        assert name in done.stdout


def test_an_error_is_one_line_and_exit_code_1():
    done = subprocess.run([sys.executable, "-m", "gipo", "gridworld", "no.yaml", "out"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "error: cannot read no.yaml: No such file or directory\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("tasks: [door-open-v3\nseeds: }", ["is not valid YAML", "line 2"]),
        ("methods:\n  sapo: {name: sapo}\n  sapo: {name: gipo}\n", ["'sapo' stands twice", "line 3"]),
        ("title: \x01", ["is not valid YAML", "#x0001"]),
        (b"\xff\xfe\x00", ["is not valid YAML", "0xff"]),
        ("", ["valid dictionary"]),
        ("- door-open-v3", ["valid dictionary"]),
    ],
    ids=["syntax", "twice", "character", "bytes", "empty", "list"],
)
def test_a_config_that_is_no_mapping_is_named(
    fails: Callable[..., None], tmp_path: Path, content: str | bytes, words: list[str]
):
    config = tmp_path / "scale.yaml"
    config.write_bytes(content if isinstance(content, bytes) else content.encode())
    fails(["gridworld", config, tmp_path / "out"], [str(config), *words])


def _set(*keys: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        *sections, last = keys
        for section in sections:
            content = content[section]
        content[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_set("bach", value=3), ["unknown key bach"]),
        (_set("learner", "bach", value=3), ["unknown key learner.bach"]),
        (_set("methods", "gipo-1-1", "sigma", value=1), ["unknown key methods.gipo-1-1.sigma"]),
        (_set("learner", "updates", value="many"), ["learner.updates = 'many'", "valid integer"]),
        (_set("learner", "updates", value=1.5), ["learner.updates = 1.5", "valid integer"]),
        (_set("replay", value=[1]), ["replay = [1]"]),
        (_set("regimes", "stale", value="long"), ["regimes.stale = 'long'", "valid number"]),
        (_set("regimes", "stale", value=-1), ["regimes.stale = -1", "equal to 0.000001"]),
        (_set("regimes", "a/b", value=1), ["a/b"]),
        (_set("tasks", value=["door-opn-v3"]), ["'door-opn-v3'", "did you mean 'door-open-v3'?"]),
        (_set("tasks", value=["chess"]), ["unknown task 'chess'"]),
        (_set("seeds", value=[0, 0]), ["seeds = [0, 0]", "twice"]),
        (_set("seeds", value=[]), ["seeds"]),
        (_set("methods", "m", value={"name": "gippo"}), ["methods.m", "unknown objective 'gippo'", "no_clip, ppo"]),
        (_set("methods", "m", value={"name": "no.module:x"}), ["methods.m", "cannot import module 'no.module'"]),
        (_set("methods", "gipo-1-1", "parameters", value={"sgma": 1}), ["no parameter 'sgma'", "sigma_pos"]),
        (_set("methods", "gipo-1-1", "parameters", value={"sigma_pos": 0}), ["sigma_pos = 0.0", "from 0.001"]),
        (_set("methods", "gipo-1-1", "parameters", value={"sigma_neg": -2}), ["sigma_neg = -2.0", "from 0.001"]),
        (_set("methods", "gipo-1-1", "parameters", value={"kernel": "box"}), ["kernel = 'box'", "gaussian"]),
        (_set("replay", "capacity", value=32), ["replay.capacity = 32", "learner.batch_size = 64"]),
    ],
)
def test_a_mistake_in_a_config_is_named(
    fails: Callable[..., None], tmp_path: Path, change: Callable[[dict[str, Any]], None], words: list[str]
):
    content = yaml.safe_load(Path(SMOKE).read_text())
    change(content)
    config = tmp_path / "scale.yaml"
    config.write_text(yaml.safe_dump(content))
    fails(["gridworld", config, tmp_path / "out"], [f"{config}: ", *words])


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (("--task", "push-v3"), ["no task 'push-v3'", "door-open-v3"]),
        (("--regime", "old"), ["no regime 'old'", "fresh, stale"]),
        (("--method", "sapo"), ["no method 'sapo'", "ppo-clip, gipo-1-1"]),
        (("--seed", "7"), ["no seed 7", "0, 1"]),
    ],
)
def test_train_names_what_the_study_does_not_have(
    fails: Callable[..., None], tmp_path: Path, option: tuple[str, str], words: list[str]
):
    run = {"--task": "door-open-v3", "--regime": "stale", "--method": "gipo-1-1", "--seed": "0"} | dict([option])
    fails(["train", SMOKE, tmp_path / "run", *(word for pair in run.items() for word in pair)], words)
    assert not (tmp_path / "run").exists()


def test_baseline_names_an_unknown_task(fails: Callable[..., None], tmp_path: Path):
    fails(["baseline", SMOKE, "door-opn-v3", tmp_path / "baseline"], ["'door-opn-v3'", "door-open-v3"])


@pytest.mark.filterwarnings("error:Constant")
def test_baseline_is_silent_about_the_experts_clipped_actions(gipo: Gipo, tmp_path: Path):
    path = tmp_path / Study.load(Path(SMOKE)).baseline("door-open-v3").baseline_id
    assert gipo("baseline", SMOKE, "door-open-v3", path) == (0, "", "")
    assert len(Baseline.read(path).episodes())


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Made-up results of the smoke scale where the study looks for them."""
    study, root = Study.load(Path(SMOKE)), tmp_path / "results"
    rng = np.random.default_rng(0)
    for spec, directory in zip(study.runs(), study.run_directories(root), strict=True):
        factories.write_results(directory, spec, factories.metrics(spec, rng), factories.evaluation(spec, 0.5, rng))
    for task in study.tasks:
        factories.write_baseline(root / "baselines", task, digest=study.baseline(task).digest())
    return root


def test_collect_gathers_the_runs_of_the_study(gipo: Gipo, results: Path, tmp_path: Path):
    code, _, err = gipo("collect", SMOKE, results, tmp_path / "scale")
    assert (code, err) == (0, "")
    assert {path.stem for path in (tmp_path / "scale" / "tables").iterdir()} == {
        "runs",
        "metrics",
        "evaluations",
        "baselines",
    }


@pytest.mark.parametrize("command", ["collect", "track"])
def test_missing_results_are_named(fails: Callable[..., None], tmp_path: Path, command: str):
    fails([command, SMOKE, tmp_path / "nowhere", tmp_path / "out"], ["missing results", "nowhere", "door-open-v3"])


def test_a_missing_baseline_is_named(fails: Callable[..., None], results: Path, tmp_path: Path):
    (file,) = (results / "baselines").rglob("episodes.parquet")
    file.unlink()
    fails(["collect", SMOKE, results, tmp_path / "tables"], [str(file)])


def test_a_truncated_table_is_named(fails: Callable[..., None], results: Path, tmp_path: Path):
    file = Study.load(Path(SMOKE)).run_directories(results)[-1] / "metrics.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    fails(["collect", SMOKE, results, tmp_path / "tables"], [str(file), "its manifest says"])
    assert not (tmp_path / "tables").exists()


def test_an_unknown_figure_is_named(fails: Callable[..., None], tmp_path: Path):
    fails(
        ["figure", "fig10", tmp_path, tmp_path / "out"],
        ["unknown figure 'fig10'", "fig1, fig2, fig3, success_curves, success, table1, fig4"],
    )


@pytest.mark.parametrize(
    ("figure", "source"),
    [
        ("fig1", "weights.csv"),
        ("fig2", "tables"),
        ("fig4", "gridworld/policies.csv"),
        ("table1", "tables"),
        ("iqm", "tables"),
        ("scorecard", "scorecard.csv"),
    ],
)
def test_a_missing_source_of_a_figure_is_named(fails: Callable[..., None], tmp_path: Path, figure: str, source: str):
    fails(["figure", figure, tmp_path / "scale", tmp_path / "out"], [str(tmp_path / "scale" / source)])


def test_a_missing_archive_of_assets_is_named(fails: Callable[..., None], tmp_path: Path):
    fails(["libero-assets", tmp_path / "out", "--archive", tmp_path / "none.tar"], ["none.tar", "no such file"])


def test_plan_names_an_unknown_scale(fails: Callable[..., None]):
    fails(["plan", "--scale", "huge"], ["unknown scale 'huge'", "laptop", "paper"])


def test_verify_says_that_a_folder_is_called_as_its_scale(fails: Callable[..., None], tmp_path: Path):
    fails(["verify", tmp_path], [f"{tmp_path}: a study's folder has the name of its scale", "laptop", "paper"])


@pytest.mark.slow
def test_plan_predicts_hours_from_rates_measured_here(gipo: Gipo):
    code, out, err = gipo("plan", "--scale", "smoke")
    assert code == 0
    assert "about half a minute" in err
    rows = [line.split() for line in out.splitlines()]
    (total,) = (row for row in rows if row[:1] == ["total"])
    assert float(total[4]) > 0
    assert "perfectly packed" in out


def test_the_committed_schema_is_the_one_of_the_code(gipo: Gipo, tmp_path: Path):
    assert gipo("schema", tmp_path / "scale.json")[0] == 0
    committed = ROOT / "workflow" / "schemas" / "scale.schema.json"
    assert (tmp_path / "scale.json").read_text() == committed.read_text()


def test_the_schema_describes_every_property():
    schema = json.loads((ROOT / "workflow" / "schemas" / "scale.schema.json").read_text())
    described = {
        f"{section['title']}.{name}": value.get("description", "")
        for section in [schema, *schema["$defs"].values()]
        for name, value in section["properties"].items()
    }
    assert [name for name, words in described.items() if len(words.split()) < 2] == []
    assert len(described) > 70


def test_the_schema_names_the_suites_and_their_sweeps():
    properties = json.loads((ROOT / "workflow" / "schemas" / "scale.schema.json").read_text())["properties"]
    assert properties["suite"]["enum"] == list(suites.names())
    swept = {sweep for name in suites.names() for sweep in suites.get(name).sweeps}
    assert set(properties["sweeps"]["propertyNames"]["enum"]) == swept


def test_the_schema_allows_no_unknown_keys():
    schema = json.loads((ROOT / "workflow" / "schemas" / "scale.schema.json").read_text())
    sections = [schema, *schema["$defs"].values()]
    maps = [value for section in sections for value in section["properties"].values() if value.get("type") == "object"]
    closed = [found for found in maps if "enum" in found.get("propertyNames", {})]
    assert [found["title"] for found in closed] == ["Sweeps"]
    open_ones = [f for f in sections + maps if f["additionalProperties"] is not False and f not in closed]
    typed = {found["title"]: {kind["type"] for kind in found["additionalProperties"]["anyOf"]} for found in open_ones}
    assert (
        typed
        == {  # any name, typed values: of an objective's parameters, and of what a method changes of the learner
            "Parameters": {"number", "string"},
            "Learner": {"boolean", "integer", "number", "string"},
        }
    )
