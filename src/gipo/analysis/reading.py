"""Reading the CSVs that one stage of the workflow leaves for the next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from gipo.errors import GipoError


def read_csv(path: Path, columns: Sequence[str] = (), **options: Any) -> pd.DataFrame:
    """The named columns of a CSV, or all where none is named.

    Args:
        path: the file.
        columns: columns that must be there.
        options: passed on to `pandas.read_csv`.

    Raises:
        GipoError: the file is missing or damaged, or lacks a column; names both.
    """
    try:
        rows = pd.read_csv(path, **options)
    except (OSError, ValueError) as error:
        raise GipoError(f"cannot read {path}: {error}") from error
    if missing := [column for column in columns if column not in rows]:
        raise GipoError(f"{path}: column {missing[0]!r} is missing")
    return rows[list(columns)] if columns else rows
