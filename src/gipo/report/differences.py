"""Two studies by what was run: their design, settings, code and machine, value beside value."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from gipo import suites
from gipo.analysis import design as designs
from gipo.analysis import methods
from gipo.analysis.collect import SCHEMAS
from gipo.errors import GipoError
from gipo.figures import style
from gipo.report import summary
from gipo.stages import StudyFolder

OF_THE_DESIGN = ("task", "regime", "method", "seed", "suite", "objective")
"""Sections of a run's specification that tell the runs of a study apart, or its studies."""
MACHINE = {"device": "device", "cpu": "CPU", "cores": "cores", "python": "Python"}
CODE = {"git_commit": "git commit", "code_digest": "code digest", "lock_digest": "lock digest"}
"""Columns of the table of runs, with words."""
ALWAYS = {"tasks", "seeds", "learner updates per run", "git commit", "CPU"}
"""Names of facts that are shown even where both studies have the same."""
DIGITS = 12
"""Hexadecimal digits of a commit or digest that are shown."""


def rows(first: StudyFolder, second: StudyFolder) -> list[dict[str, Any]]:
    """Facts of both studies: each with its ``name``, ``first`` and ``second`` in words, and whether it is ``shown``.

    Raises:
        GipoError: a table of runs is missing or damaged.
    """
    ours, theirs = dict(_facts(first)), dict(_facts(second))
    both = [(name, ours.get(name, "–"), theirs.get(name, "–")) for name in dict.fromkeys([*ours, *theirs])]
    return [
        {"name": name, "first": one, "second": other, "shown": one != other or name in ALWAYS}
        for name, one, other in both
    ]


def _facts(study: StudyFolder) -> Iterator[tuple[str, str]]:
    """Names and values of one study, in the order in which they are shown."""
    if not study.manifest_path("tables").exists():
        raise GipoError(f"{study.path} has no tables of runs: if it joins studies, name the folder of one of them")
    runs = _runs(study, "tables")
    suite = suites.get(designs.suite(runs))
    sweeps = {name: _runs(study, f"sweeps/{name}") for name in suite.sweeps if study.has_sweep(name)}
    every_run = pd.concat([runs, *sweeps.values()]).drop_duplicates("run_id")
    yield "scale", study.path.resolve().name
    yield "benchmark", suite.title
    yield "training runs", f"{len(every_run):,}"
    yield "tasks", ", ".join(suite.order_tasks(runs["task"]))
    yield "regimes", ", ".join(style.order_regimes(runs["regime"]))
    yield "methods", ", ".join(style.label(method) for method in style.order(runs["method"]))
    yield "seeds", summary.joined(runs["seed"].tolist())
    swept = [f"{suite.sweeps[name].words}, {summary.design(sweep)}" for name, sweep in sweeps.items()]
    yield "sweeps", "; ".join(swept) or "–"
    yield from _settings([json.loads(spec) for spec in runs["spec"]], summary.SETTINGS.get(suite.name, {}))
    yield from ((words, summary.joined(every_run[column].tolist())) for column, words in MACHINE.items())
    libraries = [json.loads(text) for text in every_run["libraries"].unique()]
    for name in sorted({name for versions in libraries for name in versions}):
        yield name, summary.joined(versions[name] for versions in libraries if name in versions)
    for column, words in CODE.items():
        yield words, summary.joined(every_run[column].fillna("unknown").str[:DIGITS])
    yield (
        "uncommitted changes",
        summary.joined(every_run["git_dirty"].map({True: "yes", False: "no"}).fillna("unknown")),
    )


def _runs(study: StudyFolder, grid: str) -> pd.DataFrame:
    """Table of the runs of a grid, its methods named as in `gipo.analysis.methods`."""
    runs = study.read_table(f"{grid}/runs.parquet", SCHEMAS["runs"])
    return runs.assign(method=runs["method"].map(methods.names(runs)))


def _settings(specs: list[dict[str, Any]], words: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Every setting of the main grid, the values of all its runs, by its words or else its key in the specification."""
    found: dict[str, list[Any]] = {}
    for spec in specs:
        for key, value in _flat({name: part for name, part in spec.items() if name not in OF_THE_DESIGN}):
            found.setdefault(key, []).append(value)
    yield from ((words.get(key, key), summary.joined(values)) for key, values in found.items())


def _flat(section: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by their dotted keys; those that are not set are left out."""
    for name, value in section.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        elif value is not None:
            yield above + name, {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
