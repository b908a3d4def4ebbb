"""How long a study still takes, from the training runs that were seen here and from what a plan predicted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from statistics import fmean

from gipo.cluster.requests import read_plan
from gipo.errors import GipoError


def planned_seconds(plan: Path) -> dict[str, float]:
    """Wall time that `gipo plan --save FILE` predicted for each run, by run id; empty where there is no plan."""
    try:
        runs = read_plan(plan)
    except GipoError:
        return {}
    return {run: cost["acting"] + (cost["gpu_learning"] or cost["learning"]) for run, cost in runs.items()}


def run_id(directory: Path) -> str:
    """The last four parts of a run's directory (`gipo.runs.spec.RunSpec.run_id`)."""
    return "/".join(directory.parts[-4:])


def expected_seconds(run: Path, seen: Mapping[Path, float], planned: Mapping[str, float]) -> float | None:
    """Wall time of a run that has not begun; None where nothing is known.

    What the plan predicted, times the factor by which it was wrong so far. Without a plan, the mean of what was seen
    of the same task and regime, else of the same regime, else of all.

    Args:
        run: its directory.
        seen: wall time of runs that were made here, whole or extrapolated, by their directory.
        planned: as `planned_seconds` returns it.
    """
    if predicted := planned.get(run_id(run)):
        both = [(seconds, planned[run_id(other)]) for other, seconds in seen.items() if run_id(other) in planned]
        return predicted * (sum(a for a, _ in both) / sum(b for _, b in both) if both else 1.0)
    task, regime = run.parts[-4:-2]
    alike = [seconds for other, seconds in seen.items() if other.parts[-4:-2] == (task, regime)]
    alike = alike or [seconds for other, seconds in seen.items() if other.parts[-3] == regime]
    alike = alike or list(seen.values())
    return fmean(alike) if alike else None


def seconds_left(
    running: Iterable[float | None],
    waiting: Collection[Path],
    number_waiting: int,
    seen: Mapping[Path, float],
    planned: Mapping[str, float],
) -> float | None:
    """Wall time until the last run is made, with as many side by side as now; None where nothing is known.

    Args:
        running: seconds left of each run that is being made; None where it has only begun.
        waiting: runs that may be to come.
        number_waiting: how many of them are to come.
        seen: as in `expected_seconds`.
        planned: as in `expected_seconds`.
    """
    now = list(running)
    expected = [expected_seconds(run, seen, planned) for run in waiting]
    each = fmean(known) if (known := [seconds for seconds in expected if seconds is not None]) else None
    if each is None and (number_waiting or None in now):
        each = fmean(seen.values()) if seen else None
        if each is None:
            return None
    left = [(each or 0.0) if seconds is None else seconds for seconds in now]
    return max((sum(left) + number_waiting * (each or 0.0)) / max(1, len(now)), *left, 0.0)
