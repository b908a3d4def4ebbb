"""Faults of one file of the finished study, or of the checkpoint of a run that is not finished."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from bench import Bench, OutcomeError
from kinds import Fault, kind
from workshop import STUDY, Step

Damage = Callable[[Path, random.Random, list[Path]], str]
"""Damages a file, given others; returns what it did."""


def flipped(path: Path, rng: random.Random, others: list[Path]) -> str:
    content = bytearray(path.read_bytes())
    position, bit = rng.randrange(len(content)), rng.randrange(8)
    content[position] ^= 1 << bit
    path.write_bytes(content)
    return f"bit {bit} of byte {position} flipped"


def cut(path: Path, rng: random.Random, others: list[Path]) -> str:
    size = rng.randrange(path.stat().st_size)
    with path.open("r+b") as file:
        file.truncate(size)
    return f"cut to {size} bytes"


def emptied(path: Path, rng: random.Random, others: list[Path]) -> str:
    path.write_bytes(b"")
    return "emptied"


def deleted(path: Path, rng: random.Random, others: list[Path]) -> str:
    path.unlink()
    return "deleted"


def swapped(path: Path, rng: random.Random, others: list[Path]) -> str:
    alike = [other for other in others if other.name == path.name and other.read_bytes() != path.read_bytes()]
    alike = alike or [other for other in others if other.suffix == path.suffix and other != path]
    other = rng.choice(alike or [other for other in others if other != path])
    content = other.read_bytes()
    other.write_bytes(path.read_bytes())
    path.write_bytes(content)
    return f"swapped with {other}"


def doubled(path: Path, rng: random.Random, others: list[Path]) -> str:
    content = path.read_bytes()
    path.write_bytes(content + content)
    return "doubled"


def garbage(path: Path, rng: random.Random, others: list[Path]) -> str:
    path.write_bytes(rng.randbytes(path.stat().st_size))
    return "overwritten"


def edited(path: Path, rng: random.Random, others: list[Path]) -> str:
    """One digit of a text, or of whatever looks like one."""
    content = bytearray(path.read_bytes())
    digits = [position for position, byte in enumerate(content) if byte in b"0123456789"]
    if not digits:
        return flipped(path, rng, others)
    position = rng.choice(digits)
    content[position] = ord("0") + (content[position] - ord("0") + rng.randint(1, 9)) % 10
    path.write_bytes(content)
    return f"digit {position} changed"


def replaced_by_folder(path: Path, rng: random.Random, others: list[Path]) -> str:
    path.unlink()
    path.mkdir()
    return "replaced by a folder"


def linked(path: Path, rng: random.Random, others: list[Path]) -> str:
    path.unlink()
    path.symlink_to(rng.choice(["nowhere", "/dev/null", path.name]))
    return f"replaced by a link to {path.readlink()}"


DAMAGES: dict[str, tuple[Damage, int]] = {
    "bit flipped": (flipped, 70),
    "cut": (cut, 50),
    "emptied": (emptied, 25),
    "deleted": (deleted, 50),
    "swapped": (swapped, 50),
    "doubled": (doubled, 15),
    "overwritten": (garbage, 20),
    "edited": (edited, 30),
    "a folder in its place": (replaced_by_folder, 20),
    "a link in its place": (linked, 20),
}


def results(bench: Bench) -> list[Path]:
    """Every file that is a result, or says something of one."""
    passed_over = {"mlflow.db", "run.log", "errors.log"}
    files = sorted(path for path in (bench.place / "results").rglob("*") if path.is_file())
    return [
        path
        for path in files
        if path.name not in passed_over and "mlflow-artifacts" not in path.parts and path.stat().st_size
    ]


def in_the_study(damage: Damage) -> Fault:
    """Damage any file; what reads it must refuse it or be right, and the workflow must bring it back."""

    def fault(bench: Bench, rng: random.Random) -> str:
        bench.fresh()
        files = results(bench)
        folder = rng.choice(sorted({path.parent for path in files}))  # so that many pictures are not most faults
        path = rng.choice([path for path in files if path.parent == folder])
        name = path.relative_to(bench.place)
        what = f"{name}: {damage(path, rng, files)}"
        try:
            read(bench, name, rng)
            bench.recover()
            put_away(bench)
        except OutcomeError as unclear:
            raise OutcomeError(unclear.outcome, f"{what}: {unclear}") from None
        return what

    return fault


def put_away(bench: Bench) -> None:
    """Delete folders that were moved aside because they lay where a file belongs; `gipo verify` asks for it."""
    for folder in bench.place.glob("results/**/*.folder-*"):
        folder.rmdir()
        bench.seen_line = True


def read(bench: Bench, name: Path, rng: random.Random) -> None:
    """Let a job that reads a file make its outputs again, from the damage; it refuses, or makes what it made before."""
    readers = [step for step in bench.workshop.steps if any(str(name.parent) in given for given in step.inputs)]
    if not readers:
        return
    step = rng.choice(readers)
    if not bench.check(bench.run(step)):
        return
    for output in step.outputs:
        made, before = bench.place / output, bench.workshop.finished / output
        exact = made.suffix in {".csv", ".svg", ".parquet"} and made.name != "runs.parquet"
        if exact and made.read_bytes() != before.read_bytes():
            raise OutcomeError("silent", f"{step.name} took it, and {output} differs")


for _name, (_damage, _count) in DAMAGES.items():
    kind(f"file: {_name}", _count)(in_the_study(_damage))


@kind("file: bit flipped, its time kept", 20)
def secretly(bench: Bench, rng: random.Random) -> str:
    """What a failing disk does: nothing tells of it but the bytes."""
    bench.fresh()
    path = rng.choice(results(bench))
    before = path.stat()
    what = f"{path.relative_to(bench.place)}: {flipped(path, rng, [])}"
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    try:
        done = bench.zygote.run("verify", str(STUDY), cwd=bench.place)
        if done.status == 1 and path.name in done.output:
            bench.seen_line = True
            bench.recover()  # as the line says
        else:
            bench.check(done)
    except OutcomeError as unclear:
        raise OutcomeError(unclear.outcome, f"{what}: {unclear}") from None
    return what


@kind("file: one too many", 20)
def foreign(bench: Bench, rng: random.Random) -> str:
    """Files that nobody made, and what a killed process leaves."""
    bench.fresh()
    files = results(bench)
    like = rng.choice(files)
    name = rng.choice([f"copy-{like.name}", f".{like.stem}.999999{like.suffix}", "notes.txt", f"{like.name}.bak"])
    shutil.copy(like, like.parent / name)
    bench.recover()
    (like.parent / name).unlink(missing_ok=True)
    return f"{like.parent.relative_to(bench.place)}/{name} added"


def unfinished(bench: Bench, step: Step, rng: random.Random) -> Path:
    """Leave a run that was killed, with a checkpoint; the place of the checkpoint."""
    checkpoint = bench.place / Path(step.outputs[0]).parent / "checkpoint.pt"
    for _ in range(20):
        bench.take_away(step) if checkpoint.parent.exists() else None
        bench.control.strike(rng.randint(bench.calls[step.name] // 4, bench.calls[step.name]), "signal", signal.SIGKILL)
        bench.run(step)
        if checkpoint.exists():
            break
    bench.control.count()
    return checkpoint


def of_a_checkpoint(damage: Damage) -> Fault:
    """Damage the checkpoint of a run that was killed."""

    def fault(bench: Bench, rng: random.Random) -> str:
        step, other = rng.sample([step for step in bench.workshop.steps if step.rule == "train"], 2)
        for each in (step, other):
            bench.calls_of(each)
        bench.fresh(step)
        bench.take_away(other)
        path, another = unfinished(bench, step, rng), unfinished(bench, other, rng)
        what = f"{step.name}: checkpoint {damage(path, rng, [path, another])}"
        try:
            bench.again(step)
            bench.again(other)
        except OutcomeError as unclear:
            raise OutcomeError(unclear.outcome, f"{what}: {unclear}") from None
        return what

    return fault


for _name, (_damage, _count) in DAMAGES.items():
    if _damage is not edited:
        kind(f"checkpoint: {_name}", 10)(of_a_checkpoint(_damage))


@kind("mlflow store: damaged", 20)
def store(bench: Bench, rng: random.Random) -> str:
    """The store of MLflow, which `gipo store` makes again where it is gone."""
    bench.fresh()
    path = bench.place / "results" / "mlflow.db"
    what = rng.choice([cut, emptied, deleted, garbage])(path, rng, [path])
    (bench.place / STUDY / "tracked.json").unlink()
    try:
        bench.recover()
    except OutcomeError as unclear:
        raise OutcomeError(unclear.outcome, f"{path.name} {what}: {unclear}") from None
    return f"{path.name} {what}"
