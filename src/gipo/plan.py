"""What a scale costs here, before anything runs: jobs, env steps, updates and predicted hours of every rule.

Work is counted as the engine does it (`gipo.engines.lockstep`) and multiplied by the rates of `gipo.rates`. Not
counted: Snakemake itself, checkpoints, and that several jobs on one machine share its caches and memory bandwidth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from gipo import paper
from gipo.cluster.requests import LEARNER_MB
from gipo.errors import GipoError
from gipo.figures import of_study
from gipo.files import read_json, write_json
from gipo.rates import LearnerRate, Rates
from gipo.replay import Pace
from gipo.runs.provenance import CHECKOUT, origin
from gipo.runs.spec import RunSpec
from gipo.study import BaselineSpec, Study

PAPER_HOURS = int(paper.number("cost.metaworld/hours").value)
"""H200-hours of one MetaWorld run in the paper, about."""

LIBERO_GPUS = int(paper.number("cost.libero/gpus").value)
LIBERO_HOURS = 24 * int(paper.number("cost.libero/days").value)
"""H200s of one LIBERO run in the paper, and about how long."""

GOALS = 50
"""Goals of a task; a further episode with one of them begins at almost no cost (`gipo.envs.sawyer.FirstState`)."""


TRANSITION_BYTES = 210
"""Of a transition in the replay (`gipo.replay.Replay`), with its part of the segment."""


@dataclass(frozen=True)
class Cost:
    """What one job or several need."""

    env_steps: int = 0  # of collecting and evaluating
    updates: int = 0
    acting: float = 0.0  # seconds of a CPU core: start, simulator, inference
    learning: float = 0.0  # seconds of the learner on a CPU core
    gpu_learning: float = 0.0  # the same on a GPU; 0 where there is none

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(mine + theirs for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True)))


@dataclass(frozen=True)
class Line:
    """A row of the plan; without a cost it takes minutes, which are not predicted."""

    rule: str
    jobs: int
    cost: Cost | None = None


def scale_config(scale: str) -> Path:
    """Config of a scale of this checkout.

    Raises:
        GipoError: there is no such scale.
    """
    configs = {path.stem: path for path in (CHECKOUT / "workflow" / "config").glob("*.yaml")}
    if scale not in configs:
        known = ", ".join(sorted(configs)) or "none, as gipo does not run from a checkout"
        raise GipoError(f"unknown scale {scale!r}; known: {known}")
    return configs[scale]


def predict(study: Study, rates: Rates) -> list[Line]:
    """Every rule of a MetaWorld study, in the order in which they run; a run that several grids share counts once."""
    parts = study.parts()
    baselines = {spec.baseline_id: spec for part in parts for spec in map(part.baseline, part.tasks)}
    pairs = study.gridworld.pairs
    return [
        *_train(study, rates),
        Line("baseline", len(baselines), sum((baseline_cost(spec, rates) for spec in baselines.values()), Cost())),
        Line("gridworld", 1, Cost(acting=rates.start + rates.gridworld.fixed + pairs * rates.gridworld.pair)),
        *_rest(study),
    ]


def predict_libero(study: Study) -> list[Line]:
    """Every rule of a LIBERO study. Nothing is measured: neither its simulator nor a model of 7B need be here.

    Updates are counted; env steps are as many as the actors get to, and the GPU-hours of a run on a published
    checkpoint are the paper's.
    """
    runs = study.runs()
    gpu = sum(LIBERO_GPUS * LIBERO_HOURS * 3600.0 for run in runs if run.openvla and not run.openvla.is_tiny)
    cost = Cost(updates=sum(run.learner.updates for run in runs), gpu_learning=gpu)
    models = [Line("pretrained", len(study.pretrained()))] if study.pretrained() else []
    return [
        *models,
        Line("libero_assets", 1),
        Line("train_libero: main grid", len(runs), cost),
        Line("gridworld", 1),
        *_rest(study),
    ]


def _rest(study: Study) -> list[Line]:
    """What follows training."""
    return [
        Line("weights", 1),
        Line("tables", len(study.parts())),
        Line("claims", 1),
        Line("figure", len(of_study(study.suite, study.sweeps))),
        Line("store", 1),
        Line("track", 1),
        Line("report", 1),
    ]


def _train(study: Study, rates: Rates) -> Iterator[Line]:
    seen: set[str] = set()
    for name, part in zip(("main grid", *(f"sweep {name}" for name in study.sweeps)), study.parts(), strict=True):
        runs = {run.run_id: run for run in part.runs() if run.run_id not in seen}
        seen |= runs.keys()
        yield Line(f"train: {name}", len(runs), sum((run_cost(run, rates) for run in runs.values()), Cost()))


def run_cost(run: RunSpec, rates: Rates) -> Cost:
    """One training run that collects in the learner's process."""
    replay, evaluation = run.replay, run.evaluation
    episode_steps, updates = run.environment.episode_steps, run.learner.updates
    task = rates.tasks[run.task]
    rounds = env_steps_at(run, updates) // run.round_steps + 1  # while the last updates are made, one more is collected
    collected = rounds * run.round_steps
    evaluations = 1 + math.ceil(updates / evaluation.every)
    evaluated = evaluations * evaluation.episodes * episode_steps
    environments = replay.environments + evaluation.episodes
    episodes = replay.environments + collected // episode_steps + evaluations * evaluation.episodes
    calls = rounds * replay.segment_length * math.ceil(replay.environments / replay.group_size)
    acting = (
        rates.start
        + task.first
        + (environments - 1) * task.make
        + min(episodes, environments + GOALS) * task.reset
        + (collected + evaluated) * task.step
        + calls * rates.collecting
        + evaluations * episode_steps * rates.evaluating
    )

    def learning(rate: LearnerRate) -> float:
        logged = math.ceil(updates / run.diagnostics.every)
        targets = collected + refreshed_transitions(run)
        return updates * rate.update + logged * rate.metrics + targets * rate.target

    on_gpu = learning(rates.gpu[run.learner]) if rates.gpu else 0.0
    return Cost(collected + evaluated, updates, acting, learning(rates.cpu[run.learner]), on_gpu)


