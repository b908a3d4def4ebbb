"""One attempt at a run, by whichever engine: its directory locked, finished work left alone, results kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from gipo.errors import GipoError
from gipo.runs import checkpoint, kept
from gipo.runs.code import code_of
from gipo.runs.directory import RunDirectory, remove
from gipo.runs.lock import locked
from gipo.runs.manifest import RunManifest
from gipo.runs.provenance import Origin, origin
from gipo.runs.spec import RunSpec


def attempt(
    spec: RunSpec,
    path: Path,
    work: Callable[[RunDirectory, Origin, Callable[[str], None]], None],
    tell: Callable[[str], None],
) -> None:
    """Bring a run to its end: leave it or put it back in order where it is finished, else train it by ``work``.

    Its checkpoint goes when its results and their copy are on the disk.

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
        _check_owner(directory, spec)
        code_digest = code_of(spec)
        if not kept.recover(directory, spec, code_digest, say):
            directory.clear_results()
            directory.write_spec(spec)
            work(directory, origin(code_digest), say)
            kept.keep(directory, RunManifest.read(directory.manifest))
        remove(directory.checkpoint)
        shutil.rmtree(directory.scratch, ignore_errors=True)


def _check_owner(directory: RunDirectory, spec: RunSpec) -> None:
    """Refuse another run's directory. A damaged file says nothing, nor does a spec against the directory's own name.

    Raises:
        GipoError: the directory is another run's.
    """
    found = spec.run_id
    if directory.path.name != Path(spec.run_id).name:
        with suppress(GipoError):
            found = directory.read_spec().run_id
    with suppress(GipoError):
        found = RunManifest.read(directory.manifest).run_id
    if found != spec.run_id:
        raise GipoError(
            f"{directory.path} holds another run, {found}, not {spec.run_id}; "
            "choose another directory, or delete what lies in this one"
        )


def unfinished(
    spec: RunSpec, directory: RunDirectory, code_digest: str, tell: Callable[[str], None]
) -> dict[str, Any] | None:
    """State in the checkpoint of a run; None where there is none. A checkpoint of other code is told of and removed.

    Raises:
        GipoError: the checkpoint is corrupt, or another run's.
    """
    if not directory.checkpoint.exists():
        return None
    state = checkpoint.load_of(directory.checkpoint, spec)
    if state["code_digest"] == code_digest:
        return state
    tell(f"{spec.run_id}: the checkpoint was written by other code; starting from update 0")
    remove(directory.checkpoint)
    return None


def check_device(device: str) -> None:
    """Refuse ``cuda`` where there is none.

    Raises:
        GipoError: no GPU is visible.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise GipoError("device = 'cuda': no CUDA GPU is visible to this process")
