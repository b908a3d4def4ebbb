"""The scale behind `--config scale=...`, checked as a whole before any rule runs."""

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

import gipo
from gipo import rehearsal, suites
from gipo.cluster import requests, upfront
from gipo.cluster.site import SCALE_OF_SITE, Site
from gipo.cluster.steps import side_by_side
from gipo.envs.libero_assets import DEFAULT, VARIABLE
from gipo.errors import GipoError, shortened
from gipo.figures import NAMES, OF_NO_RUNS, OF_WORLD_MODELS, SWEEPS
from gipo.models.openvla_oft.published import SUMS
from gipo.runs.code import baseline_modules, code_digest, training_modules
from gipo.scale import Scale, config as config_of, with_figure

side_by_side(workflow)

if unknown := set(config) - {"scale", "rehearse", "base", "torch"}:
    raise WorkflowError(
        f"unknown config key {shortened(repr(min(unknown)), 200)}; "
        "known: scale, rehearse, and for images base and torch"
    )
REHEARSE = str(config.get("rehearse", "false")).lower() == "true"
if not REHEARSE and str(config.get("rehearse", "false")).lower() != "false":
    raise WorkflowError(
        f"rehearse is {shortened(repr(config['rehearse']), 100)}, expected true or false"
    )

SCALE = config.get("scale", os.environ.get(SCALE_OF_SITE, "laptop"))
CONFIGS = Path(workflow.basedir, "workflow", "config")

try:
    SITE = Site.here(Path(workflow.basedir))
    if REHEARSE:
        CONFIGS = rehearsal.begin(SCALE, CONFIGS, workflow.is_main_process)
    CONFIG = config_of(SCALE, CONFIGS)
    STUDIES = Scale.load(CONFIG)
    RUNS = STUDIES.runs
    MODULES = {run_id: training_modules(run) for run_id, run in RUNS.items()}
    CODE = {modules: code_digest(*modules) for modules in set(MODULES.values())}
except GipoError as error:
    raise WorkflowError(str(error)) from None

logger.info(
    f"Scale {SCALE}: {len(RUNS)} training runs in all",
    extra={"gipo_runs": [Path("results/runs", run_id) for run_id in RUNS]},
)
SEEDS = list(dict.fromkeys(run.seed for run in RUNS.values()))
PARTS = STUDIES.parts
FIGURES = STUDIES.figures()
GRIDS = {
    name: {"tables": study}
    | {f"sweeps/{sweep}": study.sweep(sweep) for sweep in study.sweeps}
    for name, study in PARTS.items()
}
IMAGINING = [name for name, study in PARTS.items() if study.imagining_runs()]
FILMED = [name for name, study in PARTS.items() if suites.get(study.suite).films]
TRAINING = {suites.get(study.suite).train_rule for study in PARTS.values()}
CATALOGUE = [f"gipo.suites.{name}" for name in suites.names()]  # read by computed names
TABLES = ["runs", "metrics", "evaluations", "baselines"]
GRIDWORLD = [
    *("policies", "case_study", "margins", "family", "family_claims"),
    *("field", "field_family"),
]
PACKAGE = Path(gipo.__file__).parent
RECORDS = [] if os.environ.get("MLFLOW_TRACKING_URI") else ["results/mlflow.db"]


def labels(kind):
    """Every task, regime or method of the scale."""
    return {getattr(run, kind) for run in RUNS.values()}


def any_of(names):
    """Regular expression that matches any of the names, and nothing where there are none."""
    return "|".join(re.escape(name) for name in names) or "(?!)"


def finished(grid):
    """The declared results of a grid's runs."""
    return [
        f"{run}/{name}"
        for run in grid.run_directories(Path("results"))
        for name in (
            "spec.json",
            "metrics.parquet",
            "evaluation.parquet",
            "provenance.json",
            "manifest.json",
        )
    ]


def all_finished():
    """The declared results of every run of the scale."""
    grids = [grid for grids in GRIDS.values() for grid in grids.values()]
    return sorted({path for grid in grids for path in finished(grid)})


def bound(folder, stage, *files):
    """Files of a stage, by their paths in the folder of a scale, and the manifest that names them."""
    return [f"results/{folder}/{path}" for path in (*files, f"manifests/{stage}.json")]


def tables_of(part, grid):
    """Tidy tables of a part's main grid (tables) or of a sweep (sweeps/<name>), with their manifest."""
    return bound(part, grid, *(f"{grid}/{name}.parquet" for name in TABLES))


