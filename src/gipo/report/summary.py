"""A study in words, from its table of runs: design, cost and origin."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gipo import paper, suites
from gipo.analysis import design as designs
from gipo.analysis import methods
from gipo.config import Section
from gipo.errors import GipoError, shortened
from gipo.figures import style
from gipo.report.links import run_anchor
from gipo.runs.spec import (
    AsynchronousSpec,
    DiagnosticsSpec,
    EnvironmentSpec,
    LearnerSpec,
    NetworkSpec,
    OpenVLASpec,
    StoreSpec,
)


def _libero(section: str) -> dict[str, Any]:
    """The paper's settings of a section that are not those of MetaWorld, whole numbers as such."""
    given = {tuple(key.split(".")): number.value for key, number in paper.group("settings.libero").items()}
    whole = {key: int(value) if value == int(value) else value for key, value in given.items()}
    return {name: value for (part, name), value in whole.items() if part == section}


PAPER: dict[str, dict[str, Section]] = {
    "metaworld": {
        "environment": EnvironmentSpec(),
        "network": NetworkSpec(),
        "replay": StoreSpec(),
        "learner": LearnerSpec(),
        "diagnostics": DiagnosticsSpec(),
    },
    "libero": {
        "openvla": OpenVLASpec(repository="not-public", revision="not-public"),
        "replay": StoreSpec(**_libero("replay")),
        "learner": LearnerSpec(**_libero("learner"), updates=int(paper.number("updates/libero").value)),
        "asynchronous": AsynchronousSpec(),
    },
}
"""The paper's settings by suite: for MetaWorld the defaults of every run, for LIBERO what is other there."""

SHARED = {
    "learner.updates": "learner updates per run",
    "learner.batch_size": "transitions per batch",
    "learner.accumulation": "batches per update",
    "learner.policy_learning_rate": "learning rate of the policy",
    "learner.value_learning_rate": "learning rate of the value",
    "learner.warmup_updates": "warm-up updates",
    "learner.entropy_coefficient": "entropy coefficient",
    "learner.kl_coefficient": "KL coefficient",
    "learner.gamma": "discount",
    "learner.estimator": "advantage estimator",
    "replay.capacity": "replay capacity, transitions",
    "replay.segment_length": "steps per replay segment",
}
SETTINGS = {
    "metaworld": SHARED
    | {
        "learner.policy_start": "first update of the policy",
        "learner.reward_scale": "reward scale",
        "network.hidden": "width of the policy network",
        "environment.bins": "bins per action dimension",
        "environment.episode_steps": "steps per episode",
        "diagnostics.old_gap": "K / updates: gap from which a sample is old",
    },
    "libero": SHARED
    | {
        "openvla.rank": "rank of LoRA",
        "asynchronous.inference_batch": "observations in a pass of the inference, at most",
    },
}
"""Key in the specification of a run to its name in the table of settings, by suite."""
IMAGINED = {
    "ratio": "imagined transitions to each real one",
    "reward": "reward of runs with imagined transitions",
    "length": "steps of an imagined branch",
    "lifetime": "lifetime of imagined transitions / updates",
    "refit_every": "updates between fits of the world model",
}
"""The same of runs with a world model, in its section."""


EFFICIENCY = {"MainJobID": "string"} | dict.fromkeys(
    ("Elapsed_sec", "NCPUS", "MaxRSS_MB", "RequestedMem_MB", "TotalCPU_sec"), "float64"
)
"""Columns of Snakemake's efficiency reports, with their types."""


def scale(runs: pd.DataFrame, every_run: pd.DataFrame) -> dict[str, Any]:
    """Design, names and counts of the main grid, ``runs``, and totals with the sweeps, ``every_run``."""
    names = {
        "task": sorted(set(runs["task"])),
        "regime": style.order_regimes(runs["regime"]),
        "method": [style.label(method) for method in style.order(runs["method"])],
        "seed": [str(seed) for seed in sorted(set(runs["seed"]))],
    }
    updates = runs["updates"].max()
    suite = designs.suite(runs)
    return {
        **names,
        "task_count": runs["task"].nunique(),
        "paper_tasks": _paper_tasks(suite),
        "no_evidence": designs.no_evidence(runs),
        "resumes_exactly": not any(json.loads(spec).get("asynchronous") for spec in runs["spec"]),
        "by_lifetime": bool(runs["lifetime"].notna().all()),
        "tasks": _count(runs, "task"),
        "seeds": _count(runs, "seed"),
        "design": design(runs),
        "in_sweeps": len(every_run) - len(runs),
        "runs": f"{len(every_run):,}",
        "updates": f"{every_run['updates'].sum():,}",
        "env_steps": f"{every_run['env_steps'].sum():,}",
        "updates_per_run": f"{updates:,}",
        "share_of_paper": updates / _paper_updates(suite),
    }