def memory_mb(run: RunSpec) -> int:
    """What the learner of a run occupies at most, in MB: libraries, the replay, and a checkpoint of it being read."""
    return math.ceil(LEARNER_MB + 5 * run.replay.capacity * TRANSITION_BYTES / 1e6)


def save(path: Path, study: Study, rates: Rates) -> None:
    """Add what is predicted for every training run to a file, from which SLURM jobs get their time and memory.

    Raises:
        GipoError: there is a damaged file, or it cannot be written.
    """
    known = read_json(path)["runs"] if path.exists() else {}
    machine = {name: origin("gipo")[name] for name in ("host", "cpu")}
    machine["gpu"] = torch.cuda.get_device_name() if rates.gpu else None
    for run in study.all_runs():
        cost = run_cost(run, rates)
        known[run.run_id] = {
            **{"acting": cost.acting, "learning": cost.learning, "gpu_learning": cost.gpu_learning},
            **{"memory_mb": memory_mb(run), "measured_on": machine},
        }
    write_json(path, {"runs": known})


def env_steps_at(run: RunSpec, update: int) -> int:
    """Env steps, whole rounds, that the replay has seen when that many updates are due."""
    pace = Pace(run.replay.capacity, run.lifetime_updates, run.replay.warmup_steps)
    rounds = math.ceil((pace.warmup_steps + update * pace.env_steps_per_update) / run.round_steps) - 1
    while pace.updates_due(rounds * run.round_steps) < update:  # the engine's own rounding decides
        rounds += 1
    return rounds * run.round_steps


def refreshed_transitions(run: RunSpec) -> int:
    """Targets that a run computes again because of ``refresh_every``: the filled replay at each time."""
    every = run.learner.refresh_every
    times = range(0, run.learner.updates, every) if every else ()
    return sum(min(run.replay.capacity, env_steps_at(run, update + 1)) for update in times)


def baseline_cost(spec: BaselineSpec, rates: Rates) -> Cost:
    """Random policy and scripted expert on one task; the expert's script, which is cheap, is not counted."""
    episodes, task = 2 * spec.episodes, rates.tasks[spec.task]
    env_steps = episodes * spec.environment.episode_steps
    return Cost(
        env_steps, acting=rates.start + task.first + min(episodes, 1 + GOALS) * task.reset + env_steps * task.step
    )


