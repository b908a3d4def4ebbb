"""The cost of a scale here, before anything runs: jobs, env steps, updates and predicted hours of every rule.

Work is counted as the engine does it (`gipo.engines.lockstep`) and multiplied by the rates of `gipo.rates`. Not
counted: Snakemake itself, checkpoints, and that several jobs on one machine share its caches and memory bandwidth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from gipo import packing, paper, suites
from gipo.cluster import requests
from gipo.cluster.engine_model import Engine, Outcome, Times
from gipo.cluster.requests import read_plan
from gipo.files import write_json
from gipo.rates import LearnerRate, Rates
from gipo.replay import Pace
from gipo.runs.provenance import machine
from gipo.runs.spec import CHECKED, RunSpec
from gipo.scale import Scale
from gipo.study import BaselineSpec, Study

PAPER_HOURS = int(paper.number("cost.metaworld/hours").value)
"""H200-hours of one MetaWorld run in the paper, about."""

LIBERO_GPUS = int(paper.number("cost.libero/gpus").value)
LIBERO_HOURS = 24 * int(paper.number("cost.libero/days").value)
"""H200s of one LIBERO run in the paper, and about how long."""

UNMEASURED = "Of LIBERO runs nothing was measured as a whole"

NODES = (packing.Node(16), packing.Node(96), packing.Node(96, gpus=8))
"""Machines on which a study may run instead; those with GPUs are told of where a GPU was measured."""

GOALS = 50
"""Goals of a task; a further episode with one of them begins at almost no cost (`gipo.envs.sawyer.FirstState`)."""


@dataclass(frozen=True)
class Cost:
    """Needs of one job, or the sum of several."""

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

    def __add__(self, other: Line) -> Line:
        cost = self.cost + other.cost if self.cost and other.cost else self.cost or other.cost
        return Line(self.rule, self.jobs + other.jobs, cost)


def predict(scale: Scale, rates: Mapping[str, Rates]) -> list[Line]:
    """Every rule of a scale, in the order in which they run; a run that several grids or parts share counts once.

    Args:
        scale: what is planned.
        rates: of the parts that `measurable` names.
    """
    lines: dict[str, Line] = {}
    seen: set[str] = set()
    for name, study in scale.parts.items():
        for line in _measured(study, rates[name], seen) if name in rates else _counted(study, seen):
            lines[line.rule] = lines[line.rule] + line if line.rule in lines else line
    return [*lines.values(), *_rest(scale)]


def measurable(scale: Scale) -> dict[str, Study]:
    """Parts whose suite the lockstep engine runs, by name; of the others nothing is measured."""
    return {name: study for name, study in scale.parts.items() if suites.get(study.suite).lockstep}


def _measured(study: Study, rates: Rates, seen: set[str]) -> Iterator[Line]:
    """Rules that a study runs before its tables, with measured times."""
    yield from _train(study, seen, lambda run: run_cost(run, rates))
    baselines = {spec.baseline_id: spec for part in study.parts() for spec in map(part.baseline, part.tasks)}
    yield Line("baseline", len(baselines), sum((baseline_cost(spec, rates) for spec in baselines.values()), Cost()))
    pairs = study.gridworld.pairs
    yield Line("gridworld", 1, Cost(acting=rates.start + rates.gridworld.fixed + pairs * rates.gridworld.pair))


def _counted(study: Study, seen: set[str]) -> Iterator[Line]:
    """The same where nothing is measured: neither the simulator nor a model of 7B need be here.

    Updates are counted. Env steps and GPU-hours of a run on a published model are those of `gipo.cluster.engine_model`.
    """
    if models := study.pretrained():
        yield Line("pretrained", len(models))
    for rule in suites.get(study.suite).prepared_by:
        yield Line(rule, 1)

    outcomes: dict[tuple[str, str], Outcome] = {}

    def cost(run: RunSpec) -> Cost:
        if not requests.needs_gpu(run):
            return Cost(updates=run.learner.updates)
        cell = run.task, run.regime  # methods and seeds take the same time
        if cell not in outcomes:
            outcomes[cell] = Engine(run, Times(), requests.GPUS).outcome()
        seconds = 3600 * outcomes[cell].hours
        env_steps = int(seconds * outcomes[cell].env_steps_per_second)
        return Cost(env_steps, run.learner.updates, gpu_learning=requests.GPUS * seconds)

    yield from _train(study, seen, cost)
    yield Line("gridworld", 1)


def _rest(scale: Scale) -> list[Line]:
    """Rules that follow training."""
    parts = scale.parts.values()
    filmed = sum(suites.get(study.suite).films for study in parts)
    imagining = sum(bool(study.imagining_runs()) for study in parts)
    return [
        Line("weights", len(parts)),
        Line("tables", sum(len(study.parts()) for study in parts)),
        *([Line("branches", imagining)] if imagining else []),
        Line("claims", len(parts)),
        *([Line("videos", filmed)] if filmed else []),
        *([Line("join_scorecards", 1)] if scale.is_composed else []),
        Line("figure", sum(map(len, scale.figures().values()))),
        Line("store", 1),
        Line("track", 1),
        Line("report", 1),
    ]


def _train(study: Study, seen: set[str], cost: Callable[[RunSpec], Cost]) -> Iterator[Line]:
    """The training runs of each grid that were not ``seen`` in another, which are added to it."""
    rule = suites.get(study.suite).train_rule
    for name, part in zip(("main grid", *(f"sweep {name}" for name in study.sweeps)), study.parts(), strict=True):
        runs = {run.run_id: run for run in part.runs() if run.run_id not in seen}
        seen |= runs.keys()
        yield Line(f"{rule}: {name}", len(runs), sum(map(cost, runs.values()), Cost()))


def run_cost(run: RunSpec, rates: Rates) -> Cost:
    """One training run that collects in the learner's process."""
    replay, evaluation = run.replay, run.evaluation
    episode_steps, updates = run.environment.episode_steps, run.learner.updates
    task = rates.tasks[run.task]
    rounds = rounds_until(run, updates)
    if replay.rounds == "overlapped":
        rounds += 1  # while the last updates are made, one more is collected
    collected = run.env_steps_after(rounds)
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
    cost = Cost(collected + evaluated, updates, acting, learning(rates.cpu[run.learner]), on_gpu)
    return cost + imagination_cost(run, rates) if run.imagination else cost