def totals(runs: pd.DataFrame) -> dict[str, str]:
    """Counts of all runs of the page."""
    return {
        "runs": f"{len(runs):,}",
        "updates": f"{runs['updates'].sum():,}",
        "env_steps": f"{runs['env_steps'].sum():,}",
        "wall": _duration(runs["wall_seconds"].sum()),
        "cpu_hours": f"{_cpu_hours(runs):.2g}",
    }


def _paper_updates(suite: str) -> float:
    """Learner updates of a run in the paper; NaN for a suite that it does not have."""
    published = paper.group("updates")
    return published[suite].value if suite in published else float("nan")


def design(runs: pd.DataFrame) -> str:
    """Such as ``3 tasks × 2 regimes × 4 methods × 5 seeds``."""
    return " × ".join(_count(runs, noun) for noun in ("task", "regime", "method", "seed"))


def _count(runs: pd.DataFrame, noun: str) -> str:
    number = runs[noun].nunique()
    return f"{number} {noun}{'s' * (number > 1)}"


def cost(runs: pd.DataFrame) -> dict[str, Any]:
    """Time, machines and interruptions; the CPU time is an upper bound, all cores for as long as any run was going."""
    machines = []
    for _, rows in runs.groupby("host"):
        machine = rows[["host", "cpu", "cores"]].iloc[0].to_dict()
        machine["devices"] = ", ".join(sorted(set(rows["device"])))
        machines.append(machine | {"runs": len(rows), "busy": _duration(_busy_seconds(rows))})
    return {
        "paper": _paper_cost(designs.suite(runs)),
        "wall": _duration(runs["wall_seconds"].sum()),
        "one_run": _duration(runs["wall_seconds"].median()),
        "cpu_hours": f"{_cpu_hours(runs):.2g}",
        "machines": machines,
        "updates_per_second": f"{runs['updates_per_second'].median():,.3g}",
        "env_steps_per_second": f"{runs['env_steps_per_second'].median():,.3g}",
        "interruptions": int(runs["interruptions"].sum()),
        "first": min(runs["finished_at"])[:10],
        "last": max(runs["finished_at"])[:10],
    }


def _paper_tasks(suite: str) -> int:
    """How many tasks the paper has of a suite."""
    name = f"design.{suite}"
    return int(paper.group(name)["tasks"].value) if name in paper.groups() else 0


def _paper_cost(suite: str) -> str:
    """Of one run in the paper; empty for a suite that it does not have."""
    if f"cost.{suite}" not in paper.groups():
        return ""
    costs = {key: number.text for key, number in paper.group(f"cost.{suite}").items()}
    if "gpus" in costs:
        return f"{costs['gpus']} H200 for about {costs['days']} days [P]"
    return f"about {costs['hours']} H200-hours [P]"


def slurm(folder: Path) -> dict[str, str] | None:
    """Resources that SLURM jobs asked for and used, from Snakemake's efficiency reports; None where there are none."""
    paths = sorted(folder.glob("efficiency_report_*.csv"))
    if not paths:
        return None
    steps = pd.concat(map(_efficiency, paths))
    asked = (steps["Elapsed_sec"] * steps["NCPUS"]).sum()
    memory = (steps["MaxRSS_MB"] / steps["RequestedMem_MB"]).max()
    return {
        "jobs": f"{steps['MainJobID'].nunique():,}",
        "core_hours": f"{asked / 3600:,.3g}",
        "used": f"{100 * steps['TotalCPU_sec'].sum() / max(asked, 1):.0f} %",
        "memory": f"{100 * memory:.0f} %",
    }


def _efficiency(path: Path) -> pd.DataFrame:
    """The columns of an efficiency report that are summed up."""
    try:
        return pd.read_csv(path, usecols=list(EFFICIENCY)).astype(EFFICIENCY)
    except (OSError, ValueError) as error:
        reason = shortened(str(error))
        raise GipoError(f"cannot read {path}: {reason}; it only tells what SLURM's jobs used: remove it") from error


def _cpu_hours(runs: pd.DataFrame) -> float:
    """All cores of every machine for as long as any of its runs was going."""
    return sum(_busy_seconds(rows) * rows["cores"].iloc[0] / 3600 for _, rows in runs.groupby("host"))


def _busy_seconds(runs: pd.DataFrame) -> float:
    """Length of the union of the intervals in which runs were going."""
    ends = np.array([datetime.fromisoformat(text).timestamp() for text in runs["finished_at"]])
    total, until = 0.0, 0.0
    for start, end in sorted(zip(ends - runs["wall_seconds"].to_numpy(), ends, strict=True)):
        total += max(end - max(start, until), 0)
        until = max(until, end)
    return total


