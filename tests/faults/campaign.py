"""Many faults, each judged; the table of a campaign."""

from __future__ import annotations

import csv
import json
import os
import platform
import random
import re
import subprocess
import time
import traceback
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import actor_faults  # noqa: F401 - they register themselves
import file_faults  # noqa: F401
import process_faults  # noqa: F401
import snakemake_faults  # noqa: F401
from bench import OUTCOMES, Bench
from checkout import ROOT
from kinds import KINDS
from workshop import Workshop

COLUMNS = ("kind", "count", "identical", "clear refusal", "traceback", "hang", "silent", "lost")
PREFACE = """
# What a thousand faults did

A small study is broken in one way after the other, and the same command is given again. *Identical*: it ended with the
files of the undisturbed study, byte for byte, but for dates and speeds. *Clear refusal*: so it did, and on the way one
line had named what was wrong and the way out. The last four columns are what must not be: a traceback or no clear
line, a command that does not end, a wrong or damaged file that nobody spoke of, and something finished that did not
come back.

Signals and refused system calls hit a command at any of its calls that change a file (`tests/faults/kill_at.c`). A
fault of the CSV beside this page can be had again alone: `python -m tests.faults --only 'run: killed:1170000'`.

The table is less strict in four things. Where memory is little, a process that a library aborts counts as killed.
Where Snakemake is hit, any line that names an error or a lock counts as clear. Runs of the asynchronous engine are not
repeatable: their counts are compared, not their bytes. And of the ways out that a line names, two are tried: to delete
what it names, and to give the same command again.
"""


@dataclass(frozen=True)
class Result:
    """What came of a fault."""

    kind: str
    seed: int
    outcome: str
    detail: str
    seconds: float
    faults: int = 1
    """How many there were in one."""


def plan(faults: int, seed: int) -> list[tuple[str, int]]:
    """Kinds and seeds of a campaign of so many faults: each kind by its share, at least one of each."""
    cases = []
    for number, kind in enumerate(KINDS.values()):
        count = max(1, round(kind.count * faults / 1000))
        cases += [(kind.name, seed * 1_000_000 + number * 10_000 + index) for index in range(count)]
    random.Random(seed).shuffle(cases)
    return cases


def one(bench: Bench, name: str, seed: int) -> Result:
    """Try one fault."""
    start = time.monotonic()
    try:
        outcome, detail = bench.verdict(KINDS[name].fault, random.Random(f"{name}:{seed}"))
    except Exception:  # of the campaign itself
        outcome, detail = "broken", traceback.format_exc()
    return Result(name, seed, outcome, detail, round(time.monotonic() - start, 2), bench.faults)


def conduct(workshop: Workshop, cases: list[tuple[str, int]], log: Path, jobs: int = 2) -> list[Result]:
    """Try all faults, but those that are in the log, in so many processes.

    Args:
        workshop: has the finished study.
        cases: kinds and seeds.
        log: results as lines of JSON; it is added to.
        jobs: processes.
    """
    known = {(result.kind, result.seed): result for result in results(log)}
    left = [case for case in cases if case not in known]
    workers = []
    for job in range(jobs):
        if pid := os.fork():
            workers.append(pid)
            continue
        status = 1
        try:
            bench = Bench(workshop)
            with log.open("a", encoding="utf-8", buffering=1) as file:
                for case in left[job::jobs]:
                    result = one(bench, *case)
                    file.write(json.dumps(asdict(result)) + "\n")
            bench.close()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    ends = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in workers]
    if any(ends):
        raise RuntimeError("a process of the campaign failed")
    wanted = set(cases)
    return [result for result in results(log) if (result.kind, result.seed) in wanted]


def results(log: Path) -> list[Result]:
    """All results in a log."""
    if not log.exists():
        return []
    return [Result(**json.loads(line)) for line in log.read_text(encoding="utf-8").splitlines()]


def bad(found: list[Result]) -> list[Result]:
    """Results that no fault should have."""
    return [result for result in found if result.outcome not in {"identical", "clear"}]


def table(found: list[Result]) -> list[list[str]]:
    """Rows of the table: kind, count, and how many have each outcome; the last row is of all."""
    rows = []
    for name in [*KINDS, "all"]:
        outcomes: Counter[str] = Counter()
        for result in found:
            if name in {result.kind, "all"}:
                outcomes[result.outcome] += result.faults
        if outcomes:
            rows.append([name, str(outcomes.total()), *(str(outcomes[outcome]) for outcome in OUTCOMES)])
    return rows


def write_rows(found: list[Result], path: Path) -> None:
    """Write a row for each fault, in the order of kinds."""
    order = list(KINDS)
    rows = sorted(found, key=lambda result: (order.index(result.kind), result.seed))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["kind", "seed", "faults", "outcome", "seconds"])
        writer.writerows([row.kind, row.seed, row.faults, row.outcome, row.seconds] for row in rows)


def page(found: list[Result], seed: int, command: str, seconds: float) -> str:
    """The page with the table: what was done, on what, and what came of it."""
    made_by = {**origin(), "cores": os.cpu_count()}
    lines = [PREFACE.strip(), ""]
    lines += [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    lines += [f"| {' | '.join(row)} |" for row in table(found)]
    lines += ["", f"Command: `{command}`; seed {seed}; {seconds / 60:.0f} minutes on {made_by['cores']} cores,"]
    lines += [f"{made_by['cpu']}; commit {made_by['commit']}.", ""]
    return "\n".join(lines)


def origin() -> dict[str, str]:
    """Commit of this checkout, and the processor."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip() or "unknown"
    models = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {"commit": commit, "cpu": models[0] if models else platform.machine()}
