"""A batch of samples as a trainer left it in a file: npz, parquet or CSV."""

from __future__ import annotations

import difflib
import io
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.lib.npyio import NpzFile
from pyarrow import csv

from gipo.errors import GipoError, lacks_memory, shortened
from gipo.objectives import Samples

NAMES = ("log_pi", "log_mu", "log_ratio", "advantage", "gap", "mask")
EXPECTED = "expected are log_pi and log_mu (or log_ratio), advantage, and, if known, gap and mask"
LARGEST = 1e30
"""Numbers farther from 0 are refused as infinite ones are: their squares are hardly finite."""

_RAGGED = "pad what has different lengths to one, and say in mask what counts"

_DAMAGE = (
    *(ValueError, TypeError, KeyError, OSError, EOFError, RuntimeError),
    *(zlib.error, zipfile.BadZipFile, pa.ArrowException),
)

Array = npt.NDArray[Any]
Arrays = dict[str, Array]


@dataclass(frozen=True)
class Batch:
    """A batch whose numbers can be computed with."""

    samples: Samples
    """Float64, all of one shape, 0 where masked; but an advantage that all of an action share is [..., 1]."""
    shapes: dict[str, tuple[int, ...]]
    """Of the arrays in the file."""
    unused: list[str]
    """Other names in the file, with the one that each may stand for."""


def read(path: Path) -> Batch:
    """Read a batch.

    Args:
        path: an npz whose arrays broadcast as in `Samples`, or a parquet or CSV with a row for each sample. Where no
            array has two axes, as in a table, each sample is an action of one dimension.

    Raises:
        GipoError: the file is missing, damaged or of another kind, lacks a name, or has what is no number; shapes do
            not fit, nothing counts, or a number that counts is not finite or a negative gap.
    """
    names, arrays = _contents(path)
    if problem := _misnamed(names):
        raise GipoError(f"{path}: {problem}; it has {shortened(', '.join(names) or 'no names', 200)}; {EXPECTED}")
    shapes = {name: array.shape for name, array in arrays.items()}
    full = _broadcast(path, {name: _numbers(path, name, array) for name, array in arrays.items()})
    mask = _mask(path, full.pop("mask", None), full["advantage"].shape)
    for name, array in full.items():
        _check(path, name, array, mask)
    kept = {name: np.where(mask, array, 0) for name, array in full.items()}
    if "log_pi" in kept:
        kept["log_ratio"] = kept.pop("log_pi") - kept["log_mu"]
    kept |= {"advantage": _of_actions(kept["advantage"], mask), "mask": mask.astype(np.float64)}
    samples = Samples(**{name: torch.from_numpy(array) for name, array in kept.items()})
    return Batch(samples, shapes, [name + _meant(name, NAMES) for name in names if name not in NAMES])


def _contents(path: Path) -> tuple[list[str], Arrays]:
    """All names in a file, and the arrays of those that are `NAMES`."""
    if path.suffix not in _READERS:
        raise GipoError(f"{path}: expected a file .npz, .parquet or .csv")
    try:
        return _READERS[path.suffix](path.read_bytes())
    except _DAMAGE as error:
        if lacks_memory(error):
            raise
        if isinstance(error, OSError) and error.strerror:
            raise GipoError(f"cannot read {path}: {error.strerror}") from error
        raise GipoError(f"{path} is no {path.suffix[1:]} that can be read: {shortened(str(error))}") from error


def _npz(content: bytes) -> tuple[list[str], Arrays]:
    with NpzFile(io.BytesIO(content), allow_pickle=False) as file:
        return file.files, {name: _array(file, name) for name in file.files if name in NAMES}


def _array(file: NpzFile, name: str) -> Array:
    try:
        return np.asarray(file[name])
    except ValueError as error:
        reason = f"holds objects: {_RAGGED}" if "Object arrays" in str(error) else str(error)
        raise ValueError(f"{name!r} {reason}") from error


def _parquet(content: bytes) -> tuple[list[str], Arrays]:
    with pq.ParquetFile(io.BytesIO(content), page_checksum_verification=True) as file:
        names = file.schema_arrow.names
        return names, _columns(file.read([name for name in NAMES if name in names]))


