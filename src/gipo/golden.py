"""Golden numbers: what the authors' own code computed, against what is computed here."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from gipo.errors import GipoError

Arrays = Mapping[str, npt.NDArray[Any]]

MOST_ARRAYS, MOST_GOLDEN = 1000, 1 << 32
"""Arrays of a file, and bytes of all of them, at most."""


@dataclass(frozen=True)
class Comparison:
    """One quantity of one file."""

    file: str
    quantity: str
    deviation: float | None
    """Largest deviation; or, where entries must be equal, how many are not. None: not compared."""
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the deviation is a number within its tolerance, or nothing was compared."""
        return self.deviation is None or self.deviation <= self.tolerance


def told(path: Path, part: Callable[[], Iterator[Comparison]]) -> list[Comparison]:
    """All comparisons of a part; one line where the arrays of its files do not go together."""
    try:
        return list(part())
    except GipoError:
        raise
    except Exception as error:  # of numpy, torch or Python, depending on what does not fit
        raise GipoError(f"{path}: what was computed there does not fit together: {error!r}") from error


def check(comparisons: list[Comparison]) -> None:
    """Raise a `GipoError` that names the first failures, if there are any."""
    if failed := [f"{row.file}: {row.quantity}" for row in comparisons if not row.passed]:
        more = ", ..." if len(failed) > 3 else ""
        raise GipoError(f"{len(failed)} of {len(comparisons)} quantities deviate: {', '.join(failed[:3])}{more}")


def show(comparisons: list[Comparison]) -> None:
    """Print the table."""
    table = Table(box=SIMPLE, show_edge=False, pad_edge=False, padding=(0, 1), collapse_padding=True)
    for name in ("file", "quantity", "deviation", "tolerance", ""):
        table.add_column(name, justify="right" if name in ("deviation", "tolerance") else "left", no_wrap=True)
    previous = None
    for row in comparisons:
        deviation = "not compared" if row.deviation is None else f"{row.deviation:.3g}"
        tolerance = f"{row.tolerance:.0e}" if row.tolerance else "equal"
        verdict = "" if row.deviation is None else "ok" if row.passed else "FAILED"
        table.add_row(row.file if row.file != previous else "", row.quantity, deviation, tolerance, verdict)
        previous = row.file
    Console(highlight=False, width=120).print(table)


class _Golden(dict[str, npt.NDArray[Any]]):
    """Arrays of a file; a `GipoError` names one that it lacks."""

    path: Path

    def __missing__(self, name: str) -> npt.NDArray[Any]:
        raise GipoError(f"{self.path} has no array {name!r}")


def read_arrays(path: Path) -> Arrays:
    """Arrays of an npz file.

    Raises:
        GipoError: it is missing, damaged or too large; or, later, an array that it lacks is asked for.
    """
    golden = _Golden()
    golden.path = path
    try:
        with zipfile.ZipFile(path) as file:
            sizes = {info.filename: info.file_size for info in file.infolist()}
            if len(sizes) > MOST_ARRAYS or sum(sizes.values()) > MOST_GOLDEN:
                raise GipoError(f"{path} has {len(sizes):,} arrays of {sum(sizes.values()):,} bytes, which is too much")
            for name, size in sizes.items():
                with file.open(name) as stream:
                    golden[name.removesuffix(".npy")] = _array(stream, size)
    except FileNotFoundError as error:
        raise GipoError(f"cannot read {path}: no such file") from error
    except (OSError, ValueError, TypeError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
        raise GipoError(f"{path} is truncated or corrupt, expected npz: {error}") from error
    return golden


def read_array(path: Path) -> npt.NDArray[Any]:
    """The array of an npy file.

    Raises:
        GipoError: it is missing or damaged.
    """
    try:
        with path.open("rb") as stream:
            return _array(stream, path.stat().st_size)
    except FileNotFoundError as error:
        raise GipoError(f"cannot read {path}: no such file") from error
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise GipoError(f"{path} is truncated or corrupt, expected npy: {error}") from error


def _array(stream: IO[bytes], size: int) -> npt.NDArray[Any]:
    """One array, whose header is not believed: nothing larger than its file is made room for."""
    content = io.BytesIO(stream.read(size))
    version = np.lib.format.read_magic(content)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = read_header(content)
    if math.prod(shape) * kind.itemsize != size - content.tell():
        raise ValueError(f"an array {shape} of {kind} in {size:,} bytes")
    content.seek(0)
    array: npt.NDArray[Any] = np.lib.format.read_array(content, allow_pickle=False)
    return array


def same(path: Path, quantity: str, found: npt.NDArray[Any], golden: npt.NDArray[Any]) -> Comparison:
    """How many entries are not equal."""
    if found.shape != golden.shape:
        return Comparison(path.name, quantity, np.inf, 0)
    return Comparison(path.name, quantity, int((found != golden).sum()), 0)


def near(path: Path, quantity: str, found: npt.NDArray[Any], golden: npt.NDArray[Any], tolerance: float) -> Comparison:
    """The largest absolute deviation."""
    if found.shape != golden.shape:
        return Comparison(path.name, quantity, np.inf, tolerance)
    return Comparison(path.name, quantity, float(np.abs(found.astype(np.float64) - golden).max()), tolerance)
