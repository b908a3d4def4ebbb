"""What a claim measures: quantities of the runs, of the trust weights and of the gridworld, each as an `Estimate`.

A measure is a model whose fields are its arguments in claims.yaml; ``name`` chooses it. To add one, write the model and
put it into `Measure`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field, field_validator
from scipy.stats import trim_mean

from gipo.analysis import statistics
from gipo.analysis.exact import Asymmetry, BoundUse, CaseStudy, Family
from gipo.analysis.results import MeasureBase, NotTestedError, Results
from gipo.analysis.statistics import Array, Estimate
from gipo.errors import GipoError
from gipo.runs.spec import Section
from gipo.tables import STATISTICS

QUANTITIES = ("score", "gap_share", *STATISTICS)
"""What a `Cell` can hold: normalised score, mean version gap / updates, the columns of metrics.parquet."""


class Cell(Section):
    """One quantity of the runs of one method, or of all, in one regime."""

    quantity: str
    regime: str
    method: str | None = None

    @field_validator("quantity")
    @classmethod
    def _known(cls, quantity: str) -> str:
        if quantity not in QUANTITIES:
            raise ValueError(f"expected one of {', '.join(QUANTITIES)}")
        return quantity

    @property
    def label(self) -> str:
        """Name of the runs; seeds their resampling, as in the figures."""
        return self.method or "all"

    def values(self, results: Results) -> Array:
        """Windowed value of every run, [seeds, tasks], or [seeds, tasks, methods] for all methods.

        Raises:
            NotTestedError: There are no such runs, or not for every seed and task.
        """
        table = _with_gap_share(results.tables.metrics)
        if self.quantity == "score":
            table = results.tables.evaluations
        table = table[table["regime"] == self.regime]
        methods = [self.method] if self.method else sorted(set(table["method"]))
        if not methods:
            raise NotTestedError(f"no runs in regime {self.regime!r}")
        try:
            values = [statistics.curves(table, self.regime, m, self.quantity).window() for m in methods]
        except GipoError as error:  # no such method, or ragged runs
            raise NotTestedError(str(error)) from error
        if len({value.shape for value in values}) > 1:
            raise NotTestedError(f"methods in regime {self.regime!r} differ in their number of seeds")
        return values[0] if self.method else np.stack(values, axis=2)


def _with_gap_share(metrics: pd.DataFrame) -> pd.DataFrame:
    updates = metrics.groupby("run_id")["update"].transform("max")
    return metrics.assign(gap_share=metrics["gap_mean"] / updates)


def _contrast(name: str, cells: list[Cell], combine: Callable[..., Array], results: Results) -> Estimate:
    """Combine the means (IQMs for the score) of cells; runs are resampled independently in each.

    Args:
        name: what is estimated; seeds the resampling, with the labels of the cells.
        cells: where the values come from.
        combine: one array [1] per cell to an array [1].
        results: what to measure on.
    """
    labels = [cell.label for cell in cells]
    if len(set(labels)) < len(labels):
        labels = [f"{cell.label} {cell.regime}" for cell in cells]
    values = dict(zip(labels, (cell.values(results) for cell in cells), strict=True))
    center = _iqm if cells[0].quantity == "score" else _mean

    estimate = statistics.estimate(
        name, values, lambda *arrays: combine(*(center(array) for array in arrays)), results.resamples
    )
    n = sum(array.size for array in values.values())
    return replace(estimate, n=n, note="; ".join(filter(None, [_design(list(values.values())), estimate.note])))


def _design(arrays: list[Array]) -> str:
    """The runs behind an estimate, for example ``1 task x 3 seeds``."""
    counts = zip(("task", "seed"), (arrays[0].shape[1], min(len(array) for array in arrays)), strict=True)
    return " x ".join(f"{count} {noun}{'s' * (count != 1)}" for noun, count in counts)


def _iqm(scores: Array) -> Array:
    return np.array([trim_mean(scores, 0.25, axis=None)])


def _mean(values: Array) -> Array:
    return np.array([values.mean()])


class Level(MeasureBase):
    """One cell: the mean over its runs, or the IQM of the score."""

    name: Literal["level"]
    of: Cell

    def estimate(self, results: Results) -> Estimate:
        """``of``."""
        name = "iqm" if self.of.quantity == "score" else f"mean of {self.of.quantity}"
        return _contrast(name, [self.of], lambda x: x, results)


class Difference(MeasureBase):
    """One cell minus another."""

    name: Literal["difference"]
    of: Cell
    minus: Cell

    def estimate(self, results: Results) -> Estimate:
        """``of - minus``."""
        name = "iqm_difference" if self.of.quantity == "score" else f"difference of {self.of.quantity}"
        return _contrast(name, [self.of, self.minus], lambda x, y: x - y, results)


class Ratio(MeasureBase):
    """One cell over another."""

    name: Literal["ratio"]
    of: Cell
    over: Cell

    def estimate(self, results: Results) -> Estimate:
        """``of / over``; without an interval where ``over`` can be 0."""
        estimate = _contrast(f"ratio of {self.of.quantity}", [self.of, self.over], _divide, results)
        if self.over.values(results).all():
            return estimate
        return replace(estimate, note=f"{estimate.note}; the denominator is 0 in some runs")


def _divide(x: Array, y: Array) -> Array:
    return np.divide(x, y, out=np.full_like(x, np.nan), where=y != 0)


class Interaction(MeasureBase):
    """How much larger a difference is than the same difference in another regime."""

    name: Literal["interaction"]
    of: Cell
    minus: Cell
    against_regime: str

    def estimate(self, results: Results) -> Estimate:
        """``(of - minus) - (of - minus, both in against_regime)``."""
        here = [self.of, self.minus]
        there = [cell.model_copy(update={"regime": self.against_regime}) for cell in here]
        name = f"interaction of {self.of.quantity}"
        return _contrast(name, here + there, lambda a, b, c, d: (a - b) - (c - d), results)


class Unmeasured(MeasureBase):
    """A claim that this suite cannot test yet."""

    name: Literal["unmeasured"]
    reason: str

    def estimate(self, results: Results) -> Estimate:
        """Never: raises with the reason."""
        raise NotTestedError(self.reason)


Measure = Annotated[
    Level | Difference | Ratio | Interaction | BoundUse | Asymmetry | CaseStudy | Family | Unmeasured,
    Field(discriminator="name"),
]
