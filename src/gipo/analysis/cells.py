"""Cells: one quantity of the runs of one method in one regime, from which most measures are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import AfterValidator, model_validator

from gipo import objectives
from gipo.analysis import methods, statistics
from gipo.analysis.results import Place, Results
from gipo.analysis.statistics import Array, Curves, Estimate
from gipo.analysis.verdicts import CannotTellError, NotRunError
from gipo.errors import GipoError
from gipo.runs.spec import ObjectiveSpec
from gipo.tables import STATISTICS

EVALUATED = {"score": "score", "min_max_score": "return", "success": "success_any"}
"""Quantities of evaluations, and their column: the score; the return, for `gipo.analysis.statistics.min_max`; whether
an episode had a success."""

SCORES = ("score", "min_max_score")
"""Quantities of which the IQM is taken, and not the mean."""

QUANTITIES = (*EVALUATED, "gap_share", *STATISTICS)
"""Quantities of a `Cell`: those, mean version gap / updates, and the columns of metrics.parquet."""


def _known(quantity: str) -> str:
    if quantity not in QUANTITIES:
        raise ValueError(f"expected one of {', '.join(QUANTITIES)}")
    return quantity


Quantity = Annotated[str, AfterValidator(_known)]


class Choice(ObjectiveSpec):
    """A method by what it is, whatever a study calls it; written as in a scale config."""

    estimator: Literal["gae", "vtrace"] = "gae"

    @property
    def id(self) -> str:
        """See `gipo.analysis.methods.identify`."""
        return methods.identify(self.name, self.parameters, self.estimator)

    @model_validator(mode="after")
    def _objective_exists(self) -> Choice:
        try:
            objectives.make(self.name, **self.parameters)
        except GipoError as error:
            raise ValueError(str(error)) from error
        return self


class Cell(Place):
    """One quantity of the runs of one method, or of all, in one place."""

    quantity: Quantity
    method: Choice | None = None

    @classmethod
    def at(cls, place: Place, quantity: Quantity) -> Cell:
        """The quantity of the runs of all methods there."""
        return cls(quantity=quantity, **{key: getattr(place, key) for key in Place.model_fields})

    @property
    def label(self) -> str:
        """Id of the method; seeds the resampling of its runs, as in the figures."""
        return self.method.id if self.method else "all"

    def methods(self, results: Results) -> list[str]:
        """Name of the method, or names of all that ran, sorted.

        Raises:
            NotJudgedError: There are no such runs, or the study has the method under several labels.
        """
        names = set(self.rows(results)["method"])
        if not self.method:
            return sorted(names)
        found = methods.find(names, self.method.id)
        if not found:
            raise NotRunError(f"not in this study: {self.method.id}{self}")
        if len(found) > 1:
            labels = " and ".join(repr(methods.read(name).label) for name in found)
            raise CannotTellError(f"ambiguous: {labels} are both {self.method.id}")
        return found

    def curves(self, results: Results) -> list[Curves]:
        """Logged values of the runs of each method.

        Raises:
            NotJudgedError: There are no such runs, or not for every seed and task.
        """
        rows, column = self.rows(results), EVALUATED.get(self.quantity, self.quantity)
        try:
            return [statistics.curves(rows, self.regime, method, column) for method in self.methods(results)]
        except GipoError as error:  # ragged runs
            raise CannotTellError(str(error)) from error

    def values(self, results: Results) -> Array:
        """Windowed value of every run, [seeds, tasks], or [seeds, tasks, methods] for all methods.

        Raises:
            NotJudgedError: There are no such runs, or not for every seed and task.
        """
        values = self._min_max(results) if self.quantity == "min_max_score" else self._windows(results)
        if len({value.shape for value in values}) > 1:
            raise CannotTellError(f"methods in regime {self.regime!r} differ in their number of seeds")
        return values[0] if self.method else np.stack(values, axis=2)

    def _windows(self, results: Results) -> list[Array]:
        return [curve.window() for curve in self.curves(results)]

    def _min_max(self, results: Results) -> list[Array]:
        """Those of all methods in the place decide the scale."""
        every = Cell.at(self, self.quantity)
        scores = statistics.min_max(dict(zip(every.methods(results), every._windows(results), strict=True)))
        return [scores[method] for method in self.methods(results)]

    def rows(self, results: Results) -> pd.DataFrame:
        """Rows of the tidy table that holds the quantity, of all methods.

        Raises:
            NotJudgedError: There are none, or nothing about the paper follows from them.
        """
        tables = results.tables_at(self)
        if results.no_evidence:
            raise CannotTellError(results.no_evidence)
        rows = results.at(self, tables.evaluations if self.quantity in EVALUATED else tables.metrics)
        return _with_gap_share(rows) if self.quantity == "gap_share" else rows


def _with_gap_share(metrics: pd.DataFrame) -> pd.DataFrame:
    updates = metrics.groupby("run_id")["update"].transform("max")
    return metrics.assign(gap_share=metrics["gap_mean"] / updates)


def contrast(name: str, cells: list[Cell], combine: Callable[..., Array], results: Results) -> Estimate:
    """Combine the means (IQMs for the score) of cells; runs are resampled independently in each.

    Args:
        name: what is estimated; seeds the resampling, with the labels of the cells.
        cells: where the values come from.
        combine: one array [resamples, 1] per cell to an array [resamples, 1].
        results: what to measure on.
    """
    labels = [cell.label for cell in cells]
    if len(set(labels)) < len(labels):
        labels = [" ".join(filter(None, (cell.label, cell.regime, cell.sweep, cell.task))) for cell in cells]
    values = dict(zip(labels, (cell.values(results) for cell in cells), strict=True))
    center = statistics.interquartile_mean if cells[0].quantity in SCORES else statistics.mean_of_all
    estimate = statistics.estimate(
        name, values, lambda *arrays: combine(*(center(array) for array in arrays)), results.resamples
    )
    return described(estimate, list(values.values()))


def described(estimate: Estimate, arrays: list[Array], *more: str) -> Estimate:
    """The estimate with the count of the runs behind it, and with what its note must say of them."""
    notes = [_design(arrays), *more, estimate.note]
    return replace(estimate, n=sum(array.size for array in arrays), note="; ".join(filter(None, notes)))


def _design(arrays: list[Array]) -> str:
    """The runs behind an estimate, for example ``1 task x 3 seeds``."""
    counts = zip(("task", "seed"), (arrays[0].shape[1], min(len(array) for array in arrays)), strict=True)
    return " x ".join(f"{count} {noun}{'s' * (count != 1)}" for noun, count in counts)
