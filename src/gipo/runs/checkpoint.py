"""Checkpoints: the whole state of a run in one file that is either whole and intact, or refused by name."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import torch

from gipo.errors import GipoError
from gipo.files import atomic_path

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
        GipoError: the file is damaged; torch itself would load flipped bits without a word.
    """
    data = path.read_bytes()
    if hashlib.sha256(data[_DIGEST_BYTES:]).digest() != data[:_DIGEST_BYTES]:
        raise GipoError(f"checkpoint {path} is corrupt; delete it to start this run again from update 0")
    state: dict[str, Any] = torch.load(io.BytesIO(data[_DIGEST_BYTES:]), weights_only=True, map_location="cpu")
    return state
