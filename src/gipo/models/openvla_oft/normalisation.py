"""Ranges of actions and proprioception of the data set that a model was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gipo.config import explain
from gipo.errors import GipoError
from gipo.files import read_json

Floats = npt.NDArray[np.float64]
Seven = Field(min_length=7, max_length=7)
Eight = Field(min_length=8, max_length=8)


class _Action(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)

    q01: Annotated[list[float], Seven]
    q99: Annotated[list[float], Seven]
    mask: Annotated[list[bool], Seven] = [True] * 7


class _Proprio(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)

    q01: Annotated[list[float], Eight]
    q99: Annotated[list[float], Eight]


class _DataSet(BaseModel):
    action: _Action
    proprio: _Proprio | None = None


@dataclass(frozen=True)
class Statistics:
    """1 % and 99 % quantiles of one data set, float64."""

    name: str
    action_q01: Floats
    action_q99: Floats
    action_mask: npt.NDArray[np.bool_]
    """Dimensions that are scaled, [7]."""
    proprio_quantiles: tuple[Floats, Floats] | None

    def proprio(self) -> tuple[Floats, Floats]:
        """Quantiles of the proprioception, [8] each; a `GipoError` if there are none."""
        if self.proprio_quantiles is None:
            raise GipoError(f"the statistics of {self.name} have none of proprioception")
        return self.proprio_quantiles


def read_statistics(directory: Path, suite: str) -> Statistics:
    """Statistics of a LIBERO suite, e.g. ``libero_spatial``.

    They are those of dataset_statistics.json, or without it ``norm_stats`` of config.json, under the suite's name or
    that with ``_no_noops`` appended.

    Raises:
        GipoError: a file is missing or damaged, or lacks the suite; names both.
    """
    path = directory / "dataset_statistics.json"
    if path.exists():
        found = read_json(path)
    else:
        path = directory / "config.json"
        content = read_json(path)
        found = content.get("norm_stats") if isinstance(content, dict) else None
    if not isinstance(found, dict) or not found:
        raise GipoError(f"{path}: no statistics of any data set")
    name = next((name for name in (suite, f"{suite}_no_noops") if name in found), None)
    if name is None:
        raise GipoError(f"{path}: no statistics of {suite!r}; there are {', '.join(found)}")
    return _check(path, name, found[name])


def _check(path: Path, name: str, content: Any) -> Statistics:
    try:
        data = _DataSet.model_validate(content)
    except ValidationError as error:
        raise GipoError(f"{path}: {name}: {explain(error)}") from error
    proprio = data.proprio
    return Statistics(
        name,
        np.array(data.action.q01),
        np.array(data.action.q99),
        np.array(data.action.mask),
        (np.array(proprio.q01), np.array(proprio.q99)) if proprio else None,
    )
