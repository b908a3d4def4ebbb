"""Runs that were made more than once, with other results because CPU or libraries differ: how far they are apart."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np

from gipo.runs.directory import RunDirectory
from gipo.runs.finished import FinishedRun


def compare(results: Path) -> Iterator[str]:
    """A line for each suite of which `results` has replicas (`gipo.runs.merge`): their distance, and that of seeds.

    It is the mean absolute difference of final returns: between a replica and the result of its run, and between the
    results of each two seeds, over the settings of which there are replicas.

    Raises:
        GipoError: a result or a replica is unfinished or damaged.
    """
    replicas = [FinishedRun.read(path.parent) for path in sorted(results.glob("replicas/*/*/*/*/*/manifest.json"))]
    for suite in sorted({replica.spec.suite for replica in replicas}):
        here = [replica for replica in replicas if replica.spec.suite == suite]
        runs = {run_id: FinishedRun.read(results / "runs" / run_id) for run_id in {one.spec.run_id for one in here}}
        apart = [abs(_final(one) - _final(runs[one.spec.run_id])) for one in here]
        cells = {_settings(run): [_final(seed) for seed in _seeds(run)] for run in runs.values()}
        seeds = [abs(one - other) for finals in cells.values() for one, other in combinations(finals, 2)]
        against = f"those of two seeds by {np.mean(seeds):.3g}" if seeds else "and there are no other seeds to compare"
        yield (
            f"{suite}: {len(runs)} runs have replicas; "
            f"final returns differ by {np.mean(apart):.3g} between replica and result, {against}"
        )


def _settings(run: FinishedRun) -> str:
    """Digest of all but the seed."""
    return run.spec.model_copy(update={"seed": 0}).digest()


def _seeds(run: FinishedRun) -> list[FinishedRun]:
    """The finished runs beside a run that differ from it in the seed alone, and itself."""
    beside = [path for path in sorted(run.directory.path.parent.iterdir()) if RunDirectory(path).finished]
    return [one for one in map(FinishedRun.read, beside) if _settings(one) == _settings(run)]


def _final(run: FinishedRun) -> float:
    """Mean return of the last evaluation."""
    table = run.evaluation()
    return float(table.loc[table["update"] == run.spec.learner.updates, "return"].mean())
