"""The console on made-up events of Snakemake: what is printed of a study, and how much."""

import importlib.util
import logging
import os
import re
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yte
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.tests import MockOutputSettings

from checkout import ROOT
from gipo.console import lines
from gipo.console.estimate import expected_seconds, seconds_left
from gipo.console.handler import LogHandler
from gipo.files import write_json
from gipo.study import Study

LAPTOP = Study.load(ROOT / "workflow" / "config" / "laptop.yaml")
RUNS = [Path("results/runs", run.run_id) for run in LAPTOP.all_runs()]
OTHERS = {"baseline": 1, "gridworld": 1, "weights": 1, "tables": 1, "claims": 1, "figure": 10, "store": 1, "track": 1}
OTHERS |= {"report": 1, "all": 1}
PROGRESS = {"update": 1000, "updates": 4000, "env_steps": 9000, "seconds": 20.0, "updates_per_second": 50.0}
PROGRESS |= {"episode_return": 123.4, "success": 0.25, "d95": 0.321}


def settings(**given):
    asked = MockOutputSettings()
    asked.printshellcmds = False
    asked.quiet = set()
    vars(asked).update(given)
    return asked


@pytest.fixture
def handler(tmp_path, monkeypatch):
    """A handler in a fresh working directory, whose ticker does nothing by itself."""
    monkeypatch.chdir(tmp_path)
    handler = LogHandler(settings(), None)
    monkeypatch.setattr(handler.display, "TICK", 3600.0)
    yield handler
    handler.close()


def send(handler, message="", level=logging.INFO, **fields):
    record = logging.LogRecord("snakemake", level, "", 0, message, (), None)
    vars(record).update(fields)
    handler.emit(record)


def begin(handler, runs=RUNS, **others):
    send(handler, "Scale", gipo_runs=runs)
    counts = {"train": len(runs)} | (others or OTHERS)
    send(handler, "Job stats:\n...", event=LogEvent.RUN_INFO, stats=counts | {"total": sum(counts.values())})


def start(handler, number, rule, output=(), given=("x",)):
    send(
        handler,
        f"Rule: {rule}",
        event=LogEvent.JOB_INFO,
        jobid=number,
        rule_name=rule,
        output=output,
        input=list(given),
    )
    send(handler, f"Shell command: gipo {rule}", event=LogEvent.SHELLCMD, shellcmd=f"gipo {rule}")


def start_run(handler, number, run):
    start(handler, number, "train", [f"{run}/spec.json", f"{run}/manifest.json"])


def finish(handler, number):
    send(handler, f"Finished jobid: {number}", event=LogEvent.JOB_FINISHED, job_id=number)
    send(handler, event=LogEvent.PROGRESS, done=number, total=43)


def fail(handler, number, run, log, indent=False):
    send(
        handler,
        "Error in rule train",
        logging.ERROR,
        event=LogEvent.JOB_ERROR,
        **{"jobid": number, "rule_name": "train", "rule_msg": None, "log": [str(log)], "aux": {}, "indent": indent},
        **{"shellcmd": "gipo   train x", "output": [f"{run}/manifest.json"]},
    )


def progress(run, **changed):
    write_json(Path(run) / "progress.json", PROGRESS | changed)


