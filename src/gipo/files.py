"""Files that are either whole or not there: written beside the target, then renamed."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gipo.errors import GipoError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on failure it is removed.

    The temporary name keeps the suffix, from which many writers infer their format. Missing parents are made.

    Raises:
        GipoError: The operating system refused (disk full, no permission, ...); the message names `path`.
    """
    tmp = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
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


def write_json(path: Path, obj: Any) -> None:
    """Write `obj` as strict JSON (no NaN) with sorted keys, atomically."""
    text = json.dumps(obj, indent=2, sort_keys=True, allow_nan=False)
    with atomic_path(path) as tmp:
        tmp.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        GipoError: The file is missing, unreadable or not JSON; the message names it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise GipoError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # also UnicodeDecodeError
        raise GipoError(f"{path} is corrupt, expected JSON: {error}") from error
