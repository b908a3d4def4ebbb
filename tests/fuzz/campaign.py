"""One damaged input after the other, and what came of each."""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzz.kinds import KINDS
from gipo.errors import MOST_SAID, GipoError

PATIENCE = 60
"""Seconds of the processor after which an input hangs."""


@dataclass
class Result:
    """Outcomes of the inputs of one kind."""

    kind: str
    accepted: int = 0
    refused: int = 0
    failures: list[str] = field(default_factory=list)
    """Those that were neither, with the way to see it again."""
    longest: float = 0.0
    """Seconds of the processor for the input that took longest."""

    @property
    def inputs(self) -> int:
        return self.accepted + self.refused + len(self.failures)


def campaign(kind: str, count: int, first: int = 0) -> Result:
    """Try inputs of a kind, numbers ``first`` to ``first + count - 1``; each follows from kind and number."""
    result = Result(kind)
    for number in range(first, first + count):
        started = time.process_time()
        said = one(kind, number)
        result.longest = max(result.longest, time.process_time() - started)
        if said is None:
            result.accepted += 1
        elif isinstance(said, GipoError) and not _wrong(str(said)):
            result.refused += 1
        else:
            words = _wrong(str(said)) if isinstance(said, GipoError) else "".join(traceback.format_exception(said)[-3:])
            again = f"python -m fuzz {kind.replace(' ', '_')} --first {number} --count 1"
            result.failures.append(f"{again}\n{words}")
    return result


def one(kind: str, number: int) -> BaseException | None:
    """The exception of an input; None where it was accepted."""
    with tempfile.TemporaryDirectory(prefix="gipo-fuzz-") as folder, _patience(), _silence(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            KINDS[kind](Path(folder), random.Random(f"{kind} {number}"))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a panic of a library written in Rust is no Exception
            return error
    return None


def _wrong(message: str) -> str:
    """The fault of a message; empty where it has none."""
    if len(message) > MOST_SAID:
        return f"a message of {len(message)} characters"
    return "" if message.isprintable() and message else f"a message that is no line: {message!r}"


@contextmanager
def _patience() -> Iterator[None]:
    def stop(number: int, frame: Any) -> None:
        raise TimeoutError(f"no answer in {PATIENCE} s")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextmanager
def _silence() -> Iterator[None]:
    """Nothing on stderr, where libraries written in Rust and C++ complain by themselves."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
