"""Faults of one command: signals at any of its calls or at any moment, and a system that refuses."""

from __future__ import annotations

import errno
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from bench import SECONDS, Bench, OutcomeError
from kinds import Fault, kind
from workshop import Step
from zygote import Done

Choose = Callable[[Bench, random.Random], Step]


def run(bench: Bench, rng: random.Random) -> Step:
    """Any run."""
    return rng.choice([step for step in bench.workshop.steps if step.rule == "train"])


def stage(bench: Bench, rng: random.Random) -> Step:
    """Any job that is no run."""
    return rng.choice([step for step in bench.workshop.steps if step.rule != "train"])


def then_again(bench: Bench, step: Step, done: Done, what: str, *, may_die: bool = False) -> str:
    """Judge a disturbed command, and run it again.

    Returns:
        What was done.
    """
    what = f"{step.name}: {what}"
    try:
        bench.check(done, disturbed=may_die)
        bench.again(step)
        if step.rule != "train":  # what was made of a run that was made again is no longer of it
            bench.recover()
    except OutcomeError as unclear:
        raise OutcomeError(unclear.outcome, f"{what}: {unclear}") from None
    return what


def at_a_call(choose: Choose, action: str, number: int = 0, *, may_die: bool = False, **settings) -> Fault:
    """A fault at any of a command's calls."""

    def fault(bench: Bench, rng: random.Random) -> str:
        step = choose(bench, rng)
        at = rng.randint(1, bench.calls_of(step))
        bench.fresh(step)
        bench.control.strike(at, action, number, **settings)
        done = bench.run(step)
        return then_again(bench, step, done, bench.control.struck or "not struck", may_die=may_die)

    return fault


for _choose, _name, _share in ((run, "run", 1.0), (stage, "stage", 0.5)):
    for _words, _count, _action, _number in (
        ("killed", 140, "signal", signal.SIGKILL),
        ("killed within a write", 60, "half", signal.SIGKILL),
        ("terminated", 20, "signal", signal.SIGTERM),
        ("interrupted", 20, "signal", signal.SIGINT),
    ):
        kind(f"{_name}: {_words}", max(10, round(_count * _share)))(
            at_a_call(_choose, _action, int(_number), may_die=True)
        )
    for _words, _count, _number, _settings in (
        ("disk full", 50, errno.ENOSPC, {"lasting": True}),
        ("disk full for a moment", 20, errno.ENOSPC, {}),
        ("no inodes", 20, errno.ENOSPC, {"lasting": True, "creating": True}),
        ("quota reached", 15, errno.EDQUOT, {"lasting": True}),
        ("input/output error", 30, errno.EIO, {}),
        ("read-only", 20, errno.EROFS, {"lasting": True}),
        ("no permission", 20, errno.EACCES, {"lasting": True}),
        ("too many open files", 15, errno.EMFILE, {"lasting": True, "creating": True}),
    ):
        _fault = at_a_call(_choose, "fail", _number, **_settings)
        kind(f"{_name}: {_words}", max(10, round(_count * _share)))(_fault)

    @kind(f"{_name}: clock set back", max(10, round(15 * _share)))
    def clock(bench: Bench, rng: random.Random, choose: Choose = _choose) -> str:
        back = rng.choice([90, 4000, 90_000, 40_000_000])
        return at_a_call(choose, "clock", back=back)(bench, rng) + f" by {back} s"

    @kind(f"{_name}: started twice", max(10, round(15 * _share)))
    def twice(bench: Bench, rng: random.Random, choose: Choose = _choose) -> str:
        step = choose(bench, rng)
        bench.fresh(step)
        both = [bench.zygote.start(*step.command, cwd=bench.place)]
        time.sleep(rng.uniform(0, 0.5))
        both.append(bench.zygote.start(*step.command, cwd=bench.place))
        ends = [bench.zygote.wait(pid, SECONDS) for pid in both]
        for done in ends:
            bench.check(done)
        if all(done.status for done in ends):
            raise OutcomeError("lost", f"{step.name}: both starts ended with an error")
        return then_again(bench, step, ends[0], "started twice")

    for _words, _count, _limit, _low, _high in (
        ("few file handles", 15, "handles", 0, 12),
        ("small files only", 15, "size", 100, 60_000),
        ("little memory", 20, "memory", 100_000, 40_000_000),
    ):

        @kind(f"{_name}: {_words}", max(10, round(_count * _share)))
        def limited(
            bench: Bench, rng: random.Random, choose: Choose = _choose, limit: str = _limit, low: int = _low,
            high: int = _high,
        ) -> str:  # fmt: skip
            step = choose(bench, rng)
            bench.fresh(step)
            value = rng.randint(low, high)
            done = bench.run(step, limits={limit: value})
            what = f"{limit} limited to {value}"
            return then_again(bench, step, done, what, may_die=limit == "memory")  # a library may abort


@kind("run: stopped, then started again", 20)
def stopped(bench: Bench, rng: random.Random) -> str:
    """A frozen process: a second start is refused; woken up it ends well, killed it is replaced."""
    step = run(bench, rng)
    at = rng.randint(1, bench.calls_of(step))
    bench.fresh(step)
    bench.control.strike(at, "signal", signal.SIGSTOP)
    first = bench.zygote.start(*step.command, cwd=bench.place)
    process = psutil.Process(first)
    for _ in range(int(SECONDS * 100)):
        if process.status() in {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}:
            break
        time.sleep(0.01)
    what = bench.control.struck
    second = bench.run(step)
    bench.check(second)
    end = rng.choice([signal.SIGCONT, signal.SIGKILL])
    process.send_signal(end)
    return then_again(bench, step, bench.zygote.wait(first, SECONDS), f"{what}, then {end.name}", may_die=True)


def _is_worker(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return "spawn_main" in " ".join(process.cmdline())
    return False


@kind("run: a worker killed or stopped", 20)
def worker(bench: Bench, rng: random.Random) -> str:
    """One of two processes that collect."""
    step = run(bench, rng)
    command = list(step.command)
    command[command.index("--workers") + 1] = "2"
    bench.fresh(step)
    pid = bench.zygote.start(*command, cwd=bench.place)
    process, workers = psutil.Process(pid), []
    end = time.monotonic() + 20
    while len(workers) < 2 and time.monotonic() < end and process.status() != psutil.STATUS_ZOMBIE:
        workers = [child for child in process.children() if _is_worker(child)]
        time.sleep(0.01)
    time.sleep(rng.uniform(0, 5))
    number = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
    try:
        chosen = rng.choice(workers)
        chosen.send_signal(number)
        if number == signal.SIGSTOP:  # the run waits for it
            time.sleep(1)
            chosen.send_signal(signal.SIGCONT)
    except (psutil.NoSuchProcess, IndexError):
        number = None
    return then_again(bench, step, bench.zygote.wait(pid, SECONDS), f"worker: {number and number.name}")
