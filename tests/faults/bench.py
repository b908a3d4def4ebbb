"""Where one fault after the other is tried: copies of the finished study, commands with faults, and the verdict."""

from __future__ import annotations

import random
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pandas as pd

from gipo.errors import GipoError
from gipo.runs.manifest import RunManifest
from shim import Control
from workshop import MODULES, STUDY, Step, Workshop
from zygote import Done, Zygote

OUTCOMES = ("identical", "clear", "traceback", "hang", "silent", "lost")
"""From the best to the worst. ``identical``: the same command again gave the undisturbed study's files. ``clear``: so
it did, and one line had named the thing and the way out before."""
SECONDS = 150.0
"""Time that a command of the small study may take, of which it needs one or two."""
EXACT = (
    *("runs/*/*/*/*/spec.json", "runs/*/*/*/*/metrics.parquet", "runs/*/*/*/*/evaluation.parquet"),
    *("runs/*/*/*/*/policy.pt", "baselines/*/*.parquet", "faults/gridworld/*.csv", "faults/weights.csv"),
    *("faults/tables/metrics.parquet", "faults/tables/evaluations.parquet", "faults/tables/baselines.parquet"),
    *("faults/scorecard.csv", "faults/figures/*.svg", "faults/figures/*.png", "faults/figures/*.csv"),
    "faults/tracked.json",
)
"""Files of results/ that are the same bytes whenever they are made."""
DATED = {"git_commit", "git_dirty", "finished_at", "host", "cpu", "cores", "interruptions", "seconds", "per_second"}
"""Parts of names of columns and keys that tell when, where or how fast something was made."""


