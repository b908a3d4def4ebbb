"""Measures of claims: quantities of the runs, of the trust weights and of the gridworld, each as an `Estimate`.

A measure is a model whose fields are its arguments in claims.yaml; ``name`` chooses it. To add one, write the model and
put it into `Measure`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from gipo.analysis import methods, statistics
from gipo.analysis.cells import EVALUATED, SCORES, Cell, Quantity, contrast, described
from gipo.analysis.exact import Asymmetry, BoundUse, CaseStudy, Family, Margin, Theory
from gipo.analysis.results import MeasureBase, Results
from gipo.analysis.statistics import Array, Estimate, one_by_one
from gipo.analysis.verdicts import CannotTellError


class Level(MeasureBase):
    """One cell: the mean over its runs, or the IQM of the score."""

    name: Literal["level"]
    of: Cell

    def estimate(self, results: Results) -> Estimate:
        """``of``."""
        name = "iqm" if self.of.quantity in SCORES else f"mean of {self.of.quantity}"
        return contrast(name, [self.of], lambda x: x, results)


class Difference(MeasureBase):
    """One cell minus another."""

    name: Literal["difference"]
    of: Cell
    minus: Cell

    def estimate(self, results: Results) -> Estimate:
        """``of - minus``."""
        name = "iqm_difference" if self.of.quantity in SCORES else f"difference of {self.of.quantity}"
        return contrast(name, [self.of, self.minus], lambda x, y: x - y, results)


class Ratio(MeasureBase):
    """One cell over another."""

    name: Literal["ratio"]
    of: Cell
    over: Cell

    def estimate(self, results: Results) -> Estimate:
        """``of / over``; without an interval where ``over`` can be 0."""
        estimate = contrast(f"ratio of {self.of.quantity}", [self.of, self.over], _divide, results)
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

    def cells(self) -> list[Cell]:
        """Both in both regimes."""
        here = [self.of, self.minus]
        return here + [cell.model_copy(update={"regime": self.against_regime}) for cell in here]

    def estimate(self, results: Results) -> Estimate:
        """``(of - minus) - (of - minus, both in against_regime)``."""
        name = f"interaction of {self.of.quantity}"
        return contrast(name, self.cells(), lambda a, b, c, d: (a - b) - (c - d), results)


class Extreme(MeasureBase):
    """How far one cell lies above the highest, or below the lowest, of several others.

    The extreme of several noisy numbers is more extreme than the best of the true ones, which works against the claim.
    """

    name: Literal["advantage_over_best", "shortfall_from_least"]
    of: Cell
    others: tuple[Cell, ...] = Field(min_length=2)

    def estimate(self, results: Results) -> Estimate:
        """``of - max(others)``, or ``min(others) - of``."""
        name = f"{self.name} of {self.of.quantity}"
        if self.name == "advantage_over_best":
            return contrast(name, [self.of, *self.others], lambda x, *y: x - np.max(y, axis=0), results)
        return contrast(name, [self.of, *self.others], lambda x, *y: np.min(y, axis=0) - x, results)


class TopRanks(MeasureBase):
    """How many of the top ranks by IQM of the score a family of methods takes; a tie counts against it."""

    name: Literal["top_ranks"]
    of: Cell
    objective: str
    """Of the family's methods, with ``-`` for ``_``."""
    ranks: int
    """How many ranks are the top."""
    configurations: int
    """How many methods must have been ranked."""

    @field_validator("of")
    @classmethod
    def _ranks_scores_of_all(cls, of: Cell) -> Cell:
        if of.quantity != "score" or of.method:
            raise ValueError("expected the score of all methods")
        return of

    def groups(self, results: Results) -> list[Array]:
        """Scores of every method, [seeds, tasks] each."""
        return list(np.moveaxis(self.of.values(results), 2, 0))

    def estimate(self, results: Results) -> Estimate:
        """The count at the point estimates; its interval resamples the runs of every method on its own."""
        names = self.of.methods(results)
        if len(names) != self.configurations:
            raise CannotTellError(f"{len(names)} methods were ranked, needed {self.configurations}")
        scores = dict(zip(names, self.groups(results), strict=True))
        family = {name for name in names if methods.read(name).objective == self.objective}
        estimate = statistics.top_ranks(scores, family, self.ranks, results.resamples)
        return described(estimate, list(scores.values()))


