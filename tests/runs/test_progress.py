"""What can be seen of a run while it is made."""

import json

import pandas as pd
import pytest

from gipo.engines import lockstep
from gipo.engines.asynchronous.snapshots import Snapshots
from gipo.files import write_json
from gipo.learner import Learner
from gipo.runs.directory import RunDirectory
from gipo.runs.progress import Progress, ProgressLog, duration, label, read_progress
from gipo.study import Study
from small_study import STUDY

SPEC = Study.model_validate(STUDY).run("door-open-v3", "stale", "gipo-1-1", 5)


def episode(update, total, success):
    return {"update": update, "return": total, "success_any": success}


def log_into(directory, *steps, clock, monkeypatch):
    """Progress log that is told of updates at times; returns the lines."""
    lines = []
    times = iter(clock)
    monkeypatch.setattr("gipo.runs.progress.monotonic", lambda: next(times))
    progress = ProgressLog(SPEC, RunDirectory(directory), lines.append)
    for step in steps:
        progress.log(*step)
    monkeypatch.undo()
    return lines


def test_the_rate_is_that_of_this_attempt_and_the_evaluation_the_latest(tmp_path, monkeypatch):
    episodes = [episode(0, 1.0, False), episode(100, 10.0, True), episode(100, 30.0, False)]
    steps = [(50, 900, [], None, None), (150, 2000, episodes, 0.25, 0.0)]
    lines = log_into(tmp_path, *steps, clock=[100.0, 110.0, 130.0], monkeypatch=monkeypatch)
    assert read_progress(tmp_path) == Progress(150, 200, 2000, 30.0, 5.0, 20.0, 0.5, 0.25, 0.0)
    assert read_progress(tmp_path).seconds_left == 10.0
    assert read_progress(tmp_path).whole_seconds == 40.0
    assert lines == [
        "door-open-v3 stale gipo-1-1 seed 5: update 50/200 · 900 env steps",
        "door-open-v3 stale gipo-1-1 seed 5: update 150/200 · 2,000 env steps · 5 updates/s"
        " · return 20.0 · success 0.50 · D0.95 0.250 · about 10 s left",
    ]


def test_a_learner_that_starts_again_from_an_older_checkpoint_has_no_negative_rate(tmp_path, monkeypatch):
    steps = [(100, 0, [], None, None), (40, 0, [], None, None), (60, 0, [], None, None)]
    log_into(tmp_path, *steps, clock=[0.0, 0.0, 10.0, 14.0], monkeypatch=monkeypatch)
    assert read_progress(tmp_path).updates_per_second == 5.0


def test_numbers_that_are_not_finite_are_unknown(tmp_path, monkeypatch):
    steps = [(100, 0, [episode(0, float("nan"), False)], float("nan"), float("nan"))]
    log_into(tmp_path, *steps, clock=[0.0, 0.0], monkeypatch=monkeypatch)
    read = read_progress(tmp_path)
    assert (read.episode_return, read.d95, read.dead) == (None, None, None)


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"update": 3}'])
def test_a_missing_or_damaged_file_is_no_progress(tmp_path, content):
    if content is not None:
        RunDirectory(tmp_path).progress.write_text(content)
    assert read_progress(tmp_path) is None


def test_a_run_is_seen_while_it_is_made_and_when_it_is_finished(tmp_path, monkeypatch):
    seen = []
    original = Learner.update

    def update(self, index, again=False):
        if self.updates == 150:
            seen.append(json.loads((tmp_path / "progress.json").read_text()))
        return original(self, index, again)

    monkeypatch.setattr(Learner, "update", update)
    monkeypatch.setattr(ProgressLog, "INTERVAL", 0.0)
    lines = []
    lockstep.train(SPEC, tmp_path, tell=lines.append)
    [now] = seen
    assert now["update"] == 150
    assert now["updates_per_second"] > 0
    assert now["d95"] > 0
    end, logged = read_progress(tmp_path), pd.read_parquet(tmp_path / "metrics.parquet").iloc[-1]
    assert (end.d95, end.dead) == (logged["d95"], logged["dead"])
    assert (end.update, end.share) == (200, 1.0)
    assert (tmp_path / "run.log").read_text().splitlines() == lines


def test_the_latest_evaluation_of_an_asynchronous_run_is_found_among_its_snapshots(tmp_path):
    snapshots = Snapshots(tmp_path)
    assert snapshots.latest_evaluation() == []
    for update in (9, 10):
        write_json(snapshots.directory / f"{update:09}.json", [episode(update, float(update), True)])
    assert snapshots.latest_evaluation() == [episode(10, 10.0, True)]


def test_a_path_says_which_run_it_is():
    assert label(SPEC.run_id) == label(f"results/runs/{SPEC.run_id}") == "door-open-v3 stale gipo-1-1 seed 5"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (89, "89 s"),
        (91, "2 min"),
        (3600, "60 min"),
        (9000, "2.5 h"),
        (86400, "24 h"),
        (400000, "4.6 days"),
    ],
)
def test_durations_are_said_in_two_digits(seconds, words):
    assert duration(seconds) == words