def laptop(handler, minutes=14):
    """The laptop scale as Snakemake tells of it: two jobs at a time, with a summary in every minute."""
    for message in ("Building DAG of jobs...", "Using shell: /usr/bin/bash", "Provided cores: 2"):
        send(handler, message)
    begin(handler)
    jobs = [("train", run) for run in RUNS] + [(rule, None) for rule, count in OTHERS.items() for _ in range(count)]
    tells = max(1, len(jobs) // minutes)
    for number, (rule, run) in enumerate(jobs):
        send(handler, "Select jobs to execute...")
        send(handler, "Execute 1 jobs...", event=LogEvent.JOB_STARTED, jobs=[number])
        if run:
            start_run(handler, number, run)
            progress(run)
        else:
            start(
                handler, number, rule, [] if rule == "all" else [f"results/{rule}.csv"], ["results/laptop/report.html"]
            )
        with handler.display.lock:
            handler.session.look()
            if number % tells == 0:
                handler.display._summed_up = -1e9
            handler.display._sum_up()
        finish(handler, number)
    send(handler, f"Complete log(s): {Path.cwd()}/.snakemake/log/x.log")
    handler.close()


def test_the_laptop_scale_is_told_in_under_100_lines(handler, capfd):
    laptop(handler)
    printed = capfd.readouterr().err.splitlines()
    assert 24 + 14 < len(printed) < 60
    assert max(map(len, printed)) < 200


def test_every_run_has_one_line_with_return_success_and_d95(handler, capfd):
    laptop(handler)
    printed = capfd.readouterr().err
    for run in LAPTOP.all_runs():
        name = f"{run.task} {run.regime} {run.method} seed {run.seed}"
        assert len(re.findall(rf"^{name} +100% +123\.4 +0\.25 +0\.321 +\d+ s$", printed, re.MULTILINE)) == 1


def test_the_last_lines_say_where_report_and_log_are(handler, capfd):
    laptop(handler)
    *_, report, log = capfd.readouterr().err.splitlines()
    assert re.fullmatch(r"results/laptop/report\.html: 24 training runs in \d+ s, none failed", report)
    assert log == "Log: .snakemake/log/x.log"


def test_a_job_with_a_manifest_that_trains_nothing_is_no_run(handler, capfd):
    start(handler, 1, "baseline", ["results/baselines/a-v3-01234567/manifest.json"])
    finish(handler, 1)
    assert capfd.readouterr().err == ""


def test_the_columns_of_finished_runs_are_named_once_above_them_on_a_terminal_too(handler, capfd, monkeypatch):
    monkeypatch.setattr(handler.display, "on_terminal", True)
    monkeypatch.setattr(handler.display, "start", lambda: None)
    begin(handler, RUNS[:2])
    for number, run in enumerate(RUNS[:2]):
        start_run(handler, number, run)
        progress(run)
        finish(handler, number)
    head, *rows = capfd.readouterr().err.splitlines()[-3:]
    assert head.split() == ["training", "run", "done", "return", "success", "D0.95", "time"]
    assert all("100%" in row for row in rows)


def test_a_row_of_the_laptop_scale_fits_in_80_columns(handler):
    begin(handler)
    start_run(handler, 1, RUNS[-1])
    progress(RUNS[-1], episode_return=1304.2)
    handler.session.look()
    width = lines.width(handler.session, 80)
    assert len(lines.running_row(handler.session.running[1], width)) <= 80
    assert len(lines.header(width)) <= 80


def test_names_that_are_too_long_for_a_terminal_lose_their_beginning(handler):
    run = Path("results/runs/door-open-v3/refreshed/vtrace-gipo-1-1/seed0-abcdef12")
    begin(handler, [run])
    start_run(handler, 1, run)
    progress(run, updates_per_second=0.5, episode_return=1304.2)
    handler.session.look()
    row = lines.running_row(handler.session.running[1], lines.width(handler.session, 80))
    assert row.startswith("… refreshed vtrace-gipo-1-1 seed 0 ")
    assert row.endswith("1.7 h left")
    assert 80 - lines.TIME <= len(row) <= 80


def test_a_failed_run_shows_its_log_and_counts_until_it_succeeds(handler, capfd):
    begin(handler, RUNS[:2], report=1)
    log = RUNS[0] / "run.log"
    log.parent.mkdir(parents=True)
    log.write_text("".join(f"line {i}\n" for i in range(100)) + "error: loss_value is nan\n")
    start_run(handler, 1, RUNS[0])
    fail(handler, 1, RUNS[0], log)
    printed = capfd.readouterr().err
    assert f"log: {log}\n" in printed
    assert printed.count("line ") == lines.TAIL - 1
    assert "error: loss_value is nan" in printed
    assert "command: gipo train x" in printed
    assert "1 failed" in lines.summary(handler.session)
    assert "1 job failed, 2 not done" in lines.ending(handler.session, None, None)[0]
    start_run(handler, 1, RUNS[0])
    finish(handler, 1)
    assert "failed" not in lines.summary(handler.session)


def test_in_a_group_of_jobs_a_run_counts_as_soon_as_it_has_its_results_and_not_when_the_group_fails(handler, capfd):
    """Snakemake tells of the end of all members at once, and removes all their results where one failed."""
    begin(handler, RUNS[:4])
    for number, run in enumerate(RUNS[:4]):
        start_run(handler, number, run)
    progress(RUNS[0], update=4000)
    progress(RUNS[1], update=4000)
    (RUNS[0] / "manifest.json").write_text("{}")
    assert [job.run for job in handler.session.look()] == [RUNS[0]]
    assert handler.session.look() == []
    assert [job.run for job in handler.session.being_made] == [RUNS[1]]
    assert lines.summary(handler.session).startswith("1 of 4 runs done")
    send(
        handler,
        "Error in group g",
        logging.ERROR,
        event=LogEvent.GROUP_ERROR,
        groupid="g",
        aux_logs=["slurm.log"],
        job_error_info=[],
    )
    for number, run in enumerate(RUNS[:4]):
        fail(handler, number, run, run / "run.log", indent=True)
    assert lines.summary(handler.session).startswith("0 of 4 runs done · 4 failed")
    printed = capfd.readouterr().err
    assert "failed: a job of group g\n  log: slurm.log\n" in printed
    assert all(f"  log: {run}/run.log\n" in printed for run in RUNS[:4])
    for number, run in enumerate(RUNS[:4]):
        start_run(handler, number, run)
    for number in range(4):
        finish(handler, number)
    assert lines.summary(handler.session).startswith("all runs done")
    assert capfd.readouterr().err.count("100%") == 4


def test_a_log_that_is_not_there_is_said(handler, capfd):
    begin(handler, RUNS[:1])
    start_run(handler, 1, RUNS[0])
    fail(handler, 1, RUNS[0], "nowhere.log")
    assert "cannot be read: No such file" in capfd.readouterr().err


def test_errors_and_warnings_of_snakemake_are_shown_and_its_chatter_is_not(handler, capfd):
    send(handler, "Building DAG of jobs...")
    send(handler, "MissingInputException: a.csv", logging.ERROR, event=LogEvent.ERROR, exception="X")
    send(handler, "Falling back to greedy scheduler", logging.WARNING)
    send(handler, "Nothing to be done (all requested files are present and up to date).")
    assert capfd.readouterr().err.splitlines() == [
        "MissingInputException: a.csv",
        "Falling back to greedy scheduler",
        "Nothing to be done (all requested files are present and up to date).",
    ]


@pytest.mark.parametrize(
    "asked", [{"dryrun": True}, {"quiet": {"rules"}}, {"verbose": True}, {"printshellcmds": True}, {"debug_dag": True}]
)
def test_whoever_asks_for_snakemakes_own_words_gets_them(asked, capfd):
    handler = LogHandler(settings(**asked), None)
    assert not handler.writes_to_stream
    send(handler, "MissingInputException", logging.ERROR, event=LogEvent.ERROR)
    assert capfd.readouterr().err == ""


def test_the_progress_of_an_earlier_attempt_is_not_that_of_a_job_that_waits_in_a_queue(handler):
    progress(RUNS[0])
    os.utime(RUNS[0] / "progress.json", (1e9, 1e9))
    begin(handler)
    start_run(handler, 1, RUNS[0])
    handler.session.look()
    assert handler.session.being_made == []
    progress(RUNS[0], update=2000)
    handler.session.look()
    assert [job.progress.update for job in handler.session.being_made] == [2000]


def test_nothing_is_said_of_the_time_left_before_anything_is_known(handler):
    begin(handler)
    start_run(handler, 1, RUNS[0])
    progress(RUNS[0], update=0, updates_per_second=None)
    handler.session.look()
    assert handler.session.seconds_left() is None
    assert "left" not in lines.summary(handler.session)


def test_runs_and_short_jobs_do_not_count_alike(handler):
    begin(handler)
    for number in (1, 2):
        start_run(handler, number, RUNS[number])
        progress(RUNS[number])
    handler.session.look()
    training = (2 * 60 + 22 * 80) / 2  # two have 3,000 of 4,000 updates left at 50/s; 22 are to come
    assert training < handler.session.seconds_left() < training + 19 * 5


def test_finished_runs_of_an_earlier_call_are_not_to_come_but_tell_how_long_one_takes(handler):
    for run in RUNS[:23]:
        progress(run, update=4000, updates_per_second=100.0)
        (run / "manifest.json").write_text("{}")
    send(handler, "Scale", gipo_runs=RUNS)
    send(handler, event=LogEvent.RUN_INFO, stats={"train": 1, "total": 1})
    assert handler.session.seconds_left() == pytest.approx(40.0)


def directory(task, regime, number):
    return Path(f"results/runs/{task}/{regime}/m/seed{number}-abcdef12")


def test_a_run_takes_as_long_as_others_of_its_task_and_regime():
    seen = {directory("a", "fresh", 0): 100.0, directory("a", "stale", 0): 10.0, directory("b", "stale", 0): 30.0}
    assert expected_seconds(directory("a", "stale", 1), seen, {}) == 10.0
    assert expected_seconds(directory("c", "stale", 1), seen, {}) == 20.0
    assert expected_seconds(directory("c", "lag", 1), seen, {}) == pytest.approx(140 / 3)
    assert expected_seconds(directory("c", "lag", 1), {}, {}) is None


def test_a_plan_is_corrected_by_what_was_seen():
    planned = {"a/fresh/m/seed0-abcdef12": 50.0, "a/stale/m/seed1-abcdef12": 7.0}
    run = directory("a", "stale", 1)
    assert expected_seconds(run, {}, planned) == 7.0
    assert expected_seconds(run, {directory("a", "fresh", 0): 100.0}, planned) == 14.0


def test_the_time_left_is_never_less_than_that_of_the_slowest_run():
    assert seconds_left([100.0, 2.0], [], 0, {}, {}) == 100.0
    assert seconds_left([], [directory("a", "stale", 1)], 1, {directory("a", "stale", 0): 9.0}, {}) == 9.0
    assert seconds_left([], [], 0, {}, {}) == 0.0


def test_a_long_study_is_summed_up_ever_more_rarely(handler, monkeypatch, capfd):
    begin(handler, RUNS[:1])
    capfd.readouterr()
    began = handler.session.began
    for minute in range(7 * 24 * 60):
        monkeypatch.setattr("gipo.console.display.time", SimpleNamespace(
            monotonic=lambda minute=minute: began + 60.0 * minute + 1.0, strftime=time.strftime
        ))  # fmt: skip
        handler.display._sum_up()
    monkeypatch.undo()
    assert 100 < len(capfd.readouterr().err.splitlines()) < 200


def test_a_figure_alone_is_told_without_runs(handler, capfd):
    send(handler, event=LogEvent.RUN_INFO, stats={"figure": 1, "fig2": 1, "total": 2})
    start(handler, 1, "figure", ["fig2.svg"])
    finish(handler, 1)
    assert lines.summary(handler.session).startswith("1 job left · 0 s so far, about")
    start(handler, 2, "fig2", [], ["fig2.svg"])
    finish(handler, 2)
    handler.close()
    assert capfd.readouterr().err.splitlines() == ["2 jobs to be done", "fig2.svg: 2 jobs in 0 s, none failed"]


@pytest.mark.parametrize(("installed", "logger"), [(True, "gipo"), (False, None)])
def test_an_environment_without_the_plugin_has_snakemakes_own_console(monkeypatch, installed, logger):
    find = importlib.util.find_spec
    plugin = "snakemake_logger_plugin_gipo"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: find(name) if installed or name != plugin else None)
    profile = yte.process_yaml((ROOT / "profiles" / "default" / "profile.yaml").read_text())
    assert profile.get("logger") == logger
    assert profile["keep-going"]