def settings(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """The paper's settings beside those of these runs, with whether they agree; none for a suite it does not have."""
    specs, suite = [json.loads(spec) for spec in runs["spec"]], designs.suite(runs)
    if suite not in PAPER:
        return []
    theirs = paper.group(f"design.{suite}")
    rows = [_row(name, number.text, str(runs[name[:-1]].nunique())) for name, number in theirs.items()]
    rows += _lifetimes(specs, suite) if runs["lifetime"].notna().all() else _actors(specs, suite)
    rows += _imagined(specs)
    rows += _time_limits(specs, suite)
    for key, words in SETTINGS[suite].items():
        section, name = key.split(".")
        if all(spec.get(section) for spec in specs):
            published = _value(getattr(PAPER[suite][section], name))
            rows.append(_row(words, published, joined(spec[section][name] for spec in specs)))
    return rows


def _lifetimes(specs: list[dict[str, Any]], suite: str) -> list[dict[str, Any]]:
    """Regimes by the lifetime of the replay; the paper's are known for MetaWorld only, elsewhere its actors are."""
    rows = []
    actors = {} if suite == "metaworld" else paper.group(f"actors.{suite}")
    for regime, number in paper.group("lifetime").items():
        here = [spec for spec in specs if spec["regime"] == regime]
        lifetimes = joined(spec["replay"]["lifetime"] for spec in here)
        theirs = f"{actors[regime].text} actors" if actors else number.text
        rows.append(_row(f"replay lifetime L / updates, {regime}", theirs, lifetimes))
        published = "" if actors else _inflow(StoreSpec().capacity, number.value, _paper_updates(suite))
        inflow = (_inflow(s["replay"]["capacity"], s["replay"]["lifetime"], s["learner"]["updates"]) for s in here)
        rows.append(_row(f"env steps per update, {regime}", published, joined(inflow)))
    return rows


def _imagined(specs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """World models, which the paper's runs have not; nothing where no run has one."""
    simulators = {"reward": "environment"}  # of runs from before there was another
    models = [simulators | spec["imagination"] for spec in specs if spec.get("imagination")]
    return [_row(words, "–", joined(model[key] for model in models)) for key, words in IMAGINED.items() if models]


def _time_limits(specs: list[dict[str, Any]], suite: str) -> list[dict[str, Any]]:
    """Lengths of episodes where they are the suite's, beside those of these runs."""
    limits = suites.get(suite).time_limits
    if not limits:
        return []
    theirs, here = (limits[spec["task"]] for spec in specs), (spec["environment"]["episode_steps"] for spec in specs)
    return [_row("steps per episode", joined(theirs), joined(here))]


def _actors(specs: list[dict[str, Any]], suite: str) -> list[dict[str, Any]]:
    """Regimes by their number of rollout actors."""
    rows = []
    for regime, actors in paper.group(f"actors.{suite}").items():
        here = (spec["replay"]["environments"] for spec in specs if spec["regime"] == regime)
        rows.append(_row(f"rollout actors, {regime}", actors.text, joined(here)))
    return rows


def _inflow(capacity: int, lifetime: float, updates: float) -> str:
    """Env steps per update that replace a replay once in its lifetime."""
    return f"{capacity / (lifetime * updates):.3g}"


def _row(name: str, published: str, here: str) -> dict[str, Any]:
    return {"name": name, "paper": published, "here": here, "same": published == here}


def joined(values: Any) -> str:
    """Distinct values in words, sorted; a dash where there is none."""
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
        *_numeric_classes(runs),
        *(("libraries", " · ".join(f"{name} {version}" for name, version in each)) for each in libraries),
    ]


def _numeric_classes(runs: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Every class and how many runs are of it, unknown where none was noted; runs that changed theirs are named."""
    classes = runs["numeric_classes"].fillna('["unknown"]').map(json.loads)
    for name, number in classes.explode().value_counts().sort_index().items():
        yield "numeric class", f"{name} ({number} runs)"
    if not (changed := runs["run_id"][classes.map(len) > 1]).empty:
        yield (
            "changed class",
            f"{len(changed)} runs were made on more than one numeric class, so that nothing gives their bytes again: "
            + ", ".join(sorted(changed)),
        )


def _distinct(column: pd.Series) -> str:
    return ", ".join(sorted(str(value) for value in column.fillna("unknown").unique()))


def run_groups(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Runs by regime and method, each group with its anchor and the filter that finds it in MLflow."""
    groups = runs.sort_values(["regime", "method", "run_id"]).groupby(["regime", "method"], sort=False)
    return [
        {
            "anchor": run_anchor(str(regime), str(method)),
            "words": f"{regime}, {style.label(str(method))}: {len(rows)} run{'s' * (len(rows) > 1)}",
            "filter": f"tags.regime = '{regime}' and tags.method = '{methods.read(str(method)).label}'",
            "rows": [_run(row) for _, row in rows.iterrows()],
        }
        for (regime, method), rows in groups
    ]


def _run(row: pd.Series) -> dict[str, str]:
    """A run in words."""
    return {
        "run": row["run_id"],
        "machine": row["host"],
        "updates": f"{row['updates']:,}",
        "env_steps": f"{row['env_steps']:,}",
        "wall": _duration(row["wall_seconds"]),
        "interruptions": str(row["interruptions"]),
        "finished": row["finished_at"],
    }


def _duration(seconds: float) -> str:
    """Such as ``48 s``, ``12 min`` or ``3.4 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
