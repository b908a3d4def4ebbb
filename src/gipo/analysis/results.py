"""The outputs of one scale, on which claims are measured, and the base of every measure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, cast

import pandas as pd
from pydantic import AfterValidator

from gipo import suites
from gipo.analysis import design
from gipo.analysis.collect import Tables
from gipo.analysis.statistics import Array, Estimate
from gipo.analysis.verdicts import NotRunError
from gipo.config import Section
from gipo.runs.spec import SuiteName
from gipo.stages import StudyFolder

if TYPE_CHECKING:
    from gipo.analysis.cells import Cell

SWEEPS = tuple(sorted({sweep for name in suites.names() for sweep in suites.get(name).sweeps}))


def _known_sweep(name: str) -> str:
    if name not in SWEEPS:
        raise ValueError(f"expected one of {', '.join(SWEEPS)}")
    return name


Sweep = Annotated[str, AfterValidator(_known_sweep)]
"""A grid beside the main one that a study may have, by the name of its directory below ``sweeps``."""


class Place(Section):
    """Where runs are: in one regime of the main grid or of a sweep, on all tasks or one."""

    regime: str
    sweep: Sweep | None = None
    task: str | None = None
    suite: SuiteName = "metaworld"

    def __str__(self) -> str:
        task = f" of task {self.task!r}" if self.task else ""
        sweep = f" in sweep {self.sweep!r}" if self.sweep else ""
        return f"{task}{sweep} in regime {self.regime!r}"


@dataclass(frozen=True)
class Results:
    """The outputs of one scale, on which claims are measured.

    Attributes:
        tables: tidy tables of the main grid's runs.
        weights: trust weights of figure 1.
        grid: one row per estimator and claim of the gridworld, for the case study and the random family.
        margins: one row per case, estimator and method of the gridworld, see `gipo.gridworld.tables.margins`.
        resamples: bootstrap resamples of every interval.
        sweeps: tidy tables of each sweep that the scale has.
    """

    tables: Tables
    weights: pd.DataFrame
    grid: pd.DataFrame
    margins: pd.DataFrame
    resamples: int
    sweeps: dict[str, Tables] = field(default_factory=dict)

    @classmethod
    def read(cls, sources: StudyFolder, resamples: int) -> Results:
        """Read ``results/<scale>``; a sweep of which nothing is there is one that the scale does not have.

        Raises:
            GipoError: A file is missing or damaged.
        """
        return cls(
            Tables.read(sources),
            sources.read_csv("weights.csv"),
            sources.read_csv("gridworld/family_claims.csv"),
            sources.read_csv("gridworld/margins.csv"),
            resamples,
            {name: Tables.read(sources, f"sweeps/{name}") for name in SWEEPS if sources.has_sweep(name)},
        )

    @cached_property
    def suite(self) -> str:
        """Benchmark of the runs."""
        return design.suite(self.tables.runs)

    @cached_property
    def no_evidence(self) -> str:
        """See `gipo.analysis.design.no_evidence`."""
        return design.no_evidence(self.tables.runs)

    def tables_at(self, place: Place) -> Tables:
        """Tables of the grid that a place is in.

        Raises:
            NotRunError: the study is of another suite, or lacks the sweep.
        """
        if place.suite != self.suite:
            raise NotRunError(f"needs runs of {suites.get(place.suite).title}")
        if place.sweep and place.sweep not in self.sweeps:
            raise NotRunError(f"no sweep {place.sweep!r} at this scale")
        return self.sweeps[place.sweep] if place.sweep else self.tables

    def runs_at(self, place: Place) -> pd.DataFrame:
        """Rows of the table of runs; errors as of `tables_at` and `at`."""
        return self.at(place, self.tables_at(place).runs)

    def at(self, place: Place, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of a tidy table that belong to a place.

        Raises:
            NotRunError: there are none.
        """
        rows = table[table["task"] == place.task] if place.task else table
        rows = rows[rows["regime"] == place.regime]
        if rows.empty:
            raise NotRunError(f"no runs{place}")
        return rows


class MeasureBase(Section, ABC):
    """A measure; ``estimate`` does the work."""

    def cells(self) -> list[Cell]:
        """The groups of runs that it rests on; none where it needs no runs."""
        fields = [value for _, field in self for value in (field if isinstance(field, tuple) else (field,))]
        return [cast("Cell", value) for value in fields if isinstance(value, Place)]

    def places(self) -> list[Place]:
        """Where its runs are, each place once."""
        keys = Place.model_fields
        return list(dict.fromkeys(Place(**{key: getattr(cell, key) for key in keys}) for cell in self.cells()))

    @property
    def suite(self) -> str | None:
        """Suite whose runs it needs; None where it needs no runs."""
        return next((cell.suite for cell in self.cells()), None)

    def groups(self, results: Results) -> list[Array]:
        """Values of every run, [seeds, ...] for each group that it compares.

        Raises:
            NotJudgedError: there are no such runs, or not for every seed and task.
        """
        return [cell.values(results) for cell in self.cells()]

    @abstractmethod
    def estimate(self, results: Results) -> Estimate:
        """Measure it.

        Raises:
            NotJudgedError: the study lacks a method, a regime, a task or the like, or its runs cannot tell.
        """
