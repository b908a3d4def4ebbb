"""The console under a real Snakemake: as a pipe, on a terminal, when a job fails, and when it is not wanted."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from checkout import ROOT, Checkout, read_plan

pytestmark = pytest.mark.slow

SNAKEFILE = """
import sys
from snakemake.logging import logger

NAMES = [(regime, seed) for regime in ("fresh", "stale") for seed in (0, 1)]
RUNS = [f"results/runs/push-v3/{regime}/gipo-1-1/seed{seed}-abcdef12" for regime, seed in NAMES]
logger.info("Scale mini", extra={"gipo_runs": [Path(run) for run in RUNS]})

rule all:
    input: "report.html"

rule train:
    output: "results/runs/{task}/{regime}/{method}/seed{seed}-{digest}/manifest.json"
    log: "results/runs/{task}/{regime}/{method}/seed{seed}-{digest}/run.log"
    shell: "{sys.executable} train.py $(dirname {output}) 2>> {log}"

rule figure:
    input: [f"{run}/manifest.json" for run in RUNS]
    output: "figure.svg"
    shell: "echo a warning of the figure >&2; sleep 2; touch {output}"

rule report:
    input: "figure.svg"
    output: "report.html"
    shell: "touch {output}"
"""

TRAIN = """
import json, sys, time
from pathlib import Path
run = Path(sys.argv[1])
for update in (0, 50, 100):
    written = {"update": update, "updates": 100, "env_steps": 10, "seconds": 1.0, "updates_per_second": 50.0,
               "episode_return": 12.5, "success": 0.5, "d95": 0.25}
    (run / "new").write_text(json.dumps(written))
    (run / "new").replace(run / "progress.json")
    time.sleep(1.1)
if Path("broken").exists() and "stale" in str(run) and "seed1" in str(run):
    sys.exit("error: update 100: loss_value is nan")
(run / "manifest.json").write_text("{}")
"""


@pytest.fixture
def workflow(tmp_path) -> Path:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "train.py").write_text(TRAIN)
    return tmp_path


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", "--cores", "2", "--logger", "gipo", "--show-failed-logs", *arguments]


def run(workflow: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it with the output in pipes."""
    return subprocess.run(
        command(*arguments), cwd=workflow, env=Checkout(ROOT).environment, capture_output=True, text=True
    )


def run_on_terminal(workflow: Path, *arguments: str) -> tuple[int, str]:
    """Run it on a terminal; exit code and all that was written there."""
    screen, terminal = pty.openpty()
    environment = Checkout(ROOT).environment | {"TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    process = subprocess.Popen(
        command(*arguments), cwd=workflow, env=environment, stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    written = b""
    try:
        while chunk := os.read(screen, 4096):
            written += chunk
    except OSError:  # nobody has the terminal open any more
        pass
    os.close(screen)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", written.decode())
    return process.wait(), re.sub(
        r"(?:\x1b\[[0-9;]*[KAJ]|\r|\n)+", "\n", plain
    )  # wherever the cursor goes, a line begins


RUN = re.compile(r"^push-v3 (fresh|stale) gipo-1-1 seed [01] +100% +12\.5 +0\.50 +0\.250 +\d+ s", re.MULTILINE)


def test_in_a_pipe_every_run_is_one_line(workflow):
    done = run(workflow)
    assert done.returncode == 0, done.stderr
    assert len(RUN.findall(done.stderr)) == 4
    assert "a warning of the figure\n" in done.stderr
    *_, report, log = done.stderr.splitlines()
    assert re.fullmatch(r"report\.html: 4 training runs in \d+ s, none failed", report)
    assert "rule train:" in (workflow / log.removeprefix("Log: ")).read_text()
    assert len(done.stderr.splitlines()) < 20


def test_on_a_terminal_running_runs_are_seen_and_what_jobs_print_is_kept(workflow):
    code, written = run_on_terminal(workflow)
    assert code == 0, written
    assert re.search(r"gipo-1-1 seed [01] +50% +12\.5", written)
    assert re.search(r"^a warning of the figure$", written, re.MULTILINE)
    assert len(RUN.findall(written)) == 4
    assert "about" in written
    assert written.endswith(".snakemake.log\n")
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h") == 1  # the cursor is hidden, and shown again


def test_a_failed_run_is_told_with_its_log_and_the_way_on(workflow):
    (workflow / "broken").touch()
    done = run(workflow, "--keep-going")
    assert done.returncode == 1
    assert "failed: push-v3 stale gipo-1-1 seed 1\n" in done.stderr
    assert "  log: results/runs/push-v3/stale/gipo-1-1/seed1-abcdef12/run.log\n" in done.stderr
    assert "    error: update 100: loss_value is nan\n" in done.stderr
    assert "a command returned non-zero exit status 1.\n" in done.stderr
    assert "CalledProcessError" not in done.stderr
    assert "3 training runs in " in done.stderr
    assert "1 job failed, 3 not done; the same command goes on from here\n" in done.stderr
    (workflow / "broken").unlink()
    assert "1 training run in " in run(workflow).stderr


def test_on_a_terminal_the_error_of_a_job_is_above_the_live_region(workflow):
    (workflow / "broken").touch()
    code, written = run_on_terminal(workflow, "--keep-going")
    assert code == 1
    assert re.search(r"error: update 100: loss_value is nan", written)


def test_a_dry_run_is_snakemakes_own(workflow):
    done = run(workflow, "--dry-run")
    assert read_plan(done.stdout).jobs == {"train": 4, "figure": 1, "report": 1, "all": 1}
    assert "reason: Missing output files" in done.stdout


def test_quiet_is_quiet(workflow):
    assert run(workflow, "--quiet", "all").stderr.splitlines() == ["a warning of the figure"]


def test_an_interrupt_is_told_and_nothing_is_left_running(workflow):
    process = subprocess.Popen(
        command(), cwd=workflow, env=Checkout(ROOT).environment, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    while not list(workflow.glob("results/runs/*/*/*/*/progress.json")):
        time.sleep(0.1)
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    _, written = process.communicate()
    assert process.returncode != 0
    assert "stopped; the same command goes on from here" in written or "failed" in written