def imagination_cost(run: RunSpec, rates: Rates) -> Cost:
    """Of the world model of a run, where each fit takes as many steps as it may."""
    settings, updates = run.imagination, run.learner.updates
    assert settings
    rate, task = rates.models[settings.hidden], rates.tasks[run.task]
    fitting = math.ceil(updates / settings.refit_every) * settings.fit_steps * rate.fit
    imagined = settings.ratio * run.replay.capacity / settings.lifetime
    learning = fitting + imagined * (rate.branch + rates.cpu[run.learner].target)
    branches = math.ceil(updates / run.evaluation.every) * settings.branches
    before = (run.environment.episode_steps - CHECKED) // 2
    steps = branches * (before + CHECKED)
    checking = task.make + min(branches, GOALS) * task.reset + steps * (task.step + rate.alone)
    return Cost(steps, 0, learning=learning + checking, gpu_learning=learning + checking if rates.gpu else 0.0)


def save(path: Path, study: Study, rates: Rates) -> None:
    """Add what is predicted for every training run to a file, from which SLURM jobs get their time and memory.

    Raises:
        GipoError: there is a damaged file, or it cannot be written.
    """
    known = read_plan(path) if path.exists() else {}
    measured_on = {name: machine()[name] for name in ("host", "cpu")}
    measured_on["gpu"] = torch.cuda.get_device_name() if rates.gpu else None
    for run in study.all_runs():
        cost = run_cost(run, rates)
        known[run.run_id] = {
            **{"acting": cost.acting, "learning": cost.learning, "gpu_learning": cost.gpu_learning},
            "measured_on": measured_on,
        }
    write_json(path, {"runs": known})


