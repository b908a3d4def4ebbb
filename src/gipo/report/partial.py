"""The finished part of a study while it runs, made into tables, figures and a scorecard without verdicts.

A method in a regime is shown with those seeds that have finished on every task. As the workflow trains earlier seeds
first, that is nearly all that is finished.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from gipo import figures
from gipo.analysis.claims import write_scorecard
from gipo.analysis.collect import collect
from gipo.errors import GipoError
from gipo.report.part import Part
from gipo.runs.directory import RunDirectory
from gipo.runs.spec import RunSpec
from gipo.stages import StudyFolder
from gipo.study import Study

NOT_JUDGED = "Not judged: the study has not finished."
BEFORE_RUNS = ("weights", "gridworld")
"""Stages that rest on no training run; the workflow makes them before it trains."""
MOST_RESAMPLES = 2000
"""Enough for a page that is soon made again."""


def finished_of(part: Part, study: Study, results: Path, scratch: Path) -> Part:
    """A part as far as it is finished; as it is where it is finished as a whole, or where nothing is.

    Args:
        part: as the scale has it.
        study: of the part.
        results: folder with ``runs`` and ``baselines``.
        scratch: folder for tables, figures and scorecard of what is finished.

    Raises:
        GipoError: a finished run or a table is damaged, or one of `BEFORE_RUNS` is missing.
    """
    if part.is_finished:
        return part
    folder = StudyFolder(scratch)
    grids = {"tables": study} | {f"sweeps/{name}": study.sweep(name) for name in study.sweeps}
    for name, grid in grids.items():
        runs = [results / "runs" / run.run_id for run in complete(grid.runs(), results / "runs")]
        baselines = [path for path in grid.baseline_directories(results) if path.is_dir()]
        if runs and len(baselines) == len(grid.scored_by_baselines()):
            collect(runs, baselines, folder, name)
    if not folder.has("tables"):
        return part
    for stage in BEFORE_RUNS:
        files = part.folder.manifest_of(stage).files
        folder.write_stage(stage, {name: part.folder.read_bytes(name) for name in files})
    resamples = min(study.statistics.resamples, MOST_RESAMPLES)
    write_scorecard(folder, resamples, not_judged=NOT_JUDGED)
    for name in part.figures:
        with suppress(GipoError):  # of what is not there yet, which the page says
            figures.build(name, folder, resamples=resamples)
    return replace(part, folder=folder, is_partial=True)


def complete(runs: Iterable[RunSpec], folder: Path) -> list[RunSpec]:
    """Finished runs of one grid whose seed has finished on every task of it, under the same method in the same regime.

    Args:
        runs: of the grid.
        folder: of all runs.
    """
    seeds = defaultdict(list)
    for run in runs:
        seeds[run.regime, run.method, run.seed].append(run)
    of_seed = seeds.values()
    return [run for own in of_seed if all(RunDirectory(folder / r.run_id).finished for r in own) for run in own]
