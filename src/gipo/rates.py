"""Speed of this machine: seconds that the parts of a study's jobs take, measured in about half a minute.

Seconds are CPU time of one thread, so that other work on the machine matters little, and wall time of a GPU.
"""

from __future__ import annotations

import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gipo.cuda_graph import Step
from gipo.engines.suites import RunSuite, make_suite
from gipo.gridworld import tables
from gipo.gridworld.family import random_policies
from gipo.imagination.model import BATCH, LOOK, Experience, WorldModel
from gipo.learner import Learner
from gipo.replay import Replay, Segments
from gipo.runs.code import code_of
from gipo.runs.provenance import origin
from gipo.runs.spec import LearnerSpec, RunSpec
from gipo.stages import StudyFolder
from gipo.study import Study

CPU = torch.device("cpu")
STEPS = 300
"""Env steps timed per task."""
TRANSITIONS = 16_384
"""Made-up transitions that a timed learner samples from, in whole segments."""


@dataclass(frozen=True)
class TaskRate:
    """Seconds that the environment of one task takes."""

    first: float  # to make the first one of a process, and the task's goals with it
    make: float  # to make a further one
    reset: float  # to a goal for the first time
    step: float


@dataclass(frozen=True)
class LearnerRate:
    """Seconds that a learner takes on one device."""

    update: float  # all its micro-batches
    metrics: float  # one logged row
    target: float  # advantage and value target of one transition


@dataclass(frozen=True)
class ModelRate:
    """Seconds that a world model takes."""

    fit: float  # one optimiser step
    branch: float  # one step of a branch among many
    alone: float  # one step of a single branch


@dataclass(frozen=True)
class GridworldRate:
    """Seconds of the gridworld study."""

    fixed: float
    pair: float


@dataclass(frozen=True)
class Rates:
    """Seconds per piece of work, in one thread."""

    start: float
    """A training job before it makes its environments."""
    tasks: dict[str, TaskRate]
    collecting: float
    """One inference call of a group of actors."""
    evaluating: float
    """One inference call of an evaluation, all its episodes side by side."""
    cpu: dict[LearnerSpec, LearnerRate]
    gpu: dict[LearnerSpec, LearnerRate]
    """Empty where there is no GPU."""
    models: dict[int, ModelRate]
    """By the width of the hidden layers."""
    gridworld: GridworldRate


def measure(study: Study) -> Rates:
    """Measure all that the study's jobs consist of, once each, in this process and one thread."""
    torch.set_num_threads(1)
    runs = study.all_runs()
    by_learner = {run.learner: run for run in runs}
    some = runs[0]

    def learners(device: torch.device) -> dict[LearnerSpec, LearnerRate]:
        return {learner: learner_rate(run, device) for learner, run in by_learner.items()}

    return Rates(
        start=start_seconds(some),
        tasks={task: task_rate(run) for task, run in {run.task: run for run in runs}.items()},
        collecting=inference(some, len(some.replay.members(0))),
        evaluating=inference(some, some.evaluation.episodes),
        cpu=learners(CPU),
        gpu=learners(torch.device("cuda")) if torch.cuda.is_available() else {},
        models={run.imagination.hidden: model_rate(run) for run in runs if run.imagination},
        gridworld=gridworld_rate(),
    )


def seconds(call: Callable[[], object], device: torch.device = CPU, warm_up: int = 0, at_least: float = 0.0) -> float:
    """Mean seconds of a call, over as many calls as take ``at_least`` seconds, after ``warm_up`` calls."""
    for _ in range(warm_up):
        call()
    calls, start = 0, now(device)
    while not calls or now(device, finished=False) - start < at_least:
        call()
        calls += 1
    return (now(device) - start) / calls


def now(device: torch.device = CPU, finished: bool = True) -> float:
    """CPU seconds of this process, or wall seconds of a GPU, once it has finished what it was given."""
    if device.type == "cpu":
        return time.process_time()
    if finished:
        torch.cuda.synchronize(device)
    return time.perf_counter()


def start_seconds(run: RunSpec) -> float:
    """A training process before it makes its environments."""

    def children() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = children()
    code = "import sys; from gipo.rates import begin; begin(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, run.model_dump_json()], check=True)
    return children() - before


def begin(run: str) -> None:
    """Import all that a training process needs, digest its code and make a learner, whose optimiser imports more."""
    spec = RunSpec.model_validate_json(run)
    origin(code_of(spec))
    made_up_learner(spec, CPU)


def suite_of(run: RunSpec) -> RunSuite:
    """The run's suite; none that is measured needs a pretrained model."""
    return make_suite(run, Path("results/pretrained"))


def task_rate(run: RunSpec) -> TaskRate:
    """Time the run's environment under random actions; the first in a process, or ``first`` comes out too low."""
    suite = suite_of(run)
    first = seconds(suite.make_environment)
    start = now()
    environment = suite.make_environment()
    make = now() - start
    resets, resetting, stepping, ended = 0, 0.0, 0.0, True
    for tokens in np.random.default_rng(0).integers(run.environment.bins, size=(STEPS, suite.action_dimensions)):
        start = now()
        if ended:
            environment.reset(seed=resets)
            resets += 1
        middle = now()
        _, _, terminated, truncated, _ = environment.step(tokens)
        ended = terminated or truncated
        resetting += middle - start
        stepping += now() - middle
    return TaskRate(first, make, resetting / resets, stepping / STEPS)