def rounds_until(run: RunSpec, update: int) -> int:
    """Rounds of collection that the replay has seen when that many updates are due."""
    pace = Pace(run.replay.capacity, run.lifetime_updates, run.replay.warmup_steps)
    rounds = math.ceil((pace.warmup_steps + update * pace.env_steps_per_update) / run.round_steps) - 1
    while pace.updates_due(run.env_steps_after(rounds)) < update:  # the engine's own rounding decides
        rounds += 1
    return rounds


def refreshed_transitions(run: RunSpec) -> int:
    """Targets that a run computes again because of ``refresh_every``: the filled replay at each time."""
    every = run.learner.refresh_every
    times = range(0, run.learner.updates, every) if every else ()
    seen = (run.env_steps_after(rounds_until(run, update + 1)) for update in times)
    return sum(min(run.replay.capacity, steps) for steps in seen)


def baseline_cost(spec: BaselineSpec, rates: Rates) -> Cost:
    """Random policy and scripted expert on one task; the expert's script, which is cheap, is not counted."""
    episodes, task = 2 * spec.episodes, rates.tasks[spec.task]
    env_steps = episodes * spec.environment.episode_steps
    return Cost(
        env_steps, acting=rates.start + task.first + min(episodes, 1 + GOALS) * task.reset + env_steps * task.step
    )


def show(lines: list[Line], scale: Scale, has_gpu: bool) -> None:
    """Print the table and what follows from it."""
    gpus = torch.cuda.device_count() if has_gpu else 0
    notes = ["Env steps include evaluation. Rules with 'minutes' are not predicted."] if measurable(scale) else []
    notes += measured_sentences(lines, machine()["cores"], gpus) if measurable(scale) else []
    notes += node_sentences(lines, scale, has_gpu) if measurable(scale) else []
    notes += counted_sentences(lines) if len(measurable(scale)) < len(scale.parts) else []
    _print(lines, has_gpu, notes + size_sentences(scale))


def _print(lines: list[Line], has_gpu: bool, notes: list[str]) -> None:
    table = Table(box=SIMPLE, show_edge=False, pad_edge=False, padding=(0, 1), collapse_padding=True, show_footer=True)
    total = sum((line.cost for line in lines if line.cost), Cost())
    jobs = sum(line.jobs for line in lines)
    columns = ("rule", "jobs", "env steps", "updates", "CPU-h", "GPU-h")
    for name, footer in zip(columns, ("total", f"{jobs:,}", *_cells(total, has_gpu)), strict=True):
        table.add_column(name, footer, justify="left" if name == "rule" else "right", no_wrap=True)
    for line in lines:
        table.add_row(line.rule, f"{line.jobs:,}", *(_cells(line.cost, has_gpu) if line.cost else ("", "", "minutes")))
    console = Console(highlight=False)
    console.print(table)
    for note in notes:
        console.print(note, soft_wrap=True)


def size_sentences(scale: Scale) -> list[str]:
    """Memory and disk of the largest training job of each rule."""
    by_rule: dict[str, list[RunSpec]] = {}
    for run in scale.runs.values():
        by_rule.setdefault(suites.get(run.suite).train_rule, []).append(run)
    sentences = []
    for rule, runs in by_rule.items():
        memory = max(requests.memory_mb(run, gpus=requests.gpus_of(run)) for run in runs) / 1e3
        files = max(map(requests.files_mb, runs)) / 1e3
        words = f"up to {memory:.1f} GB of memory, and {files:.1f} GB of files until it is finished"
        sentences.append(f"A job of {rule}: {words}.")
    return sentences