class Correlation(MeasureBase):
    """Pearson's r of two quantities across configurations, method x regime, each the mean of its runs on one task."""

    name: Literal["correlation"]
    x: Quantity
    y: Quantity
    task: str
    regimes: tuple[str, ...]
    configurations: int = Field(ge=3)
    """How many there must be at least."""

    def cells(self) -> list[Cell]:
        """Both quantities in every regime."""
        return [
            Cell(quantity=quantity, regime=regime, task=self.task)
            for regime in self.regimes
            for quantity in (self.x, self.y)
        ]

    def estimate(self, results: Results) -> Estimate:
        """Pearson's r; its interval resamples the runs within each configuration, both quantities of a run together."""
        pairs: dict[str, Array] = {}
        cells = self.cells()
        for of_x, of_y in zip(cells[::2], cells[1::2], strict=True):
            for name, x, y in zip(of_x.methods(results), of_x.curves(results), of_y.curves(results), strict=True):
                pairs[f"{name} {of_x.regime}"] = np.stack([x.window(), y.window()])[..., 0]
        if len(pairs) < self.configurations:
            raise CannotTellError(f"{len(pairs)} configurations, needed {self.configurations}")
        runs = list(pairs.values())  # [2, seeds] each

        def pearson(*chosen: Array) -> Array:
            means = [run[:, seeds.astype(int).ravel()].mean(axis=1) for run, seeds in zip(runs, chosen, strict=True)]
            x, y = np.transpose(means - np.mean(means, axis=0))
            return _divide(np.array([x @ y]), np.array([np.sqrt((x @ x) * (y @ y))]))

        seeds = {name: np.arange(run.shape[1], dtype=np.float64)[:, None] for name, run in pairs.items()}
        estimate = statistics.estimate(
            f"correlation of {self.x} and {self.y}", seeds, one_by_one(pearson), results.resamples
        )
        notes = [f"{len(pairs)} configurations, whose choice the interval does not cover"]
        if np.isnan(estimate.value):
            notes.append("a value is NaN, or a quantity the same everywhere, so it is undefined")
        return described(estimate, list(seeds.values()), *notes)


class StepsToSame(MeasureBase):
    """How many times the env steps of one cell's method another needs until it performs the same.

    See `gipo.analysis.statistics.steps_to_same`.
    """

    name: Literal["steps_to_same"]
    of: Cell
    over: Cell

    @model_validator(mode="after")
    def _evaluated_methods(self) -> StepsToSame:
        if any(cell.quantity not in EVALUATED or not cell.method for cell in (self.of, self.over)):
            raise ValueError(f"expected one of {', '.join(EVALUATED)} of one method each")
        return self

    def estimate(self, results: Results) -> Estimate:
        """Steps of ``of`` over those of ``over``, geometric mean over tasks."""
        names = [self.of.label, self.over.label]
        if names[0] == names[1]:
            names = [f"{cell.label} {cell.regime}" for cell in (self.of, self.over)]
        curves = {name: cell.curves(results)[0] for name, cell in zip(names, (self.of, self.over), strict=True)}
        estimate = statistics.steps_to_same(f"steps to the same {self.of.quantity}", curves, results.resamples)
        runs = [curve.env_steps[..., 0] for curve in curves.values()]
        return described(estimate, runs, "to the nearest evaluation")


Measure = Annotated[
    Level
    | Difference
    | Ratio
    | Interaction
    | Extreme
    | TopRanks
    | Correlation
    | BoundUse
    | Asymmetry
    | CaseStudy
    | Margin
    | Family
    | StepsToSame
    | Theory,
    Field(discriminator="name"),
]
