"""What was run, what it cost and where it came from, in words, from the table of runs."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gipo.figures import style
from gipo.runs.spec import (
    DiagnosticsSpec,
    EnvironmentSpec,
    LearnerSpec,
    NetworkSpec,
    Section,
    StoreSpec,
)

PAPER: dict[str, Section] = {
    "environment": EnvironmentSpec(),
    "network": NetworkSpec(),
    "replay": StoreSpec(),
    "learner": LearnerSpec(),
    "diagnostics": DiagnosticsSpec(),
}
"""The paper's setting: the defaults of every run (paper-facts section 3)."""

PAPER_UPDATES, PAPER_CAPACITY = LearnerSpec().updates, StoreSpec().capacity
PAPER_LIFETIMES = {"fresh": 0.0855, "stale": 0.874}
PAPER_DESIGN = {"tasks": "8", "methods": "10 configurations", "seeds": "5"}

SETTINGS = {
    "learner.updates": "learner updates per run",
    "learner.batch_size": "transitions per batch",
    "learner.accumulation": "batches per update",
    "learner.policy_learning_rate": "learning rate of the policy",
    "learner.value_learning_rate": "learning rate of the value",
    "learner.warmup_updates": "warm-up updates",
    "learner.policy_start": "first update of the policy",
    "learner.entropy_coefficient": "entropy coefficient",
    "learner.kl_coefficient": "KL coefficient",
    "learner.reward_scale": "reward scale",
    "learner.gamma": "discount",
    "learner.estimator": "advantage estimator",
    "network.hidden": "width of the policy network",
    "environment.bins": "bins per action dimension",
    "environment.episode_steps": "steps per episode",
    "replay.capacity": "replay capacity, transitions",
    "replay.segment_length": "steps per replay segment",
    "diagnostics.old_gap": "K / updates: gap from which a sample is old",
}
"""Key in the specification of a run to its name in the table of settings."""


def scale(runs: pd.DataFrame, every_run: pd.DataFrame) -> dict[str, Any]:
    """Design, names and counts of the main grid, ``runs``, and totals with the sweeps, ``every_run``."""
    names = {
        "task": sorted(set(runs["task"])),
        "regime": style.order_regimes(runs["regime"]),
        "method": [style.label(method) for method in style.order(runs["method"])],
        "seed": [str(seed) for seed in sorted(set(runs["seed"]))],
    }
    updates = runs["updates"].max()
    return {
        **names,
        "tasks": _count(runs, "task"),
        "seeds": _count(runs, "seed"),
        "design": design(runs),
        "in_sweeps": len(every_run) - len(runs),
        "runs": f"{len(every_run):,}",
        "updates": f"{every_run['updates'].sum():,}",
        "env_steps": f"{every_run['env_steps'].sum():,}",
        "updates_per_run": f"{updates:,}",
        "share_of_paper": updates / PAPER_UPDATES,
    }


def design(runs: pd.DataFrame) -> str:
    """Such as ``3 tasks × 2 regimes × 4 methods × 5 seeds``."""
    return " × ".join(_count(runs, noun) for noun in ("task", "regime", "method", "seed"))


def _count(runs: pd.DataFrame, noun: str) -> str:
    number = runs[noun].nunique()
    return f"{number} {noun}{'s' * (number > 1)}"


def cost(runs: pd.DataFrame) -> dict[str, Any]:
    """Time, machines and interruptions; the CPU time is an upper bound, all cores for as long as any run was going."""
    machines = []
    cpu_hours = 0.0
    for _, rows in runs.groupby("host"):
        machine = rows[["host", "cpu", "cores"]].iloc[0].to_dict()
        machine["devices"] = ", ".join(sorted(set(rows["device"])))
        busy = _busy_seconds(rows)
        cpu_hours += busy * machine["cores"] / 3600
        machines.append(machine | {"runs": len(rows), "busy": _duration(busy)})
    return {
        "wall": _duration(runs["wall_seconds"].sum()),
        "one_run": _duration(runs["wall_seconds"].median()),
        "cpu_hours": f"{cpu_hours:.2g}",
        "machines": machines,
        "updates_per_second": f"{runs['updates_per_second'].median():,.0f}",
        "env_steps_per_second": f"{runs['env_steps_per_second'].median():,.0f}",
        "interruptions": int(runs["interruptions"].sum()),
        "first": min(runs["finished_at"])[:10],
        "last": max(runs["finished_at"])[:10],
    }