def show(lines: list[Line], has_gpu: bool) -> None:
    """Print the table and what follows from it."""
    _print(lines, has_gpu, sentences(lines, origin("gipo")["cores"], torch.cuda.device_count() if has_gpu else 0))


def show_libero(lines: list[Line]) -> None:
    """Print the table of a LIBERO study and what is not in it."""
    _print(lines, True, libero_sentences(lines))


def _print(lines: list[Line], has_gpu: bool, notes: list[str]) -> None:
    table = Table(box=SIMPLE, show_edge=False, pad_edge=False, padding=(0, 1), collapse_padding=True, show_footer=True)
    total = sum((line.cost for line in lines if line.cost), Cost())
    jobs = sum(line.jobs for line in lines)
    columns = ("rule", "jobs", "env steps", "updates", "CPU-hours", "GPU-hours")
    for name, footer in zip(columns, ("total", f"{jobs:,}", *_cells(total, has_gpu)), strict=True):
        table.add_column(name, footer, justify="left" if name == "rule" else "right", no_wrap=True)
    for line in lines:
        table.add_row(line.rule, f"{line.jobs:,}", *(_cells(line.cost, has_gpu) if line.cost else ("", "", "minutes")))
    console = Console(highlight=False)
    console.print(table)
    for note in notes:
        console.print(note, soft_wrap=True)


def libero_sentences(lines: list[Line]) -> list[str]:
    """On what the hours of a LIBERO study rest, and what they leave out."""
    [train] = [line for line in lines if line.rule.startswith("train")]
    assert train.cost
    steps = "Env steps are not predicted: a regime is a number of actors, which collect as many as they get to."
    if not train.cost.gpu_learning:
        return [steps, "Nothing was measured. A tiny model learns on a CPU in minutes, most of them the simulator's."]
    hours = f"{LIBERO_GPUS} H200 for about {LIBERO_HOURS} h each"
    total = paper.number("cost.libero/total_hours").text
    return [
        steps,
        f"Nothing was measured: GPU-hours are the paper's runs [P], {hours}; its total is more than {total}.",
        f"On one node of {LIBERO_GPUS} GPUs: about {LIBERO_HOURS * train.jobs / 24:,.0f} days. Weights to fetch: about "
        "15 GB for each checkpoint.",
    ]


def sentences(lines: list[Line], cores: int, gpus: int) -> list[str]:
    """What the table does not say: what is not predicted, the paper's cost, and the wall time."""
    total = sum((line.cost for line in lines if line.cost), Cost())
    runs = sum(line.jobs for line in lines if line.rule.startswith("train"))
    on_cores = (total.acting + total.learning) / 3600 / cores
    notes = ["Env steps include evaluation. Rules with 'minutes' are not predicted."]
    if not gpus:
        theirs = f"about {PAPER_HOURS} H200-hours a run [P], {PAPER_HOURS * runs:,} for these {runs:,}"
        wall = f"about {_hours(on_cores)} h on {cores} cores"
        return [*notes, f"For comparison, the paper: {theirs}.", f"Wall time here: {wall}, perfectly packed."]
    packed = max(total.acting / 3600 / cores, total.gpu_learning / 3600 / gpus)
    both = f"about {_hours(packed)} h on {cores} cores and {gpus} GPU{'s' if gpus > 1 else ''}"
    wall = f"{both} (--set-resources train:device=cuda), {_hours(on_cores)} h on the cores alone"
    return [*notes, f"Wall time here: {wall}, perfectly packed."]


def _cells(cost: Cost, has_gpu: bool) -> tuple[str, str, str, str]:
    """Env steps, updates, CPU-hours with the learner on the GPU where there is one, GPU-hours."""
    count = [f"{number:,}" if number else "" for number in (cost.env_steps, cost.updates)]
    cpu = cost.acting if has_gpu else cost.acting + cost.learning
    gpu = _hours(cost.gpu_learning / 3600) if has_gpu else "no GPU here"
    return count[0], count[1], _hours(cpu / 3600), gpu if cost.updates else ""


def _hours(hours: float) -> str:
    """Two digits or all before the point; nothing for 0."""
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}" if hours else ""