def counted_sentences(lines: list[Line]) -> list[str]:
    """On what the hours of runs rest that are not measured, and what they leave out."""
    train = [line for line in lines if line.cost and not line.cost.acting and line.cost.updates]
    hours = sum(line.cost.gpu_learning for line in train if line.cost) / 3600
    if not hours:
        return [f"{UNMEASURED}. A tiny model learns on a CPU in minutes, most of them the simulator's."]
    days = hours / LIBERO_GPUS / 24
    return [
        f"{UNMEASURED}: a simulation of the engine puts together what its parts take on one H200 and a core to each "
        f"simulator (benchmarks/engine_model.py). For comparison, the paper: {LIBERO_GPUS} H200 for about "
        f"{LIBERO_HOURS} h a run [P], in all more than {paper.number('cost.libero/total_hours').text}.",
        f"On one node of {LIBERO_GPUS} GPUs: about {days:,.0f} days. Weights to fetch: about 15 GB for each model.",
    ]


def measured_sentences(lines: list[Line], cores: int, gpus: int) -> list[str]:
    """Sentences beside the table of a measured study: the paper's cost, and the wall time."""
    measured = [line for line in lines if line.cost and line.cost.acting]
    total = sum((line.cost for line in measured if line.cost), Cost())
    runs = sum(line.jobs for line in measured if line.rule.startswith("train"))
    on_cores = (total.acting + total.learning) / 3600 / cores
    if not gpus:
        published = f"about {PAPER_HOURS} H200-hours a run [P], {PAPER_HOURS * runs:,} for these {runs:,}"
        wall = f"about {_hours(on_cores)} h on {cores} cores without a GPU"
        return [f"For comparison, the paper: {published}.", f"Wall time here: {wall}, perfectly packed."]
    packed = max(total.acting / 3600 / cores, total.gpu_learning / 3600 / gpus)
    both = f"about {_hours(packed)} h on {cores} cores and {gpus} GPU{'s' if gpus > 1 else ''}"
    wall = f"{both} (--set-resources train:device=cuda), {_hours(on_cores)} h on the cores alone"
    return [f"Wall time here: {wall}, perfectly packed."]


def node_sentences(lines: list[Line], scale: Scale, has_gpu: bool) -> list[str]:
    """The best way to put the measured runs on each of `NODES`, at the speed of the cores and the GPU here."""
    train = [line for line in lines if line.cost and line.cost.acting and line.rule.startswith("train")]
    runs = sum(line.jobs for line in train)
    if not runs:
        return []
    total = sum((line.cost for line in train if line.cost), Cost())
    specs = [run for name in measurable(scale) for run in scale.parts[name].all_runs()]
    sentences = []
    for node in NODES:
        if node.gpus and not has_gpu:
            continue
        learning = total.gpu_learning if node.gpus else total.learning
        work = packing.Work(
            total.acting / runs,
            learning / runs,
            overlapped=all(run.replay.rounds == "overlapped" for run in specs),
            environments=min(run.replay.environments for run in specs),
        )
        way = packing.best(work, runs, node)
        machine_words = f"{node.cores} such cores" + (f" and {node.gpus} such GPUs" if node.gpus else "")
        shared = f", {math.ceil(way.at_once / node.gpus)} to a GPU" if node.gpus else ""
        workers = {0: "no env workers", 1: "one env worker each"}.get(way.workers, f"{way.workers} env workers each")
        at_once = f"{way.at_once} runs at once{shared}" if way.at_once > 1 else "one run at a time"
        sentences.append(f"On a node of {machine_words}: about {_hours(way.hours)} h, {at_once}, {workers}.")
    return sentences


def _cells(cost: Cost, has_gpu: bool) -> tuple[str, str, str, str]:
    """Env steps, updates, CPU-hours, GPU-hours, the learner's where there is a GPU; ``–`` is not predicted."""
    count = [f"{number:,}" if number else "" for number in (cost.env_steps, cost.updates)]
    cpu = cost.acting if has_gpu else cost.acting + cost.learning
    gpu = _hours(cost.gpu_learning / 3600) or ("" if has_gpu or not cost.acting else "–")
    return count[0], count[1], _hours(cpu / 3600), gpu if cost.updates else ""


def _hours(hours: float) -> str:
    """Two digits or all before the point; nothing for 0."""
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}" if hours else ""
