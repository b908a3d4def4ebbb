"""A scale: a file in workflow/config, which is a study of one suite, or a list of scales that make one report."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, ValidationError

from gipo.config import Label, Section, Title, explain, read_yaml
from gipo.errors import GipoError
from gipo.figures import OF_NO_RUNS, of_study
from gipo.runs.provenance import CHECKOUT
from gipo.runs.spec import RunSpec
from gipo.study import BaselineSpec, Study

CONFIGS = CHECKOUT / "workflow" / "config"
"""Folder of this checkout's scales."""

Spec = TypeVar("Spec", RunSpec, BaselineSpec)


class Composition(Section):
    """A scale that is made of other scales, each of which is a study."""

    title: Title
    """One line for the report."""
    scales: Annotated[list[Label], Field(min_length=1, max_length=100)]
    """Names of files beside this one. Where two could judge a claim, the first does."""


@dataclass(frozen=True)
class Scale:
    """One study, or several that are run and reported as one.

    Attributes:
        name: of the scale, and of its folder below ``results``.
        title: one line for the report.
        parts: its studies by the name of their scale; a scale that is a study is its own and only part.
    """

    name: str
    title: Title
    parts: dict[str, Study]

    @classmethod
    def load(cls, path: Path) -> Scale:
        """Read a scale config and those of its parts, which lie beside it.

        Raises:
            GipoError: a config is wrong (see `Section.load`), or a part is unknown, named twice or itself made of
                scales.
        """
        content = read_yaml(path)
        if not _is_composed(content):
            study = Study.load(path)
            return cls(path.stem, study.title, {path.stem: study})
        try:
            composition = Composition.model_validate(content)
        except ValidationError as error:
            raise GipoError(f"{path}: {explain(error)}") from error
        parts: dict[str, Study] = {}
        for name in composition.scales:
            if name in parts:
                raise GipoError(f"{path}: scales names {name!r} twice")
            part = config(name, path.parent)
            if _is_composed(read_yaml(part)):
                raise GipoError(f"{path}: scale {name!r} is made of scales itself; name its parts instead")
            parts[name] = Study.load(part)
        return cls(path.stem, composition.title, parts)

    @property
    def is_composed(self) -> bool:
        """Whether it is made of other scales."""
        return self.name not in self.parts

    @cached_property
    def runs(self) -> dict[str, RunSpec]:
        """Every run by its id, those that parts share once."""
        return {run.run_id: run for study in self.parts.values() for run in study.all_runs()}

    def run(self, task: str, regime: str, method: str, seed: int, digest: str | None = None) -> RunSpec:
        """The run of these labels.

        Args:
            task: label.
            regime: label.
            method: label.
            seed: of the run.
            digest: with which its folder's name ends; needed where the parts have different runs of these labels.

        Raises:
            GipoError: there is no such run, or more than one.
        """
        labels = (task, regime, method, seed)
        runs = [run for run in self.runs.values() if (run.task, run.regime, run.method, run.seed) == labels]
        if not runs:
            first, *others = self.parts.values()
            if not others:
                return first.run(*labels)  # raises, and says which label is unknown
            raise GipoError(f"no run of {task}, {regime}, {method} and seed {seed} in scale {self.name}")
        by_digest = {run.run_id.rpartition("-")[2]: run for run in runs}
        return _one_of(by_digest, digest, f"run {runs[0].run_id.rpartition('-')[0]}")

    def published_success(self, run: RunSpec) -> float | None:
        """Success rate that is published of the pretrained model of a run; None where the scale has none."""
        rates = [(study.published_success or {}).get(run.task) for study in self.parts.values() if run in study.runs()]
        return next((rate for rate in rates if rate is not None), None)

    def baseline(self, task: str, digest: str | None = None) -> BaselineSpec:
        """The two reference policies of a task; arguments and errors as of `run`."""
        scored = [study.baseline(task) for study in self.parts.values() if task in study.scored_by_baselines()]
        if not scored:
            known = ", ".join(name for study in self.parts.values() for name in study.scored_by_baselines()) or "none"
            raise GipoError(f"no task {task!r} with reference policies in scale {self.name}; it has: {known}")
        return _one_of({spec.digest()[:8]: spec for spec in scored}, digest, f"reference policies of {task}")

    def suite_of(self, task: str) -> str:
        """Suite of the first part that has the task.

        Raises:
            GipoError: no part has it.
        """
        found = [study.suite for study in self.parts.values() for part in study.parts() if task in part.tasks]
        if not found:
            raise GipoError(f"no task {task!r} in scale {self.name}")
        return found[0]

    def figures(self) -> dict[str, list[str]]:
        """Figures by the folder below ``results`` that holds them: a part's, or the scale's own.

        Figures that show no runs are those of the first part; the scorecard is the scale's.
        """
        found = {
            name: of_study(study.suite, study.sweeps, bool(study.imagining_runs()))
            for name, study in self.parts.items()
        }
        if self.is_composed:
            first = next(iter(self.parts))
            for name in self.parts:
                left_out = {"scorecard", *(OF_NO_RUNS if name != first else ())}
                found[name] = [figure for figure in found[name] if figure not in left_out]
            found[self.name] = ["scorecard"]
        return found

    def folders(self, sources: Path) -> dict[str, Path]:
        """Where the results of each part lie: beside ``sources``, the folder of the scale, or there itself."""
        return {name: sources.parent / name if self.is_composed else sources for name in self.parts}


def configs(folder: Path = CONFIGS) -> dict[str, Path]:
    """Scale configs by name, sorted."""
    return dict(sorted((path.stem, path) for path in folder.glob("*.yaml")))


def config(name: str, folder: Path = CONFIGS) -> Path:
    """Config of a scale.

    Raises:
        GipoError: there is none of that name; the message has all that there are.
    """
    known = configs(folder)
    if name not in known:
        names = ", ".join(known) or "none, as gipo does not run from a checkout"
        raise GipoError(f"unknown scale {name!r}; known: {names}")
    return known[name]


def with_figure(figure: str, folder: Path = CONFIGS) -> list[str]:
    """Scales that are one study and have a figure; those whose config is wrong are passed over."""
    found = []
    for name, path in configs(folder).items():
        try:
            scale = Scale.load(path)
        except GipoError:
            continue
        if not scale.is_composed and figure in scale.figures()[name]:
            found.append(name)
    return found


def _is_composed(content: object) -> bool:
    return isinstance(content, dict) and "scales" in content


def _one_of(found: dict[str, Spec], digest: str | None, words: str) -> Spec:
    """The one of that digest, or the only one."""
    if digest is None and len(found) == 1:
        return next(iter(found.values()))
    if digest is None:
        raise GipoError(f"{words}: several parts have one; choose by --digest: {', '.join(found)}")
    if digest not in found:
        raise GipoError(f"{words}: its digest is {', '.join(found)} and not {digest}; the config has changed")
    return found[digest]