def inference(run: RunSpec, environments: int) -> float:
    """Seconds to choose the actions of so many environments at once."""
    suite = suite_of(run)
    actor = suite.make_actor(CPU)
    generator = np.random.default_rng(0)
    observations = generator.normal(size=(environments, suite.observation_size)).astype(np.float32)
    uniforms = generator.random((environments, suite.action_dimensions), dtype=np.float32)
    return seconds(lambda: actor.sample(observations, uniforms), warm_up=10, at_least=0.2)


def learner_rate(run: RunSpec, device: torch.device) -> LearnerRate:
    """Time the run's learner on made-up transitions."""
    learner = made_up_learner(run, device)
    replay = learner.replay
    assert isinstance(replay, Replay)
    uses = run.learner.uses
    cycle = max(uses, run.learner.policy_every)  # a multiple of both
    warm_up = Step.PLAIN_CALLS + 1 if device.type == "cuda" else 1

    def update() -> None:
        for _ in range(cycle // uses):
            index = random_index(learner)
            for use in range(uses):
                learner.update(index, again=use > 0)

    updating = seconds(update, device, warm_up, at_least=0.5)
    losses, norms = learner.update(random_index(learner))
    assert losses  # the first update of a cycle moves the policy
    return LearnerRate(
        update=updating / cycle,
        metrics=seconds(lambda: learner.metrics(losses, norms), device, warm_up=1, at_least=0.1),
        target=seconds(lambda: replay.refresh(learner.targets), device, warm_up=1) / len(replay),
    )


def model_rate(run: RunSpec) -> ModelRate:
    """Time a world model of the run's width on made-up transitions."""
    assert run.imagination
    suite, generator = suite_of(run), torch.Generator().manual_seed(0)
    size, dimensions = suite.observation_size, suite.action_dimensions
    model = WorldModel(size, dimensions, run.imagination.hidden, generator)
    observations, successors = torch.randn(2, BATCH, size, generator=generator)
    rewards, actions = torch.randn(BATCH, generator=generator), torch.zeros(BATCH, dimensions)
    made_up = Experience(observations, actions, successors, rewards, (rewards > 0).float())
    fit = seconds(lambda: model.fit(made_up, made_up, LOOK, generator), warm_up=1)
    many = seconds(lambda: model.predict(observations, actions), warm_up=1, at_least=0.1) / BATCH
    alone = seconds(lambda: model.predict(observations[:1], actions[:1]), warm_up=1, at_least=0.1)
    return ModelRate(fit / LOOK, many + inference(run, BATCH) / BATCH, alone + inference(run, 1))


def made_up_learner(run: RunSpec, device: torch.device) -> Learner:
    """The run's learner, at the first update that moves the policy, on a small replay of random transitions."""
    steps, bins = run.replay.segment_length, run.environment.bins
    suite = suite_of(run)
    size, dimensions = suite.observation_size, suite.action_dimensions
    exact = run.learner.kl == "exact"
    count = max(1, TRANSITIONS // steps)
    replay = Replay(count * steps, steps, size, dimensions, device, bins=bins if exact else None)
    learner = suite.make_learner(replay)
    assert isinstance(learner, Learner)  # of suites that lockstep can run; others are not measured
    learner.updates = run.learner.policy_start
    segments = Segments(
        observations=torch.randn(count, steps, size),
        tokens=torch.randint(bins, (count, steps, dimensions)).to(torch.uint8),
        log_probs=torch.full((count, steps, dimensions), -math.log(bins)),
        rewards=torch.rand(count, steps),
        terminated=torch.zeros(count, steps, dtype=torch.bool),
        truncated=torch.zeros(count, steps, dtype=torch.bool),
        final_observation=torch.randn(count, size),
        cut_observation=torch.zeros(count, size),
        logits=torch.zeros(count, steps, dimensions, bins) if exact else None,
    ).to(device)
    replay.append(segments, *learner.targets(segments), version=0)
    return learner


def random_index(learner: Learner) -> torch.Tensor:
    """Positions in the learner's replay for one update."""
    replay = learner.replay
    assert isinstance(replay, Replay)  # of lockstep
    return torch.randint(len(replay), learner.index.shape, device=learner.index.device)


def gridworld_rate(few: int = 20, many: int = 120) -> GridworldRate:
    """Time the gridworld study on a few pairs, and what more of them add."""
    with tempfile.TemporaryDirectory() as directory:
        whole = seconds(lambda: tables.write(StudyFolder(Path(directory)), pairs=few))
    less, more = (
        seconds(lambda: tables.outcomes(*random_policies(few, seed=0))),
        seconds(lambda: tables.outcomes(*random_policies(many, seed=0))),
    )
    pair = max(0.0, more - less) / (many - few)
    return GridworldRate(fixed=whole - few * pair, pair=pair)