def figure_of(folder, name):
    """Files of a figure, with their manifest."""
    kinds = ("svg", "png", "csv")
    return bound(
        folder, f"figures/{name}", *(f"figures/{name}.{kind}" for kind in kinds)
    )


def all_tables(part):
    """Tidy tables of all grids of a part."""
    return [path for grid in GRIDS[part] for path in tables_of(part, grid)]


def derived(wildcards):
    """Every file that is made of runs, or of none: where one is lost, it is made again although the page is there."""
    found = [path for part in PARTS for path in all_tables(part)]
    for part in PARTS:
        found += bound(part, "weights", "weights.csv")
        if part in IMAGINING:
            found += bound(part, "branches", "branches/branches.parquet")
        if part in FILMED:
            found += bound(part, "videos", "videos/videos.json")
        found += bound(
            part, "gridworld", *(f"gridworld/{name}.csv" for name in GRIDWORLD)
        )
    for folder, figures in FIGURES.items():
        found += bound(folder, "scorecard", "scorecard.csv")
        found += [path for name in figures for path in figure_of(folder, name)]
    return found


def sources(wildcards):
    """What a figure is drawn from; an error where its folder has no such figure."""
    if wildcards.figure not in FIGURES[wildcards.scale]:
        raise WorkflowError(f"results/{wildcards.scale} has no {wildcards.figure}")
    if sweep := SWEEPS.get(wildcards.figure):
        return tables_of(wildcards.scale, f"sweeps/{sweep}")
    if wildcards.figure in OF_EVERY_CONFIGURATION:
        return all_tables(wildcards.scale)
    found = SOURCES.get(wildcards.figure, tables_of(wildcards.scale, "tables"))
    return (
        found + rules.branches.output if wildcards.figure in OF_WORLD_MODELS else found
    )


def run_id(wildcards):
    """Id of the run of a job."""
    names = ("task", "regime", "method", "seed", "digest")
    return "{}/{}/{}/seed{}-{}".format(*(wildcards[name] for name in names))


def run_of(wildcards):
    """The run of a job; an error where the scale has no run of its digest."""
    if (name := run_id(wildcards)) not in RUNS:
        raise WorkflowError(f"scale {SCALE!r} has no run {name}")
    return RUNS[name]


def earlier_seeds_first(wildcards):
    """Priority of a run: every task, regime and method has its first seed before any has its second."""
    return len(SEEDS) - SEEDS.index(int(wildcards.seed))


def code_of(wildcards):
    """Digest of the code that a run's results depend on."""
    return CODE[MODULES[run_id(wildcards)]]


def tasks_of(rule):
    """Tasks of the suites whose runs a rule trains."""
    runs = RUNS.values()
    return {run.task for run in runs if suites.get(run.suite).train_rule == rule}


def resamples_of(wildcards):
    """Bootstrap resamples of a part; what belongs to the whole scale has none of its own."""
    return (
        PARTS[wildcards.scale].statistics.resamples if wildcards.scale in PARTS else 1
    )


def category(wildcards):
    """Of a figure in Snakemake's own report."""
    if wildcards.figure in SWEEPS:
        return "Sweeps"
    return "Exact" if wildcards.figure in OF_NO_RUNS else "Main grid"


@cache
def count_runs(folder):
    """Training runs of a part, or of the whole scale."""
    return len(PARTS[folder].all_runs()) if folder in PARTS else len(RUNS)


def analysis_minutes(wildcards, attempt):
    """Minutes of a job that follows training."""
    runs = count_runs(wildcards.scale)
    return attempt * requests.analysis_minutes(runs, resamples_of(wildcards))


def needs(wildcards):
    """Checkpoint and assets of a run; assets that are elsewhere are none of the workflow's."""
    assets = [] if os.environ.get(VARIABLE) else [str(DEFAULT)]
    if model := run_of(wildcards).openvla:
        return [str(model.directory(Path("results/pretrained")) / SUMS), *assets]
    return assets


def pictures(name):
    """Files of a named target, of every part that has the figure; an error where none has it."""
    folders = [folder for folder, figures in FIGURES.items() if name in figures]
    if not folders:
        having = ", ".join(with_figure(name, CONFIGS)) or "no scale"
        raise WorkflowError(
            f"scale {SCALE!r} has no runs that {name} shows; "
            f"scales that have: {having} (snakemake {name} --config scale=...)"
        )
    return [path for folder in folders for path in figure_of(folder, name)]
