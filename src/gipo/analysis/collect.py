"""Run and baseline directories -> the tidy tables that everything later reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from gipo import suites
from gipo.analysis import methods
from gipo.errors import GipoError
from gipo.manifest import Sha256
from gipo.runs.baseline import Baseline
from gipo.runs.finished import FinishedRun
from gipo.runs.spec import RunSpec
from gipo.stages import StudyFolder
from gipo.tables import BASELINES, PROVENANCE, RUN_EVALUATION, RUN_METRICS, Schema, table_bytes

RUN: Schema = {"run_id": "string", "task": "string", "regime": "string", "method": "string", "seed": "int64"}
"""Columns that say of which run a row is."""

SCHEMAS: dict[str, Schema] = {
    "runs": RUN | {"lifetime": "float64", "objective": "string", "parameters": "string", "spec": "string"} | PROVENANCE,
    "metrics": RUN | RUN_METRICS,
    "evaluations": RUN | RUN_EVALUATION | {"score": "float64"},
    "baselines": BASELINES,
}
"""The tidy tables; `parameters` and `spec` (objective's parameters, whole RunSpec) are JSON strings, `lifetime` is
missing where a regime is a number of actors."""


@dataclass(frozen=True)
class Tables:
    """The tidy tables of one grid; `SCHEMAS` declares the columns of each.

    The column ``method`` of those that were read holds names of `gipo.analysis.methods`, in the files it holds the
    study's labels.
    """

    runs: pd.DataFrame
    metrics: pd.DataFrame
    evaluations: pd.DataFrame
    baselines: pd.DataFrame

    @classmethod
    def read(cls, study: StudyFolder, grid: str = "tables") -> Tables:
        """Read the four tables of a study's main grid, or of a sweep, ``sweeps/<name>``.

        Raises:
            GipoError: A table is missing, is not the one that was made, or not as declared, or a label stands for more
                than one method.
        """
        tables = {f.name: study.read_table(f"{grid}/{f.name}.parquet", SCHEMAS[f.name]) for f in fields(cls)}
        names = methods.names(tables["runs"])
        return cls(
            **{
                name: table.assign(method=table["method"].map(names)) if "method" in table else table
                for name, table in tables.items()
            }
        )

    def model_free(self) -> Tables:
        """The tables without the runs that learn from imagined transitions, which have a figure of their own."""
        others = [regime for regime, imagined in imaginations(self.runs).items() if not (imagined and imagined.ratio)]
        kept = {
            name: table[table["regime"].isin(others)] if "regime" in table else table
            for name, table in vars(self).items()
        }
        return Tables(**kept)

    def write(self, study: StudyFolder, grid: str, inputs: Mapping[str, Sha256]) -> None:
        """Write each table as ``<grid>/<name>.parquet``, with their manifest; `inputs` are what they were made from."""
        files = {f"{grid}/{name}.parquet": table_bytes(table, SCHEMAS[name]) for name, table in vars(self).items()}
        study.write_stage(grid, files, inputs)


class Imagined(NamedTuple):
    """A regime's world model."""

    ratio: int = 0
    """Imagined transitions to each real one; 0 where nothing is learned from any."""
    reward: str = "environment"
    """Reward of its steps, ``environment`` or ``success``."""


def imaginations(runs: pd.DataFrame) -> dict[str, Imagined | None]:
    """World model of each regime of `Tables.runs`; None where it has none."""
    sections = {spec["regime"]: spec.get("imagination") for spec in map(json.loads, runs["spec"])}
    return {
        regime: section and Imagined(**{key: section[key] for key in Imagined._fields if key in section})
        for regime, section in sections.items()
    }


def collect(run_dirs: Iterable[Path], baseline_dirs: Iterable[Path], study: StudyFolder, grid: str = "tables") -> None:
    """Write the tidy tables of finished runs; equal runs give equal bytes, in whatever order they are named.

    Args:
        run_dirs: of the grid.
        baseline_dirs: of its tasks.
        study: folder of the study.
        grid: ``tables``, or ``sweeps/<name>``.

    Raises:
        GipoError: A run is missing, unfinished, unreadable or there twice, a task has not exactly one baseline, or
            its normalised score is undefined. LIBERO's tasks need no baseline.
    """
    runs = sorted(map(FinishedRun.read, set(run_dirs)), key=_cell)
    if not runs:
        raise GipoError("no runs to collect: expected at least one run directory")
    for one, other in pairwise(runs):
        if _cell(one) == _cell(other):
            raise GipoError(f"two runs of one seed, expected one: {one.directory.path} and {other.directory.path}")
    measured = [Baseline.read(directory) for directory in sorted(set(baseline_dirs))]
    baselines = _baselines(measured)
    tasks = sorted({run.spec.task for run in runs if suites.get(run.spec.suite).score == "baselines"})
    if tasks and baselines.empty:
        raise GipoError("no baselines to collect: expected one baseline directory for each task")
    references = {task: reference(baselines, task) for task in tasks}
    inputs = {run.spec.run_id: run.manifest.digest() for run in runs}
    inputs |= {f"baselines/{baseline.path.name}": baseline.manifest.digest() for baseline in measured}
    Tables(
        runs=pd.DataFrame([_summary(run) for run in runs]),
        metrics=pd.concat([run.metrics().assign(**identity(run.spec)) for run in runs]),
        evaluations=pd.concat([scored(run, references.get(run.spec.task)) for run in runs]),
        baselines=baselines,
    ).write(study, grid, inputs)


def _cell(run: FinishedRun) -> tuple[str, str, str, int]:
    spec = run.spec
    return spec.task, spec.regime, spec.method, spec.seed


def identity(spec: RunSpec) -> dict[str, str | int]:
    """Values of the columns `RUN`."""
    return {"run_id": spec.run_id} | spec.model_dump(include={"task", "regime", "method", "seed"})


def _summary(run: FinishedRun) -> dict[str, object]:
    """The row of runs.parquet: what was run, where it came from and what it cost."""
    spec, latest = run.spec, run.manifest.attempts[-1]
    made = latest.model_dump() | run.provenance.model_dump()
    return {
        **identity(spec),
        "lifetime": spec.replay.lifetime,
        "objective": spec.objective.name,
        "parameters": json.dumps(spec.objective.parameters, sort_keys=True),
        "spec": json.dumps(spec.model_dump(mode="json"), sort_keys=True),
        **{name: value for name, value in made.items() if name in PROVENANCE},
        "libraries": json.dumps(latest.libraries, sort_keys=True),
        "numeric_classes": json.dumps(run.manifest.numeric_classes),
    }


def scored(run: FinishedRun, means: tuple[float, float] | None) -> pd.DataFrame:
    """Evaluation episodes with their score: 0 = random policy, 1 = scripted expert; without them 1 for a success."""
    episodes = run.evaluation().assign(**identity(run.spec))
    if means is None:
        return episodes.assign(score=episodes["success_any"].astype("float64"))
    random, expert = means
    return episodes.assign(score=(episodes["return"] - random) / (expert - random))


def _baselines(measured: Iterable[Baseline]) -> pd.DataFrame:
    """The baseline episodes of all tasks, in order of task."""
    tables: dict[str, pd.DataFrame] = {}
    origins: dict[str, Path] = {}
    for baseline in measured:
        task = baseline.manifest.task
        if task in tables:
            raise GipoError(f"two baselines of task {task}, expected one: {origins[task]} and {baseline.path}")
        tables[task], origins[task] = baseline.episodes(), baseline.path
    return pd.concat([tables[task] for task in sorted(tables)]) if tables else pd.DataFrame(columns=list(BASELINES))


def reference(baselines: pd.DataFrame, task: str) -> tuple[float, float]:
    """Mean return of the random policy and of the expert on `task`."""
    means = baselines[baselines["task"] == task].groupby("policy")["return"].mean()
    for policy in ("random", "expert"):
        if policy not in means:
            raise GipoError(f"missing baseline: no episode of the {policy} policy on task {task}")
    random, expert = means["random"], means["expert"]
    if not expert > random:
        raise GipoError(
            f"normalised score of task {task} is undefined: mean return {expert:.4g} of the expert is not above "
            f"{random:.4g} of the random policy"
        )
    return random, expert
