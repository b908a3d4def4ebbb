"""Faults of the processes of the asynchronous engine: several in one run, as a start of Ray takes many seconds."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pandas as pd
import psutil
import yaml

from bench import Bench, OutcomeError
from gipo.files import read_json
from gipo.runs.directory import RunDirectory
from gipo.runs.manifest import RunManifest
from kinds import kind

SECONDS = 600.0
SILENCE = 10.0
"""Seconds without a sign of life after which the engine takes a process for stuck; a user's runs wait longer."""
SCRIPT = f"""
from gipo.engines.asynchronous.watchdog import Watch
from gipo import cli
Watch.SILENCE = {SILENCE}
cli.app()
"""
UPDATES = 3000
ROLES = ("replay", "learner", "inference", "evaluator", "rollout-0", "rollout-1")
LABELS = ("--task", "near", "--regime", "stale", "--method", "gipo-1-1", "--seed", "0")


class AsynchronousRun:
    """One run, and its processes."""

    def __init__(self, bench: Bench) -> None:
        bench.fresh()
        config = bench.workshop.checkout.root / "workflow" / "config" / "faults.yaml"
        study = yaml.safe_load(config.read_text())
        study["asynchronous"] = {"inference_batch": 4}
        study["regimes"] = {"stale": 2.0}
        study["replay"]["capacity"] = 16_384
        study["learner"]["updates"] = UPDATES
        study["evaluation"]["every"] = 1000
        study["diagnostics"]["every"] = 10
        self.bench, self.config = bench, bench.place / "asynchronous.yaml"
        self.config.write_text(yaml.safe_dump(study))
        self.directory = RunDirectory(bench.place / "asynchronous")
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start it, or start it again."""
        arguments = [
            "train",
            str(self.config),
            str(self.directory.path),
            *LABELS,
            "--checkpoint-seconds",
            "0.5",
            "--quiet",
        ]
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *arguments], cwd=self.bench.place, text=True, start_new_session=True,
            env=self.bench.workshop.checkout.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

    def newest(self, role: str) -> int | None:
        """The newest process of a role that has given a sign of life."""
        beats = sorted((self.directory.scratch / "processes").glob(f"{role}#*.beat"))
        words = beats[-1].read_text().split() if beats else []
        return int(words[1]) if len(words) == 3 and psutil.pid_exists(int(words[1])) else None

    def end(self) -> None:
        """Wait for it, and judge what it left.

        Raises:
            OutcomeError: it did not come to its end, or left counts that do not agree.
        """
        self.bench.check(self.bench.workshop.wait(self.process, SECONDS))
        if self.process.returncode:
            raise OutcomeError("lost", "the run ended with an error")
        manifest = RunManifest.read(self.directory.manifest)
        for name in manifest.files:
            manifest.read_bytes(self.directory.path, name)  # which checks it
        engine, made = read_json(self.directory.engine), read_json(self.directory.provenance)
        updates = pd.read_parquet(self.directory.metrics)["update"].tolist()
        points = pd.read_parquet(self.directory.evaluation)["update"].unique().tolist()
        if engine["env_steps"] != made["env_steps"] or updates != [*range(10, UPDATES + 1, 10)]:
            raise OutcomeError("silent", f"counts do not agree: {engine}")
        if points != [*range(0, UPDATES + 1, 1000)]:
            raise OutcomeError("silent", f"evaluated at {points}")


@kind("actor: killed or stopped", 4)
def actor(bench: Bench, rng: random.Random) -> str:
    """Any process of the engine but the supervisor, several times in one run."""
    run, done = AsynchronousRun(bench), []
    run.start()
    end = time.monotonic() + 120
    while len(done) < 6 and run.process.poll() is None and time.monotonic() < end:
        time.sleep(rng.uniform(0, 3))
        role, number = rng.choice(ROLES), rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
        while not (pid := run.newest(role)) and run.process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        with suppress(ProcessLookupError, TypeError):
            os.kill(pid, number)
            done.append(f"{role} {number.name}")
    bench.faults = len(done)
    try:
        run.end()
    except OutcomeError as unclear:
        raise OutcomeError(unclear.outcome, f"{done}: {unclear}") from None
    return ", ".join(done)


@kind("actor: the supervisor killed", 3)
def supervisor(bench: Bench, rng: random.Random) -> str:
    """The process that started all others, again and again; none of them may stay."""
    run, done = AsynchronousRun(bench), []
    for _ in range(4):
        run.start()
        with suppress(subprocess.TimeoutExpired):
            run.process.wait(rng.uniform(3, 25))
        if run.process.poll() is not None:
            break
        family = psutil.Process(run.process.pid).children(recursive=True)
        run.process.kill()
        run.process.communicate()
        done.append("SIGKILL")
        left = psutil.wait_procs(family, timeout=120)[1]
        if left:
            raise OutcomeError("hang", f"after its supervisor {[process.name() for process in left]} went on")
    bench.faults = len(done)
    if run.process.poll() is not None and run.process.returncode < 0:
        run.start()
    run.end()
    return ", ".join(done)
