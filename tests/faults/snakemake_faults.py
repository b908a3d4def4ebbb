"""Faults of the workflow itself: Snakemake and its jobs, as real processes. Each takes many seconds."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import time
from contextlib import suppress

from bench import Bench, OutcomeError
from file_faults import DAMAGES, put_away, results
from kinds import Fault, kind
from workshop import STUDY
from zygote import Done

TARGETS = (str(STUDY / "figures/fig1.svg"), str(STUDY / "tables/runs.parquet"))
FOLDERS = (
    *("results/faults", "results/faults/figures", "results/faults/tables", "results/runs/near/stale"),
    *("results/baselines", "results/runs/near/fresh/ppo-clip"),
)
SECONDS = 600.0


def checked(bench: Bench, done: Done) -> bool:
    """Whether the workflow came to its end; false where it said why not.

    Raises:
        OutcomeError: it did neither.
    """
    said = done.errors
    if "Traceback (most recent call last)" in said:
        raise OutcomeError("traceback", said[-2500:])
    if done.status is None:
        raise OutcomeError("hang", f"not done after {SECONDS:.0f} s: {said[-1000:]}")
    if done.status and not re.search(r"[Ee]rror|lock|works in", said):
        raise OutcomeError("traceback", f"exit code {done.status} with no clear line: {said[-2500:]!r}")
    bench.seen_line |= done.status != 0
    return done.status == 0


def half_done(bench: Bench, rng: random.Random) -> None:
    """Take away what two runs, the tables and a figure left, so that there is something to do."""
    bench.fresh()
    runs = [step for step in bench.workshop.steps if step.rule == "train"]
    for step in rng.sample(runs, 2):
        bench.take_away(step)
    for step in bench.workshop.steps:
        if set(step.outputs) & set(TARGETS):
            bench.take_away(step)


def whole_again(bench: Bench, what: str) -> str:
    """The same command again, to the end of the whole study.

    Raises:
        OutcomeError: it does not come to its end.
    """
    bench.control.count()
    try:
        done = bench.workshop.snakemake(bench.place, seconds=SECONDS)
        if not checked(bench, done):
            raise OutcomeError("traceback", f"the same command again fails: {done.errors[-2500:]}")
    except OutcomeError as unclear:
        raise OutcomeError(unclear.outcome, f"{what}: {unclear}") from None
    put_away(bench)
    bench.is_whole = True
    return what


def at_any_moment(*signals: signal.Signals) -> Fault:
    """A signal at any moment to Snakemake alone, or to its jobs as well."""

    def fault(bench: Bench, rng: random.Random) -> str:
        half_done(bench, rng)
        process = bench.workshop.start_snakemake(bench.place, *TARGETS)
        seconds, number, send = rng.uniform(0, 15), rng.choice(signals), rng.choice([os.kill, os.killpg])
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            send(process.pid, number)
        try:
            bench.workshop.wait(process, 60)
        finally:
            _wait_for_jobs(process.pid)
        return whole_again(bench, f"{number.name} by {send.__name__} after {seconds:.1f} s")

    return fault


def _wait_for_jobs(session: int) -> None:
    """Let the jobs end whose Snakemake is gone."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            os.killpg(session, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    with suppress(ProcessLookupError):
        os.killpg(session, signal.SIGKILL)


kind("workflow: killed", 12)(at_any_moment(signal.SIGKILL))
kind("workflow: terminated or interrupted", 10)(at_any_moment(signal.SIGTERM, signal.SIGINT, signal.SIGHUP))


@kind("workflow: a job killed at a call", 10)
def job(bench: Bench, rng: random.Random) -> str:
    """Whichever process of the workflow makes the call, Snakemake or a job."""
    half_done(bench, rng)
    bench.control.strike(rng.randint(1, 1500), "signal", signal.SIGKILL)
    process = bench.workshop.start_snakemake(bench.place, *TARGETS, control=bench.control)
    done = bench.workshop.wait(process, SECONDS)
    what = bench.control.struck or "not struck"
    if done.status is None:
        raise OutcomeError("hang", what)
    return whole_again(bench, what)


@kind("workflow: started twice", 10)
def twice(bench: Bench, rng: random.Random) -> str:
    """Two of it in one folder: one works, the other says so."""
    half_done(bench, rng)
    first = bench.workshop.start_snakemake(bench.place, *TARGETS)
    time.sleep(rng.uniform(0, 8))
    second = bench.workshop.start_snakemake(bench.place, *TARGETS)
    ends = [bench.workshop.wait(process, SECONDS) for process in (first, second)]
    for done in ends:
        checked(bench, done)
    return whole_again(bench, "started twice")


@kind("workflow: stopped, then started again", 10)
def stopped(bench: Bench, rng: random.Random) -> str:
    """A frozen one is in the way, and is named; then it goes on, or is killed."""
    half_done(bench, rng)
    process = bench.workshop.start_snakemake(bench.place, *TARGETS)
    time.sleep(rng.uniform(2, 10))
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGSTOP)
    checked(bench, bench.workshop.snakemake(bench.place, *TARGETS, seconds=SECONDS))
    end = rng.choice([signal.SIGCONT, signal.SIGKILL])
    with suppress(ProcessLookupError):
        os.killpg(process.pid, end)
    bench.workshop.wait(process, SECONDS)
    return whole_again(bench, f"stopped, then {end.name}")


@kind("workflow: files damaged or folders deleted", 10)
def files(bench: Bench, rng: random.Random) -> str:
    """Several files at once, each in its own way, or whole folders; one start brings all back."""
    bench.fresh()
    there = results(bench)
    done = []
    if rng.random() < 0.3:
        for name in rng.sample(FOLDERS, rng.randint(1, 3)):
            shutil.rmtree(bench.place / name, ignore_errors=True)
            done.append(f"{name} deleted")
        return whole_again(bench, ", ".join(done))
    for folder in rng.sample(sorted({path.parent for path in there}), 4):
        path = rng.choice([path for path in there if path.parent == folder])
        damage = DAMAGES[rng.choice(sorted(DAMAGES))][0]
        done.append(f"{path.relative_to(bench.place)} {damage(path, rng, [path, there[0]])}")
    return whole_again(bench, "; ".join(done))
