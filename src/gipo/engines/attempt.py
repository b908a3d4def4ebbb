"""One attempt at a run, by whichever engine: its directory locked, finished work left alone, results kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from gipo.errors import GipoError
from gipo.runs import checkpoint, kept
from gipo.runs.code import training_modules
from gipo.runs.directory import RunDirectory
from gipo.runs.lock import locked
from gipo.runs.provenance import origin
from gipo.runs.spec import RunSpec


def attempt(
    spec: RunSpec,
    path: Path,
    work: Callable[[RunDirectory, dict[str, Any], Callable[[str], None]], None],
    tell: Callable[[str], None],
) -> None:
    """Bring a run to its end by ``work``, unless it is there; its checkpoint goes when its results are safe.

    Args:
        spec: the run.
        path: its directory.
        work: trains from the checkpoint where there is one and writes the results; given the directory, where the
            results come from (`gipo.runs.provenance.origin`), and what takes a line.
        tell: takes a line, after the log of the run.

    Raises:
        GipoError: the directory is another run's or in use by another process, or what `work` raises.
    """
    directory = RunDirectory(path.resolve())

    def say(line: str) -> None:
        try:
            directory.path.mkdir(parents=True, exist_ok=True)
            with directory.log.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise GipoError(f"cannot write {directory.log}: {error}") from error
        tell(line)

    with locked(directory.path, say):
        directory.write_spec(spec)
        if directory.finished:
            say(f"{spec.run_id} is finished already")
            return
        made_by = origin(*training_modules(spec))
        if kept.restore(directory, made_by["code_digest"]):
            say(f"{spec.run_id} was finished by this code before; its results are back in place")
            return
        work(directory, made_by, say)
        kept.keep(directory)
        directory.checkpoint.unlink(missing_ok=True)
        shutil.rmtree(directory.scratch, ignore_errors=True)


def unfinished(
    spec: RunSpec, directory: RunDirectory, code_digest: str, tell: Callable[[str], None]
) -> dict[str, Any] | None:
    """State in the checkpoint of a run; None where there is none. A checkpoint of other code is told of and removed.

    Raises:
        GipoError: the checkpoint is corrupt.
    """
    if not directory.checkpoint.exists():
        return None
    state = checkpoint.load(directory.checkpoint)
    if state["code_digest"] == code_digest:
        return state
    tell(f"{spec.run_id}: the checkpoint was written by other code; starting from update 0")
    directory.checkpoint.unlink()
    return None


def check_device(device: str) -> None:
    """Refuse ``cuda`` where there is none.

    Raises:
        GipoError: no GPU is visible.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise GipoError("device = 'cuda': no CUDA GPU is visible to this process")