class OutcomeError(Exception):
    """A command ended in another way than well or by one clear line."""

    def __init__(self, outcome: str, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome


class Bench:
    """A place of its own for faults, one at a time."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop
        self.folder = Path(tempfile.mkdtemp(prefix="bench-", dir=workshop.folder))
        self.place = self.folder / "place"
        self.control = Control(self.folder / "control", self.place)
        environment = workshop.checkout.environment | self.control.environment(workshop.library)
        environment |= {"PYTHONPATH": workshop.checkout.environment["PYTHONPATH"], "OMP_NUM_THREADS": "1"}
        environment |= {"MPLBACKEND": "agg", "MPLCONFIGDIR": str(workshop.folder / "cache")}
        self.zygote = Zygote(environment, self.folder / "said", MODULES)
        self.calls: dict[str, int] = {}
        self.seen_line = False
        """Whether a command said why it did not come to its end."""
        self.is_whole = True
        """Whether all that is made of something was made after it."""

        self.faults = 1
        """Faults that were done since `fresh`."""

    def close(self) -> None:
        """End its processes, and remove the place."""
        self.zygote.close()
        shutil.rmtree(self.folder)

    def fresh(self, step: Step | None = None) -> None:
        """A new copy of the finished study, in which a step is still to be made if one is given."""
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self.workshop.finished, self.place)
        self.seen_line, self.is_whole, self.faults = False, True, 1
        self.control.count(self.place)
        if step:
            self.is_whole = False
            self.take_away(step)

    def take_away(self, step: Step) -> None:
        """Make the step undone, with all that its command leaves beside its outputs."""
        if step.rule.startswith("train"):
            shutil.rmtree(self.place / Path(step.outputs[0]).parent)
        for name in step.outputs:
            (self.place / name).unlink(missing_ok=True)

    def calls_of(self, step: Step) -> int:
        """How many calls the step's command makes undisturbed."""
        if step.name not in self.calls:
            self.fresh(step)
            done = self.run(step)
            assert done.status == 0, done.errors
            self.calls[step.name] = self.control.calls
        return self.calls[step.name]

    def run(self, step: Step, **settings) -> Done:
        """Run the step's command, whatever comes of it."""
        return self.zygote.run(*step.command, cwd=self.place, seconds=SECONDS, **settings)

    def check(self, done: Done, *, disturbed: bool = False) -> bool:
        """Whether a command ended well; false where it said one clear line or was killed on purpose.

        Args:
            disturbed: it was killed on purpose, so that it may have died without a word.

        Raises:
            OutcomeError: it ended in another way.
        """
        errors = done.errors.strip()
        if "Traceback (most recent call last)" in errors or "a mistake of gipo's" in errors:
            raise OutcomeError("traceback", errors[-1500:])
        if done.status is None:
            raise OutcomeError("hang", f"not done after {SECONDS:.0f} s: {errors[-500:]}")
        if done.status == 0:
            return True
        if disturbed and (done.status < 0 or done.status in {130, 143}):
            return False
        if len(errors.splitlines()) != 1 or "error: " not in errors:
            raise OutcomeError("traceback", f"exit code {done.status} with no clear line: {errors[-1500:]!r}")
        self.seen_line = True
        return False

    def again(self, step: Step) -> None:
        """The same command again, to its end; what it says is the way out is done.

        Raises:
            OutcomeError: it does not come to its end.
        """
        self.control.count()
        for _ in range(3):
            done = self.run(step)
            if self.check(done):
                return
            if not self.follow(done.errors):
                break
        raise OutcomeError("traceback", f"the way out does not lead there: {done.errors[-1000:]!r}")

    def follow(self, line: str) -> bool:
        """Do what a message says is the way out, as far as it is to delete something; whether it was.

        That is what stands behind the word, or else what the message begins with.
        """
        named = re.search(r"[Dd]elete (\S*/\S*\w)", line) or re.search(r"(\S*/\S*\w)", line)
        if not named or not re.search(r"[Dd]elete", line):
            return False
        path = self.place / named[1]
        if "delete that directory" in line and not path.is_dir():
            path = path.parent
        if not path.is_relative_to(self.place) or path == self.place:
            return False
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        return True

    def recover(self) -> None:
        """The whole workflow again, as `make reproduce` would: what it does at its start, then what is missing.

        Raises:
            OutcomeError: a job of it does not come to its end.
        """
        self.control.count()
        config = self.workshop.checkout.root / "workflow" / "config" / "faults.yaml"
        done = self.zygote.run("recover", str(config), str(STUDY), cwd=self.place, seconds=SECONDS)
        if not self.check(done):
            raise OutcomeError("traceback", f"the workflow does not start: {done.errors}")
        made: set[str] = set()
        for step in self.workshop.steps:
            missing = any(not (self.place / name).exists() for name in step.outputs)
            if missing or made & set(step.inputs):
                self.again(step)
                made |= set(step.outputs)
        self.is_whole = True

    def differences(self) -> Iterator[tuple[str, str]]:
        """What differs from the finished study, as outcome and detail."""
        results, finished = self.place / "results", self.workshop.finished / "results"
        for pattern in EXACT:
            for path in sorted(finished.glob(pattern)):
                name = path.relative_to(finished)
                if not (results / name).is_file():
                    yield "lost", f"{name} is gone"
                elif (results / name).read_bytes() != path.read_bytes():
                    yield "silent", f"{name} differs"
        for name in ("faults/report.html", "faults/tables/runs.parquet", "mlflow.db"):
            if not (results / name).is_file():
                yield "lost", f"{name} is gone"
                return
        yield from _table_differs(results, finished)
        if "</html>" not in (results / "faults" / "report.html").read_text(errors="replace")[-100:]:
            yield "silent", "half a page"
        if records(results / "mlflow.db") != records(finished / "mlflow.db"):
            yield "silent", "mlflow.db has other records"
        for path in results.glob("runs/**/manifest.json"):
            try:
                manifest = RunManifest.read(path)
                for name in manifest.files:
                    manifest.read_bytes(path.parent, name)  # which checks them
            except GipoError as error:
                yield "silent", str(error)
        for path in results.rglob(".*"):
            yield "silent", f"{path.relative_to(results)} is left"
        if self.is_whole:
            verified = self.zygote.run("verify", str(STUDY), cwd=self.place, seconds=SECONDS)
            if verified.status != 0:
                yield "silent", f"gipo verify: {verified.output[-1000:]} {verified.errors[-1000:]}"

    def verdict(self, fault: Callable[[Bench, random.Random], str | None], rng: random.Random) -> tuple[str, str]:
        """Outcome and detail of a fault."""
        detail = ""
        try:
            detail = fault(self, rng) or self.control.struck
            if found := next(self.differences(), None):
                return found[0], f"{detail}: {found[1]}"
        except OutcomeError as unclear:
            return unclear.outcome, f"{detail or self.control.struck}: {unclear}"
        return ("clear" if self.seen_line else "identical"), detail


def records(store: Path) -> list[tuple]:
    """What the MLflow store holds of every run, but for times and places."""
    of_finished = (
        "JOIN tags t USING (run_uuid) JOIN runs r USING (run_uuid)"
        " WHERE t.key = 'run_id' AND r.lifecycle_stage = 'active' AND r.status = 'FINISHED' ORDER BY 1, 2, 3"
    )
    queries = (
        f"SELECT t.value, m.key, m.step, m.value FROM metrics m {of_finished}",
        f"SELECT t.value, p.key, p.value FROM params p {of_finished}",
    )
    connection = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
    try:
        return [row for query in queries for row in connection.execute(query)]
    except sqlite3.DatabaseError as error:
        return [(str(error),)]
    finally:
        connection.close()


def _table_differs(results: Path, finished: Path) -> Iterable[tuple[str, str]]:
    """Differences of the table of runs, but for dates, machines and speeds."""
    name = Path("faults/tables/runs.parquet")
    try:
        here, there = pd.read_parquet(results / name), pd.read_parquet(finished / name)
    except Exception as error:
        return [("silent", f"{name}: {error}")]
    columns = [column for column in there if not any(part in column for part in DATED)]
    if list(here) != list(there) or not here[columns].equals(there[columns]):
        return [("silent", f"{name} differs")]
    return []
