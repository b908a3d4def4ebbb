"""A study as one experiment of MLflow: its runs, and the words for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from gipo.analysis import methods
from gipo.analysis.collect import reference
from gipo.errors import GipoError
from gipo.figures.style import label
from gipo.report.metrics import tables
from gipo.runs.baseline import Baseline
from gipo.runs.spec import RunSpec
from gipo.scale import Scale
from gipo.tracking.curves import MOST_POINTS, SPREAD

LABELS = ("suite", "task", "regime", "method", "seed", "objective.name")
"""Settings that are tags."""


@dataclass(frozen=True)
class Experiment:
    """A study in MLflow.

    Attributes:
        name: of the experiment.
        title: one line.
        runs: by their ids.
        baselines: directories of the reference policies, by task.
        pages: folders with a report or figures of it.
    """

    name: str
    title: str
    runs: Mapping[str, RunSpec]
    baselines: Mapping[str, Path] = field(default_factory=dict)
    pages: tuple[Path, ...] = ()

    @cached_property
    def cells(self) -> dict[str, list[str]]:
        """Ids of the runs of each task, regime and method."""
        found: dict[str, list[str]] = {}
        for run_id in self.runs:
            found.setdefault(cell_of(run_id), []).append(run_id)
        return found

    @staticmethod
    def title_of(run: RunSpec) -> str:
        """Name of a run and the other seeds: a narrow column has room for its beginning, so the method comes first."""
        identity = methods.identify(run.objective.name, run.objective.parameters, run.learner.estimator)
        name = identity if run.method == identity else f"{run.method}: {identity}"
        return f"{label(name)} {run.regime} {run.task.removesuffix('-v3')}"

    @cached_property
    def varied(self) -> dict[str, str]:
        """Settings that differ between runs, but for `LABELS`, each with a short name that no other one has."""
        seen: dict[str, set[str]] = {}
        for run in self.runs.values():
            for key, value in settings_of(run).items():
                seen.setdefault(key, set()).add(value)
        everywhere = Counter(key for run in self.runs.values() for key in settings_of(run))
        keys = [
            key
            for key, values in seen.items()
            if key not in LABELS and (len(values) > 1 or everywhere[key] < len(self.runs))
        ]
        ends = Counter(key.rpartition(".")[2] for key in keys)
        return {key: end if ends[end := key.rpartition(".")[2]] == 1 else key for key in keys}

    def parameters(self, run: RunSpec) -> dict[str, str]:
        """Settings that tell this run from the others, by their short names."""
        settings = settings_of(run)
        return {short: settings[key] for key, short in self.varied.items() if key in settings}

    @staticmethod
    def tags(run: RunSpec) -> dict[str, str]:
        """Tags that a run has in common with the other seeds."""
        return {"task": run.task, "regime": run.regime, "method": run.method, "objective": run.objective.name}

    def reference(self, run: RunSpec) -> tuple[float, float] | None:
        """Mean return of the two reference policies on a run's task; None where they have not played."""
        folder = self.baselines.get(run.task)
        try:
            return reference(Baseline.read(folder).episodes(), run.task) if folder else None
        except GipoError:
            return None

    def description(self) -> str:
        """The contents of the experiment in words, and the glossary of its numbers, in Markdown."""
        lines = [
            f"**{self.title}**",
            "",
            "A row for all seeds of a task, regime and method, with their mean over seeds and, under "
            f"`{SPREAD}`, their standard deviation at the end; below it a row for each seed. The parameters are the "
            f"settings in which the runs differ; `spec.json` has all. Of a curve at most {MOST_POINTS} points are "
            "shown, evenly spaced, with the first and the last; `metrics.parquet` and `evaluation.parquet` of a run "
            "have all. While a run trains, its row has what it last said.",
            "",
            "| number | meaning | formula | unit |",
            "|---|---|---|---|",
        ]
        for columns in tables().values():
            for column, metric in columns.items():
                if metric.group:
                    cells = (f"`{metric.recorded_as(column)}`", metric.meaning, metric.formula or "-", metric.unit)
                    lines.append(f"| {' | '.join(cell.replace('|', '∣') for cell in cells)} |")
        return "\n".join(lines)


def of_scale(scale: Scale, results: Path) -> list[Experiment]:
    """The experiments of a scale: one for each study that it is made of."""
    folders = scale.folders(results / scale.name)
    return [
        Experiment(
            name=f"gipo/{name}",
            title=study.title,
            runs={run.run_id: run for run in study.all_runs()},
            baselines={
                task: results / "baselines" / part.baseline(task).baseline_id
                for part in study.parts()
                for task in part.scored_by_baselines()
            },
            pages=tuple(dict.fromkeys((folders[name], results / scale.name))),
        )
        for name, study in scale.parts.items()
    ]


def of_others(runs: Iterable[RunSpec]) -> Experiment:
    """The experiment of runs that are of no scale."""
    return Experiment("gipo/other", "Runs of no scale that there is now", {run.run_id: run for run in runs})


def cell_of(run_id: str) -> str:
    """Task, regime and method of a run, as its id has them."""
    return run_id.rpartition("/")[0]


def settings_of(run: RunSpec) -> dict[str, str]:
    """Every setting of a run by its dotted key."""
    return {key: str(value) for key, value in _flat(run.model_dump(mode="json"))}


def _flat(section: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
