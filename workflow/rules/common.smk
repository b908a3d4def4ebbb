"""The study behind `--config scale=...`, checked as a whole before any rule runs."""

import os
import re
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

import gipo
from gipo.cluster.steps import side_by_side
from gipo.envs.libero_assets import DEFAULT, VARIABLE
from gipo.errors import GipoError
from gipo.figures import NAMES, SWEEPS, of_study
from gipo.models.openvla_oft.published import SUMS
from gipo.runs.code import baseline_modules, code_digest, training_modules
from gipo.study import Study

side_by_side(workflow)

if unknown := set(config) - {"scale", "base", "torch"}:
    raise WorkflowError(
        f"unknown config key {min(unknown)!r}; known: scale, and for images base and torch"
    )

SCALE = config.get("scale", "laptop")
SCALES = {
    path.stem: path
    for path in Path(workflow.basedir, "workflow", "config").glob("*.yaml")
}

if SCALE not in SCALES:
    raise WorkflowError(f"unknown scale {SCALE!r}; known: {', '.join(sorted(SCALES))}")

CONFIG = SCALES[SCALE]

try:
    STUDY = Study.load(CONFIG)
    RUNS = STUDY.all_runs()
    MODULES = {run.method: training_modules(run) for run in RUNS}
    CODE = {method: code_digest(*modules) for method, modules in MODULES.items()}
except GipoError as error:
    raise WorkflowError(str(error)) from None

logger.info(
    f"Scale {SCALE}: {len(RUNS)} training runs in all",
    extra={"gipo_runs": [Path("results/runs", run.run_id) for run in RUNS]},
)
GRIDS = {"tables": STUDY} | {
    f"sweeps/{name}": STUDY.sweep(name) for name in STUDY.sweeps
}
FIGURES = of_study(STUDY.suite, STUDY.sweeps)
TABLES = ["runs", "metrics", "evaluations", "baselines"]
PACKAGE = Path(gipo.__file__).parent
PUBLISHED = any(not model.is_tiny for model in STUDY.pretrained())


def labels(kind):
    """Every task, regime or method of the study and its sweeps."""
    return {getattr(run, kind) for run in RUNS}


def any_of(names):
    """Regular expression that matches any of the names."""
    return "|".join(re.escape(name) for name in names)


def finished(grid):
    """The declared results of a grid's runs."""
    return [
        f"{run}/{name}"
        for run in grid.run_directories(Path("results"))
        for name in ("metrics.parquet", "evaluation.parquet", "provenance.json")
    ]


def tables_of(grid):
    """Tidy tables of the main grid (tables) or of a sweep (sweeps/<name>)."""
    return [f"results/{SCALE}/{grid}/{name}.parquet" for name in TABLES]


def sources(wildcards):
    """What a figure is drawn from."""
    if sweep := SWEEPS.get(wildcards.figure):
        return tables_of(f"sweeps/{sweep}")
    return SOURCES.get(wildcards.figure, tables_of("tables"))


def run_of(wildcards):
    """The run of a job's labels."""
    labels = (wildcards.task, wildcards.regime, wildcards.method, int(wildcards.seed))
    return STUDY.run(*labels)


def needs(wildcards):
    """Checkpoint and assets of a run; assets that are elsewhere are none of the workflow's."""
    assets = [] if os.environ.get(VARIABLE) else [str(DEFAULT)]
    if model := run_of(wildcards).openvla:
        return [str(model.directory(Path("results/pretrained")) / SUMS), *assets]
    return assets


def pictures(name):
    """Files of a named target; an error where this scale lacks the figure's runs."""
    if name not in of_study(STUDY.suite, SWEEPS.values()):
        raise WorkflowError(
            f"scale {SCALE!r} is of suite {STUDY.suite}, whose runs {name} does not show"
        )
    if name not in FIGURES:
        raise WorkflowError(
            f"scale {SCALE!r} has no sweep {SWEEPS[name]!r}, which {name} shows; "
            "metaworld-mini and paper have it (--config scale=...)"
        )
    return multiext(f"results/{SCALE}/figures/{name}", ".svg", ".png", ".csv")
