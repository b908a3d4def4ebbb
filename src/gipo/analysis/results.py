"""The outputs of one scale, on which claims are measured, and the base of every measure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated

import pandas as pd
from pydantic import AfterValidator

from gipo import suites
from gipo.analysis import design
from gipo.analysis.collect import Tables
from gipo.analysis.statistics import Estimate
from gipo.config import Section
from gipo.stages import StudyFolder

SWEEPS = tuple(sorted({sweep for name in suites.names() for sweep in suites.get(name).sweeps}))


def _known_sweep(name: str) -> str:
    if name not in SWEEPS:
        raise ValueError(f"expected one of {', '.join(SWEEPS)}")
    return name


Sweep = Annotated[str, AfterValidator(_known_sweep)]
"""A grid beside the main one that a study may have, by the name of its directory below ``sweeps``."""


@dataclass(frozen=True)
class Results:
    """The outputs of one scale, on which claims are measured.

    Attributes:
        tables: tidy tables of the main grid's runs.
        weights: trust weights of figure 1.
        grid: one row per estimator and claim of the gridworld, for the case study and the random family.
        margins: one row per case, estimator and method of the gridworld, see `gipo.gridworld.case_study.margins`.
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


class NotTestedError(Exception):
    """The study lacks what a measure needs; the message says what."""


class MeasureBase(Section, ABC):
    """A measure; ``estimate`` does the work."""

    @property
    def suite(self) -> str | None:
        """Suite whose runs it needs; None where it needs no runs."""
        return next((value.suite for _, value in self if hasattr(value, "suite")), None)

    @abstractmethod
    def estimate(self, results: Results) -> Estimate:
        """Measure it.

        Raises:
            NotTestedError: The study lacks a method, a regime, a task or the like.
        """