def slurm(folder: Path) -> dict[str, str] | None:
    """What SLURM jobs asked for and used, from the efficiency reports of Snakemake; None where there are none."""
    found = [pd.read_csv(path) for path in sorted(folder.glob("efficiency_report_*.csv"))]
    if not found:
        return None
    steps = pd.concat(found)
    asked = (steps["Elapsed_sec"] * steps["NCPUS"]).sum()
    memory = (steps["MaxRSS_MB"] / steps["RequestedMem_MB"]).max()
    return {
        "jobs": f"{steps['MainJobID'].nunique():,}",
        "core_hours": f"{asked / 3600:,.3g}",
        "used": f"{100 * steps['TotalCPU_sec'].sum() / max(asked, 1):.0f} %",
        "memory": f"{100 * memory:.0f} %",
    }


def _busy_seconds(runs: pd.DataFrame) -> float:
    """Length of the union of the intervals in which runs were going."""
    ends = np.array([datetime.fromisoformat(text).timestamp() for text in runs["finished_at"]])
    total, until = 0.0, 0.0
    for start, end in sorted(zip(ends - runs["wall_seconds"].to_numpy(), ends, strict=True)):
        total += max(end - max(start, until), 0)
        until = max(until, end)
    return total


def settings(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """The paper's settings beside those of these runs, with whether they agree."""
    specs = [json.loads(spec) for spec in runs["spec"]]
    rows = [_row(name, paper, str(runs[name[:-1]].nunique())) for name, paper in PAPER_DESIGN.items()]
    for regime, lifetime in PAPER_LIFETIMES.items():
        here = [spec for spec in specs if spec["regime"] == regime]
        lifetimes = _joined(spec["replay"]["lifetime"] for spec in here)
        rows.append(_row(f"replay lifetime L / updates, {regime}", _value(lifetime), lifetimes))
        paper = _inflow(PAPER_CAPACITY, lifetime, PAPER_UPDATES)
        inflow = (_inflow(s["replay"]["capacity"], s["replay"]["lifetime"], s["learner"]["updates"]) for s in here)
        rows.append(_row(f"env steps per update, {regime}", paper, _joined(inflow)))
    for key, words in SETTINGS.items():
        section, name = key.split(".")
        paper = _value(getattr(PAPER[section], name))
        rows.append(_row(words, paper, _joined(spec[section][name] for spec in specs)))
    return rows


def _inflow(capacity: int, lifetime: float, updates: int) -> str:
    """Env steps per update that replace a replay once in its lifetime."""
    return f"{capacity / (lifetime * updates):.3g}"


def _row(name: str, paper: str, here: str) -> dict[str, Any]:
    return {"name": name, "paper": paper, "here": here, "same": paper == here}


def _joined(values: Any) -> str:
    return ", ".join(_value(value) for value in sorted(set(values))) or "–"


def _value(value: Any) -> str:
    """Numbers in plain digits, ``3e-05`` as ``0.00003``."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.8f}".rstrip("0").rstrip(".")
    return f"{value:,}" if isinstance(value, int) else str(value)


def origin(runs: pd.DataFrame) -> list[tuple[str, str]]:
    """Code and software of the runs; several values where runs differ."""
    libraries = sorted({tuple(sorted(json.loads(text).items())) for text in runs["libraries"]})
    dirty = {True: "with uncommitted changes", False: "clean"}
    return [
        ("git commit", _distinct(runs["git_commit"])),
        ("working tree", _distinct(runs["git_dirty"].map(dirty))),
        ("code digest", _distinct(runs["code_digest"])),
        ("lock digest", _distinct(runs["lock_digest"])),
        ("Python", _distinct(runs["python"])),
        *(("libraries", " · ".join(f"{name} {version}" for name, version in each)) for each in libraries),
    ]


def _distinct(column: pd.Series) -> str:
    return ", ".join(sorted(str(value) for value in column.fillna("unknown").unique()))


def run_rows(runs: pd.DataFrame) -> list[dict[str, str]]:
    """One row per run for the table at the end of the page."""
    return [
        {
            "run": row["run_id"],
            "machine": row["host"],
            "updates": f"{row['updates']:,}",
            "env_steps": f"{row['env_steps']:,}",
            "wall": _duration(row["wall_seconds"]),
            "interruptions": str(row["interruptions"]),
            "finished": row["finished_at"],
        }
        for _, row in runs.sort_values("run_id").iterrows()
    ]


def _duration(seconds: float) -> str:
    """Such as ``48 s``, ``12 min`` or ``3.4 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
