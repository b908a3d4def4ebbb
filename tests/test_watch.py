"""What `gipo watch` sees in run directories: of finished, held, left and missing runs."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from gipo.cli import cli
from gipo.files import write_json
from gipo.runs.directory import RunDirectory
from gipo.runs.lock import NAME, locked
from gipo.runs.progress import Progress
from gipo.scale import Scale
from gipo.watch import Sight

CONFIG = {
    "title": "Watched",
    "tasks": ["door-open-v3"],
    "regimes": {"fresh": 0.0855, "stale": 0.874},
    "methods": {"ppo-clip": {"name": "ppo_clip"}, "gipo-1-1": {"name": "gipo"}},
    "seeds": [0, 1, 2],
}


@pytest.fixture
def scale(tmp_path: Path) -> Scale:
    (tmp_path / "watched.yaml").write_text(yaml.safe_dump(CONFIG))
    return Scale.load(tmp_path / "watched.yaml")


def progress(update: int, episode_return: float, rate: float | None = 10.0) -> dict:
    return asdict(Progress(update, 100_000, 64 * update, 60.0, rate, episode_return, 0.5, 0.25, episode_return / 1000))


def directories(scale: Scale, results: Path, regime: str, method: str) -> list[Path]:
    return [results / "runs" / run for run in scale.runs if run.split("/")[1:3] == [regime, method]]


def put(run: Path, **numbers) -> None:
    run.mkdir(parents=True, exist_ok=True)
    write_json(RunDirectory(run).progress, progress(**numbers))


def text(sight: Sight, lines: int | None = None) -> list[str]:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(sight.shown(lines))
    return capture.get().splitlines()


def test_runs_are_counted_by_their_state(scale: Scale, tmp_path: Path):
    done, running, left = directories(scale, tmp_path, "stale", "gipo-1-1")
    put(done, update=100_000, episode_return=300.0)
    RunDirectory(done).manifest.write_text("{}")
    put(running, update=50_000, episode_return=100.0)
    put(left, update=25_000, episode_return=200.0)
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    with locked(running):
        holder = json.loads((running / NAME).read_text())
        (left / NAME).write_text(json.dumps(holder | {"pid": int(gone.stdout)}))  # of a process that was killed
        sight = Sight(scale, tmp_path)
    assert sight.content()["runs"] == {"done": 1, "running": 1, "stopped": 1, "waiting": 9}
    [cell] = [cell for cell in sight.content()["cells"] if cell["done"]]
    assert (cell["task"], cell["regime"], cell["method"]) == ("door-open-v3", "stale", "gipo-1-1")
    assert cell["share"] == pytest.approx((1 + 0.5 + 0.25) / 3)
    assert cell["return"] == pytest.approx(200)
    assert cell["return_deviation"] == pytest.approx(100)
    assert cell["seconds_left"] == pytest.approx(5_000)
    # one after the other: half a run, and ten that take 10,000 s each
    assert sight.seconds_left == pytest.approx(5_000 + 10 * 10_000)
    assert cell["dead"] == pytest.approx(0.2)
    assert "gipo-1-1      1/3    1   58%      200.0 ± 100.0     0.50  0.250  0.200   83 min" in text(sight)
    assert text(sight)[-1] == "1 of 12 runs done · 1 running · 1 stopped · 9 waiting · about 29 h left"


def test_without_results_it_says_what_starts_them(scale: Scale, tmp_path: Path):
    sight = Sight(scale, tmp_path / "nowhere")
    assert (
        text(sight)[-1] == "0 of 12 runs done · 12 waiting · none now: `make reproduce SCALE=watched`, unless it runs"
    )
    assert not sight.is_done


def test_a_small_terminal_shows_what_is_being_made(scale: Scale, tmp_path: Path):
    run, *_ = directories(scale, tmp_path, "fresh", "ppo-clip")
    put(run, update=1, episode_return=1.0, rate=None)
    assert len(text(Sight(scale, tmp_path), lines=10)) == 8
    small = text(Sight(scale, tmp_path), lines=9)
    assert [line.split()[0] for line in small] == ["method", "door-open-v3", "ppo-clip", "0", "3"]
    assert small[-1] == "3 rows have no room here: `gipo watch watched --once`"


def test_progress_of_before_the_dead_share_was_kept_is_shown_without_it(scale: Scale, tmp_path: Path):
    run, *_ = directories(scale, tmp_path, "fresh", "ppo-clip")
    put(run, update=1, episode_return=200.0)
    write_json(RunDirectory(run).progress, {k: v for k, v in progress(1, 200.0).items() if k != "dead"})
    [cell] = [cell for cell in Sight(scale, tmp_path).cells if cell.count("stopped")]
    assert (cell.content()["d95"], cell.content()["dead"]) == (0.25, None)
    assert cell.words()[-3:] == ["0.250", "     ", "       "]


def test_progress_that_is_half_written_is_not_known(scale: Scale, tmp_path: Path):
    run, *_ = directories(scale, tmp_path, "fresh", "ppo-clip")
    run.mkdir(parents=True)
    RunDirectory(run).progress.write_text('{"update": 5')
    assert Sight(scale, tmp_path).counts == {"waiting": 12}


@pytest.mark.parametrize("form", ["--once", "--json"])
def test_the_command_looks_once_where_there_is_no_terminal(form: str):
    done = CliRunner().invoke(cli, ["watch", "smoke", form, "--results", os.devnull])
    assert done.exit_code == 0, done.output
    assert "waiting" in done.output


def test_an_unknown_scale_is_named():
    done = subprocess.run(["gipo", "watch", "smok"], capture_output=True, text=True)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "smok" in line
    assert "smoke" in line
