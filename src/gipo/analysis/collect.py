"""Run and baseline directories -> the tidy tables that everything later reads."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path

import pandas as pd

from gipo import suites
from gipo.analysis import methods
from gipo.errors import GipoError
from gipo.runs.finished import FinishedRun
from gipo.runs.spec import RunSpec
from gipo.tables import BASELINES, PROVENANCE, RUN_EVALUATION, RUN_METRICS, Schema, read_table, write_table

_RUN = {"run_id": "string", "task": "string", "regime": "string", "method": "string", "seed": "int64"}

SCHEMAS: dict[str, Schema] = {
    "runs": _RUN
    | {"lifetime": "float64", "objective": "string", "parameters": "string", "spec": "string"}
    | PROVENANCE,
    "metrics": _RUN | RUN_METRICS,
    "evaluations": _RUN | RUN_EVALUATION | {"score": "float64"},
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
    def read(cls, directory: Path) -> Tables:
        """Read the four tables of `directory`.

        Raises:
            GipoError: The directory or a table is missing, a table is not as declared, or a label stands for more than
                one method.
        """
        if not directory.is_dir():
            raise GipoError(f"missing tables directory {directory}")
        tables = {f.name: read_table(directory / f"{f.name}.parquet", SCHEMAS[f.name]) for f in fields(cls)}
        names = methods.names(tables["runs"])
        return cls(
            **{
                name: table.assign(method=table["method"].map(names)) if "method" in table else table
                for name, table in tables.items()
            }
        )

    def write(self, directory: Path) -> None:
        """Write each table as ``<name>.parquet``."""
        for name, table in vars(self).items():
            write_table(directory / f"{name}.parquet", table, SCHEMAS[name])


def collect(run_dirs: Iterable[Path], baseline_dirs: Iterable[Path], out: Path) -> None:
    """Write the tidy tables of finished runs to `out`; equal runs give equal bytes, in whatever order they are named.

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
    baselines = _baselines(baseline_dirs)
    tasks = sorted({run.spec.task for run in runs if suites.get(run.spec.suite).score == "baselines"})
    if tasks and baselines.empty:
        raise GipoError("no baselines to collect: expected one baseline directory for each task")
    references = {task: _reference(baselines, task) for task in tasks}
    Tables(
        runs=pd.DataFrame([_summary(run) for run in runs]),
        metrics=pd.concat([run.metrics().assign(**_identity(run.spec)) for run in runs]),
        evaluations=pd.concat([_scored(run, references.get(run.spec.task)) for run in runs]),
        baselines=baselines,
    ).write(out)


def _cell(run: FinishedRun) -> tuple[str, str, str, int]:
    spec = run.spec
    return spec.task, spec.regime, spec.method, spec.seed


def _identity(spec: RunSpec) -> dict[str, str | int]:
    return {"run_id": spec.run_id} | spec.model_dump(include={"task", "regime", "method", "seed"})


def _summary(run: FinishedRun) -> dict[str, object]:
    """The row of runs.parquet: what was run, where it came from and what it cost."""
    spec = run.spec
    return {
        **_identity(spec),
        "lifetime": spec.replay.lifetime,
        "objective": spec.objective.name,
        "parameters": json.dumps(spec.objective.parameters, sort_keys=True),
        "spec": json.dumps(spec.model_dump(mode="json"), sort_keys=True),
        **{name: run.provenance[name] for name in PROVENANCE},
        "libraries": json.dumps(run.provenance["libraries"], sort_keys=True),
    }


def _scored(run: FinishedRun, reference: tuple[float, float] | None) -> pd.DataFrame:
    """Evaluation episodes with their score: 0 = random policy, 1 = scripted expert; without them 1 for a success."""
    episodes = run.evaluation().assign(**_identity(run.spec))
    if reference is None:
        return episodes.assign(score=episodes["success_any"].astype("float64"))
    random, expert = reference
    return episodes.assign(score=(episodes["return"] - random) / (expert - random))


def _baselines(directories: Iterable[Path]) -> pd.DataFrame:
    """The baseline episodes of all tasks, in order of task."""
    tables: dict[str, pd.DataFrame] = {}
    origins: dict[str, Path] = {}
    for directory in sorted(set(directories)):
        episodes = read_table(directory / "episodes.parquet", BASELINES)
        for task in episodes["task"].unique():
            if task in tables:
                raise GipoError(f"two baselines of task {task}, expected one: {origins[task]} and {directory}")
            tables[task], origins[task] = episodes[episodes["task"] == task], directory
    return pd.concat([tables[task] for task in sorted(tables)]) if tables else pd.DataFrame(columns=list(BASELINES))


def _reference(baselines: pd.DataFrame, task: str) -> tuple[float, float]:
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
