"""The study behind `--config scale=...`, checked as a whole before any rule runs."""

import re
from pathlib import Path

from snakemake.exceptions import WorkflowError

import gipo
from gipo.errors import GipoError
from gipo.figures import NAMES, SWEEPS
from gipo.runs.code import code_digest, training_modules
from gipo.study import load_study

if unknown := set(config) - {"scale"}:
    raise WorkflowError(f"unknown config key {min(unknown)!r}; the only one is scale")

SCALE = config.get("scale", "laptop")
SCALES = {
    path.stem: path
    for path in Path(workflow.basedir, "workflow", "config").glob("*.yaml")
}

if SCALE not in SCALES:
    raise WorkflowError(f"unknown scale {SCALE!r}; known: {', '.join(sorted(SCALES))}")

CONFIG = SCALES[SCALE]

try:
    STUDY = load_study(CONFIG)
except GipoError as error:
    raise WorkflowError(str(error)) from None

GRIDS = {"tables": STUDY} | {
    f"sweeps/{name}": STUDY.sweep(name) for name in STUDY.sweeps
}
FIGURES = [n for n in NAMES if n not in SWEEPS or SWEEPS[n] in STUDY.sweeps]
PACKAGE = Path(gipo.__file__).parent


def labels(kind):
    """Every task, regime or method of the study and its sweeps."""
    return {getattr(run, kind) for run in STUDY.all_runs()}


def any_of(names):
    """Regular expression that matches any of the names."""
    return "|".join(re.escape(name) for name in names)
