"""Files that are either whole or not there: written beside the target, then renamed."""

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gipo.errors import GipoError
from gipo.processes import Mark

ABANDONED = 3600.0
"""Seconds without a change after which a temporary file of an unseen process counts as left behind."""

_TEMPORARY = re.compile(rf"^\..+\.(?P<mark>{Mark.PATTERN})(\.\w+)?(-\w+)?$")
"""Names that `temporary` gives, and those that SQLite makes of them for its journal."""


def temporary(path: Path) -> Path:
    """Name beside `path` under which this process writes it: hidden, and with the same suffix."""
    return path.with_name(f".{path.stem}.{Mark.own()}{path.suffix}")


MOST_JSON = 1 << 28
"""Bytes of the largest JSON file that is read: of a model with a large vocabulary."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on failure it is removed.

    The temporary name keeps the suffix, from which many writers infer their format. Missing parents are made. Where the
    process is killed, `clear_temporary` removes what it leaves.

    Raises:
        GipoError: The operating system refused (disk full, no permission, ...); the message names `path`.
    """
    tmp = temporary(path)
    if path.is_dir():
        raise GipoError(f"cannot write {path.absolute()}: a folder lies there; move it away or delete it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield tmp
            with tmp.open("rb") as file:
                os.fsync(file.fileno())
            tmp.replace(path)
        finally:
            tmp.unlink(missing_ok=True)
    except OSError as error:
        raise GipoError(f"cannot write {path}: {error}") from error


def is_temporary(name: str) -> bool:
    """Whether a file of this name is one that `atomic_path` has not renamed yet."""
    return _TEMPORARY.match(name) is not None


def is_left_behind(path: Path, alone: bool = False) -> bool:
    """Whether `path` is a temporary file of a process that is gone.

    Args:
        path: a file.
        alone: nobody else works in its folder, so that a process that cannot be seen from here is gone too. Otherwise
            one on another machine, or on this one before it was started anew, is gone after `ABANDONED` seconds.
    """
    if not (found := _TEMPORARY.match(path.name)):
        return False
    exists = Mark.parse(found["mark"]).exists()
    if exists is None and not alone:
        try:
            return time.time() - path.stat().st_mtime > ABANDONED
        except OSError:  # it was renamed or removed
            return False
    return not exists


def clear_temporary(folder: Path, alone: bool = False) -> list[Path]:
    """Remove the temporary files that processes which are gone left in a folder and below; returns those.

    Args:
        folder: need not exist.
        alone: see `is_left_behind`.
    """
    removed = []
    for place, _, names in os.walk(folder):
        for path in (Path(place, name) for name in names):
            if is_left_behind(path, alone):
                with suppress(OSError):  # somebody else was faster, or nobody may
                    path.unlink()
                    removed.append(path)
    return removed


def write_json(path: Path, obj: Any) -> None:
    """Write `obj` as strict JSON (no NaN) with sorted keys, atomically."""
    text = json.dumps(obj, indent=2, sort_keys=True, allow_nan=False)
    with atomic_path(path) as tmp:
        tmp.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        GipoError: The file is missing, unreadable, not JSON or far too large; the message names it.
    """
    try:
        if (size := path.stat().st_size) > MOST_JSON:
            raise GipoError(f"{path} has {size:,} bytes, expected {MOST_JSON:,} at most")
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise GipoError(f"cannot read {path}: {error.strerror}") from error
    except RecursionError:
        raise GipoError(f"{path} is corrupt, expected JSON: too many levels in one another") from None
    except ValueError as error:  # also UnicodeDecodeError
        raise GipoError(f"{path} is corrupt, expected JSON: {error}") from error
