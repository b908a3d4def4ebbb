"""Cost of the training runs that are still to do, in one line, before the first of them starts.

Evaluated by the workflow whenever it starts, so nothing is measured and nothing heavy is imported here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from gipo import paper, suites
from gipo.cluster import requests
from gipo.runs.spec import RunSpec
from gipo.scale import Scale


def line(scale: Scale, to_do: Collection[str]) -> str:
    """Such as ``scale full: 1,152 training runs to do of 1,152 (MetaWorld 1,080, LIBERO 72); about 38,448 ...``.

    The hours of a run are those of results/plan.json where it has the run, else the paper's where it has as many
    updates as the paper's runs; of others there is no estimate.

    Args:
        scale: what is run.
        to_do: ids of the runs that are not finished.
    """
    runs = [run for run_id, run in scale.runs.items() if run_id in to_do]
    count = f"{len(runs):,} training runs to do of {len(scale.runs):,}"
    if len(scale.parts) > 1:
        by_suite = Counter(suites.get(run.suite).title for run in runs)
        count += f" ({', '.join(f'{name} {number:,}' for name, number in by_suite.items())})"
    return f"scale {scale.name}: {count}; {', '.join(_costs(scale, runs))}"


def _costs(scale: Scale, runs: list[RunSpec]) -> list[str]:
    """The sums of each kind of estimate, in words."""
    plan = requests.planned()
    planned = [plan[run.run_id] for run in runs if run.run_id in plan]
    others = [published_hours(run) for run in runs if run.run_id not in plan]
    published = sum(hours for hours in others if hours)
    costs = []
    if planned:
        learning = sum(run["learning"] for run in planned if not run["gpu_learning"])
        on_gpu = sum(run["gpu_learning"] for run in planned)
        cores = (sum(run["acting"] for run in planned) + learning) / 3600
        costs.append(f"about {cores:,.0f} CPU-hours" + (f" and {on_gpu / 3600:,.0f} GPU-hours" if on_gpu else ""))
        costs[-1] += " as planned"
    if published:
        costs.append(f"about {published:,.0f} H200-hours [P]")
    if unknown := sum(hours is None for hours in others):
        of_them = f" of {unknown:,} runs" if costs else ""
        costs.append(f"hours{of_them}: `gipo plan --scale {scale.name}`")
    return costs


def published_hours(run: RunSpec) -> float | None:
    """H200-hours of such a run in the paper; None where it is another kind of run."""
    updates, name = paper.group("updates"), f"cost.{run.suite}"
    small = run.states or (run.openvla and run.openvla.is_tiny)
    if small or run.suite not in updates or run.learner.updates != updates[run.suite].value:
        return None
    cost = {key: number.value for key, number in paper.group(name).items()}
    return cost["hours"] if "hours" in cost else cost["gpus"] * cost["days"] * 24
