"""Checkpoints: the whole state of a run in one file that is either whole and intact, or refused by name."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import torch

from gipo.errors import GipoError, lacks_memory
from gipo.files import atomic_path
from gipo.runs.spec import RunSpec

_DIGEST_BYTES = hashlib.sha256().digest_size


def save(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` (tensors, numbers, strings, lists, dicts) with its SHA-256 in front, atomically."""
    payload = io.BytesIO()
    torch.save(state, payload)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(hashlib.sha256(payload.getbuffer()).digest())
        file.write(payload.getbuffer())


def load(path: Path) -> dict[str, Any]:
    """Read what `save` wrote, tensors into main memory.

    Raises:
        GipoError: the file cannot be read or is damaged; torch itself would load flipped bits without a word.
        MemoryError, RuntimeError: there is too little memory for it.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GipoError(f"cannot read checkpoint {path}: {error.strerror}; {_REMEDY}") from error
    if hashlib.sha256(data[_DIGEST_BYTES:]).digest() != data[:_DIGEST_BYTES]:
        raise GipoError(f"checkpoint {path} is corrupt; {_REMEDY}")
    try:
        state = torch.load(io.BytesIO(data[_DIGEST_BYTES:]), weights_only=True, map_location="cpu")
    except Exception as error:  # of many kinds, where the content was never written by `save`
        if lacks_memory(error):
            raise
        raise GipoError(f"checkpoint {path} holds no state of a run; {_REMEDY}") from error
    if not isinstance(state, dict):
        raise GipoError(f"checkpoint {path} holds no state of a run; {_REMEDY}")
    return state


def owner(spec: RunSpec, code_digest: str) -> dict[str, Any]:
    """The run that a checkpoint is of, as part of its state."""
    return {"run_id": spec.run_id, "spec_digest": spec.digest(), "code_digest": code_digest}


def load_of(path: Path, spec: RunSpec) -> dict[str, Any]:
    """Read a checkpoint of this run, see `load`.

    Raises:
        GipoError: it is damaged, or another run's.
    """
    state = load(path)
    if missing := owner(spec, "").keys() - state.keys():
        raise GipoError(f"checkpoint {path} does not say its {min(missing)}; {_REMEDY}")
    if (state["run_id"], state["spec_digest"]) != (spec.run_id, spec.digest()):
        raise GipoError(f"checkpoint {path} is of another run, {state['run_id']}, not of {spec.run_id}; {_REMEDY}")
    return state


_REMEDY = "delete it to start this run again from update 0"
