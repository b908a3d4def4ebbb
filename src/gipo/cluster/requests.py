"""Time and memory that a training run asks SLURM for, from what `gipo plan --save FILE` predicted for it.

Evaluated by the profile for every training run (profiles/slurm/profile.yaml), so nothing heavy is imported here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gipo.errors import GipoError
from gipo.files import read_json

if TYPE_CHECKING:
    from gipo.runs.spec import RunSpec

PLAN = Path("results/plan.json")
"""Predictions by run id, of all scales that were planned, below the working directory."""
PREDICTED = ("acting", "learning", "gpu_learning", "memory_mb")
"""Of each run: seconds of a core, of the learner on a core and on a GPU, and MB."""
START_MINUTES = 10
"""Minutes added to every prediction, which leaves out two starts of Snakemake, imports and a restored checkpoint."""
HEADROOM = 2.0
"""Factor on a predicted time: runs that share a node are slower than one that is measured alone."""
LEARNER_MB = 1500
"""Memory of a learner without its replay, with the two Snakemake processes that start it. 1,000 MB were measured."""
COLLECTOR_MB = 1000
"""Memory of a process that collects, MB."""
UNPLANNED_MB = 5000
"""Memory of a learner that no plan covers, MB; enough for the paper's scale."""


def minutes(wildcards: Mapping[str, str], threads: int, attempt: int, longest: int) -> int:
    """Minutes of a run; `longest` where it is not planned.

    Args:
        wildcards: of the rule that trains.
        threads: the first learns, the others collect; a single one does both.
        attempt: the first is 1.
        longest: the most that may be asked for.
    """
    if (predicted := planned().get(_run_id(wildcards))) is None:
        return longest
    learning = predicted["gpu_learning"] or predicted["learning"]
    seconds = learning + predicted["acting"] / max(1, threads - 1)
    return min(longest, attempt * (START_MINUTES + math.ceil(HEADROOM * seconds / 60)))


def memory_mb(wildcards: Mapping[str, str], threads: int, attempt: int) -> int:
    """Memory of a run in MB; arguments as in `minutes`."""
    predicted = planned().get(_run_id(wildcards))
    return attempt * processes_mb(int(predicted["memory_mb"]) if predicted else UNPLANNED_MB, threads)


def processes_mb(learner: int, threads: int) -> int:
    """Memory of a learner of so many MB and of the processes that collect for it, MB."""
    return learner + (threads - 1) * COLLECTOR_MB


def learners(run: RunSpec, gpus: int) -> int:
    """Processes of a learner on so many GPUs: two are left to inference and evaluation, and shares are equal."""
    most = max(1, gpus - 2) if run.openvla else 1
    return next(number for number in range(most, 0, -1) if run.learner.batch_size % number == 0)


def planned() -> dict[str, Any]:
    """Predictions of `gipo plan --save FILE` by run id; empty where nothing was planned."""
    return _plan(PLAN, _changed(PLAN))


def _run_id(wildcards: Mapping[str, str]) -> str:
    names = ("task", "regime", "method", "seed", "digest")
    task, regime, method, seed, digest = (wildcards[name] for name in names)
    return f"{task}/{regime}/{method}/seed{seed}-{digest}"


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


@cache
def _plan(path: Path, changed: int) -> dict[str, Any]:
    return read_plan(path) if changed else {}


def read_plan(path: Path) -> dict[str, Any]:
    """Predictions in a file of `gipo plan --save FILE`, by run id.

    Raises:
        GipoError: it is missing or damaged.
    """
    content = read_json(path)
    runs: Any = content.get("runs") if isinstance(content, dict) else None
    if not isinstance(runs, dict) or not all(_is_prediction(run) for run in runs.values()):
        raise GipoError(f"{path} is damaged: delete it, and `gipo plan --save {path}` writes another one")
    return runs


def _is_prediction(run: object) -> bool:
    numbers = [run.get(key) for key in PREDICTED] if isinstance(run, dict) else [None]
    return all(isinstance(number, int | float) and 0 <= number < 1e12 for number in numbers)