def _csv(content: bytes) -> tuple[list[str], Arrays]:
    kinds = dict.fromkeys(NAMES[:-1], pa.float64())
    # what a mask holds is guessed from the first block
    whole = csv.ReadOptions(block_size=min(len(content) + 1, 2**31 - 1))
    table = csv.read_csv(io.BytesIO(content), whole, convert_options=csv.ConvertOptions(column_types=kinds))
    return table.column_names, _columns(table)


def _columns(table: pa.Table) -> Arrays:
    return {name: table.column(name).to_numpy() for name in NAMES if name in table.column_names}


_READERS: dict[str, Callable[[bytes], tuple[list[str], Arrays]]] = {".npz": _npz, ".parquet": _parquet, ".csv": _csv}


def _misnamed(names: list[str]) -> str:
    """Fault of the names in a file; empty where they have none."""
    needed = ["advantage"] if "log_ratio" in names else ["log_pi", "log_mu", "advantage"]
    for name in needed:
        if name not in names:
            return f"{name!r} is missing{_meant(name, [other for other in names if other not in NAMES])}"
    return "log_pi and log_ratio exclude each other" if {"log_pi", "log_ratio"} <= set(names) else ""


def _meant(name: str, others: Sequence[str]) -> str:
    """Question for the one of `others` that is most like a name; empty where none is."""
    close = difflib.get_close_matches(name, others, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _numbers(path: Path, name: str, array: Array) -> Array:
    if array.dtype.kind == "O" and array.size:
        raise GipoError(f"{path}: {name!r} holds {type(array.flat[0]).__name__}, expected numbers: {_RAGGED}")
    if array.dtype.kind not in "biufO":
        raise GipoError(f"{path}: {name!r} holds {array.dtype}, expected numbers")
    return array.astype(np.float64)


def _broadcast(path: Path, arrays: Arrays) -> Arrays:
    """The arrays in the shape of all samples, which one of those that have a number for each sample has."""
    if all(array.ndim < 2 for array in arrays.values()):
        arrays = {name: array[..., None] for name, array in arrays.items()}
    found = [array.shape for array in arrays.values()]
    try:
        shape = np.broadcast_shapes(*found)
    except ValueError:
        shape = None
    if shape not in [array.shape for name, array in arrays.items() if name not in ("gap", "mask")]:
        listed = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
        raise GipoError(
            f"{path}: shapes do not broadcast to one of them: {listed}; one number for each row has shape [rows, 1]"
        )
    return {name: np.broadcast_to(array, shape) for name, array in arrays.items()}


def _mask(path: Path, mask: Array | None, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Which samples count."""
    if mask is None:
        mask = np.ones(shape)
    if not mask.size:
        raise GipoError(f"{path} holds no samples: the shape is {list(shape)}")
    if (other := mask[(mask != 0) & (mask != 1)]).size:
        raise GipoError(f"{path}: 'mask' has {other[0]:g}, expected 0 (padding) and 1")
    if not mask.any():
        raise GipoError(f"{path}: 'mask' is 0 for all {mask.size:,} samples")
    return mask != 0


def _check(path: Path, name: str, array: Array, mask: npt.NDArray[np.bool_]) -> None:
    """Refuse an array with a number that counts and cannot be."""
    for words, wrong in (
        (f"not within ±{LARGEST:g}", ~(np.abs(array) <= LARGEST)),
        ("negative, expected are learner updates since the sample was collected", (array < 0) & (name == "gap")),
    ):
        if (places := np.argwhere(wrong & mask)).size:
            first = list(map(int, places[0]))
            some = f"{len(places):,} of {mask.sum():,} samples that count"
            raise GipoError(f"{path}: {name!r} is {array[tuple(first)]:g} at {first}; {some} are {words}")


def _of_actions(advantage: Array, mask: npt.NDArray[np.bool_]) -> Array:
    """The advantage as [..., 1] where it is the same for all that counts of an action."""
    low = advantage.min(-1, keepdims=True, where=mask, initial=np.inf)
    high = advantage.max(-1, keepdims=True, where=mask, initial=-np.inf)
    return np.where(low <= high, high, 0) if (low >= high).all() else advantage
