"""A study: a scale config (YAML), checked as a whole before anything runs, and the runs that it stands for."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, ValidationError, model_validator

from gipo import objectives, suites
from gipo.config import Flag, Label, PositiveFloat, PositiveInt, Section, Seed, Title, UnitInterval, explain
from gipo.errors import GipoError
from gipo.runs.spec import (
    AsynchronousSpec,
    DiagnosticsSpec,
    EnvironmentSpec,
    EvaluationSpec,
    ImaginationSettings,
    ImaginationSpec,
    ImaginedReward,
    Key,
    LearnerSpec,
    Lifetime,
    NetworkSpec,
    ObjectiveSpec,
    OpenVLASpec,
    Processes,
    Ratio,
    ReplaySpec,
    RunSpec,
    StatesSpec,
    Steps,
    StoreSpec,
    SuiteName,
    Tokens,
    Word,
)

MOST_LABELS = 1000
"""Tasks, regimes, methods or seeds of a grid, at most."""
MOST_RUNS = 20_000
"""Runs of a grid, at most; the paper has 1,080 in all."""

BY_LABEL = Field(min_length=1, max_length=MOST_LABELS, json_schema_extra={"additionalProperties": False})
"""A map from labels; the JSON schema says so only with this."""


Changes = Annotated[dict[Key, bool | int | float | Word], Field(max_length=50)]
"""Keys of the learner's section with other values."""


class EnvironmentSettings(Section):
    """The action discretisation and the time limit."""

    bins: Tokens = 256
    """Tokens per action dimension."""
    episode_steps: Steps | None = None
    """Time limit of an episode in env steps; null: 500, or that of LIBERO's suite, which is also the most there."""

    def of(self, suite: str, task: str) -> EnvironmentSpec:
        """Those of a run.

        Raises:
            ValueError: the suite's episodes are not so long.
        """
        most = suites.get(suite).time_limits.get(task)
        steps = self.episode_steps or most or EnvironmentSpec().episode_steps
        if most and steps > most:
            raise ValueError(f"environment.episode_steps = {steps}, but episodes of {task} have {most} at most")
        return EnvironmentSpec(bins=self.bins, episode_steps=steps)


class BaselineSettings(Section):
    """Episodes of the random policy and of the scripted expert, which set 0 and 1 of the normalised score."""

    episodes: Annotated[PositiveInt, Field(le=10**5)] = 20
    """Episodes of each of the two policies on each task [R]."""
    seed: Seed = 0
    """Seed of the episodes and of the random policy."""


class BaselineSpec(BaselineSettings):
    """The two reference policies on one task."""

    task: Label
    environment: EnvironmentSpec

    @property
    def baseline_id(self) -> str:
        """``task-digest``: another one for any other content."""
        return f"{self.task}-{self.digest()[:8]}"


class GridworldSpec(Section):
    """The random family of the gridworld study."""

    pairs: Annotated[PositiveInt, Field(le=10**6)] = 1000
    """Random pairs of a target and a behaviour policy."""
    seed: Seed = 0
    """Seed of the pairs."""


class StatisticsSpec(Section):
    """Bootstrap."""

    resamples: Annotated[PositiveInt, Field(le=10**6)] = 2000
    """Resamples of every bootstrap interval."""


def _kind(regime: object) -> str:
    if isinstance(regime, Imagined) or (isinstance(regime, dict) and regime.keys() & Imagined.model_fields.keys()):
        return "(imagined)"
    return "(actors)" if isinstance(regime, dict | Actors) else "(lifetime)"


class Actors(Section):
    """A regime as the paper sets it for LIBERO: by its rollout actors, none of which waits for the learner."""

    actors: Processes
    """Environments, each with a process of its own."""


class Imagined(Section):
    """A regime with a world model, whose settings are those of the section `imagination`."""

    lifetime: Lifetime
    """Replay lifetime L of the real transitions as a share of all learner updates."""
    imagined: Ratio
    """Imagined transitions to each real one; 0: the model is compared with the simulator, and not learned from."""
    reward: ImaginedReward = "environment"
    """Reward of real and imagined steps: the simulator's, or ``success``, the change of success."""


Regime = Annotated[
    Annotated[Lifetime, Tag("(lifetime)")]
    | Annotated[Actors, Tag("(actors)")]
    | Annotated[Imagined, Tag("(imagined)")],
    Discriminator(_kind),
]
"""Replay lifetime L as a share of all learner updates; with imagined transitions; or how many actors there are."""


class MethodSpec(ObjectiveSpec):
    """A method: its objective, and what the learner does otherwise under it alone."""

    learner: Changes = Field(default_factory=dict)
    """Keys of the learner's section that this method changes, e.g. ``{estimator: vtrace}``."""


class Sweep(Section):
    """A further grid of runs, with tables and a figure of its own; what is left out is the main grid's."""

    tasks: Annotated[list[Label], Field(min_length=1, max_length=MOST_LABELS)] | None = None
    """Tasks of this grid."""
    regimes: Annotated[dict[Label, Regime], BY_LABEL] | None = None
    """Regimes of this grid, by label."""
    methods: Annotated[dict[Label, MethodSpec], BY_LABEL] | None = None
    """Methods of this grid, by label."""
    seeds: Annotated[list[Seed], Field(min_length=1, max_length=MOST_LABELS)] | None = None
    """Seeds of this grid."""
    learner: Changes = Field(default_factory=dict)
    """Keys of the learner's section that this sweep changes for all its methods."""
    env_steps_per_update: PositiveFloat | None = None
    """Holds the inflow of data fixed, so that a regime's replay capacity follows from its lifetime; null: the capacity
    is fixed and the inflow follows."""


_SWEEPS: list[Any] = sorted({name for suite in suites.names() for name in suites.get(suite).sweeps})


class Study(Section):
    """Every task x regime x method x seed of the main grid and of the sweeps, with the settings that all runs share."""

    title: Title
    """One line for the report."""
    suite: SuiteName = "metaworld"
    """Benchmark suite that the tasks are of."""
    tasks: Annotated[list[Label], Field(min_length=1, max_length=MOST_LABELS)]
    """Tasks of the suite, each once."""
    regimes: Annotated[dict[Label, Regime], BY_LABEL]
    """How stale the replay is, by a label of your choice: a lifetime as a share of all updates, or a number of
    actors."""
    methods: Annotated[dict[Label, MethodSpec], BY_LABEL]
    """Objectives with their parameters, by a label of your choice."""
    seeds: Annotated[list[Seed], Field(min_length=1, max_length=MOST_LABELS)]
    """One run of every task, regime and method for each, each once."""
    env_steps_per_update: PositiveFloat | None = None
    """Holds the inflow of data fixed, so that a regime's replay capacity follows from its lifetime; null: the capacity
    is fixed and the inflow follows."""
    sweeps: dict[str, Sweep] = Field(default_factory=dict, json_schema_extra={"propertyNames": {"enum": _SWEEPS}})
    """Further grids of runs, each with a figure of its own; every suite has its own list of them."""
    environment: EnvironmentSettings = EnvironmentSettings()
    """Action discretisation and time limit."""
    network: NetworkSpec = NetworkSpec()
    """Policy and value network, where no other policy is chosen."""
    openvla: OpenVLASpec | Annotated[dict[Label, OpenVLASpec], BY_LABEL] | None = None
    """LIBERO on frames: one pretrained model for all tasks, or one for each."""
    published_success: Annotated[dict[Label, UnitInterval], BY_LABEL] | None = None
    """Success rates by task that the authors of the pretrained models publish. A run of such a task evaluates its start
    first, and does not train if that is clearly worse: the Wilson 95 % interval lies more than 0.05 below."""
    states: StatesSpec | None = None
    """LIBERO on states, to check the engine with."""
    replay: StoreSpec = StoreSpec()
    """Replay and collection."""
    learner: LearnerSpec = LearnerSpec()
    """Updates and their schedule."""
    evaluation: EvaluationSpec = EvaluationSpec()
    """When and how long the policy is evaluated."""
    diagnostics: DiagnosticsSpec = DiagnosticsSpec()
    """When statistics are logged."""
    asynchronous: AsynchronousSpec | None = None
    """Settings of the asynchronous engine; null: the lockstep engine."""
    imagination: ImaginationSettings | None = None
    """World model of the regimes with imagined transitions."""
    baselines: BaselineSettings = BaselineSettings()
    """The two reference policies that set 0 and 1 of the normalised score."""
    gridworld: GridworldSpec = GridworldSpec()
    """The exact gridworld study (figure 4)."""
    statistics: StatisticsSpec = StatisticsSpec()
    """Bootstrap intervals."""
    verdicts: Flag = True
    """Whether the paper's claims are judged; false: the scale tests the software."""

    @model_validator(mode="after")
    def _names_are_known(self) -> Study:
        for task in self.tasks:
            try:
                suites.get(self.suite).check_task(task)
            except GipoError as error:
                raise ValueError(str(error)) from error
        for name, values in (("tasks", self.tasks), ("seeds", self.seeds)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name} = {values} names one twice")
        if isinstance(self.openvla, dict) and set(self.openvla) != set(self.tasks):
            raise ValueError(f"openvla is for {', '.join(self.openvla)}, expected tasks: {', '.join(self.tasks)}")
        if self.published_success and not self.openvla:
            raise ValueError("published_success is of pretrained models: it needs openvla")
        if unknown := sorted(set(self.published_success or ()) - set(self.tasks)):
            raise ValueError(f"published_success is for {', '.join(unknown)}, expected tasks: {', '.join(self.tasks)}")
        known = suites.get(self.suite).sweeps
        if unknown := sorted(set(self.sweeps) - set(known)):
            names = ", ".join(known) or "none"
            raise ValueError(f"unknown key sweeps.{unknown[0]}; suite {self.suite} has: {names}")
        for label, method in self.methods.items():
            try:
                objectives.make(method.name, **method.parameters)
                self._learner(method)
            except GipoError as error:
                raise ValueError(f"methods.{label}: {error}") from error
        grid = (self.tasks, self.regimes, self.methods, self.seeds)
        if (count := math.prod(map(len, grid))) > MOST_RUNS:
            raise ValueError(f"tasks x regimes x methods x seeds = {count:,} runs, expected {MOST_RUNS:,} at most")
        self.runs()
        if self.diagnostics.every > self.learner.updates:
            every, updates = self.diagnostics.every, self.learner.updates
            raise ValueError(f"nothing would be logged: diagnostics.every = {every}, learner.updates = {updates}")
        parts = [self]
        for name in self.sweeps:
            try:
                parts.append(self.sweep(name))
            except ValidationError as error:
                raise ValueError(f"sweeps.{name}: {explain(error)}") from error
        _one_meaning_for_each_label(parts)
        return self

    def sweep(self, name: str) -> Study:
        """The grid of a sweep as a study without sweeps.

        Raises:
            GipoError: this study has no such sweep.
        """
        if name not in self.sweeps:
            raise GipoError(f"no sweep {name!r} in this study; it has: {', '.join(self.sweeps) or 'none'}")
        given = self.sweeps[name].model_dump(exclude_none=True)
        learner = self.learner.model_dump() | given.pop("learner")
        return Study.model_validate(self.model_dump() | given | {"learner": learner, "sweeps": {}})

    def parts(self) -> list[Study]:
        """The main grid, then the sweeps."""
        return [self, *(self.sweep(name) for name in self.sweeps)]

    def runs(self) -> list[RunSpec]:
        """Runs of the main grid, tasks outermost and seeds innermost."""
        return self._runs(self.tasks, list(self.regimes), list(self.methods), self.seeds)

    def all_runs(self) -> list[RunSpec]:
        """Runs of the main grid and of the sweeps; those that several share, once."""
        return list({run.run_id: run for part in self.parts() for run in part.runs()}.values())

    def run(self, task: str, regime: str, method: str, seed: int) -> RunSpec:
        """The run of these labels, in the main grid or in a sweep.

        Raises:
            GipoError: the study has no such task, regime, method or seed.
        """
        parts = self.parts()
        chosen = {"task": task, "regime": regime, "method": method, "seed": seed}
        for name, value in chosen.items():
            known = list(dict.fromkeys(label for part in parts for label in getattr(part, f"{name}s")))
            if value not in known:
                raise GipoError(f"no {name} {value!r} in this study; it has: {', '.join(map(str, known))}")
        for part in parts:
            if all(value in getattr(part, f"{name}s") for name, value in chosen.items()):
                return part._runs([task], [regime], [method], [seed])[0]
        raise GipoError(f"no run of {task}, {regime}, {method} and seed {seed} together in this study or a sweep of it")

    def _runs(self, tasks: list[str], regimes: list[str], methods: list[str], seeds: list[int]) -> list[RunSpec]:
        replays = {regime: self._replay(self.regimes[regime]) for regime in regimes}
        imaginations = {regime: self._imagination(regime) for regime in regimes}
        learners = {method: self._learner(self.methods[method]) for method in methods}
        environments = {task: self.environment.of(self.suite, task) for task in tasks}
        return [
            RunSpec(
                suite=self.suite,
                task=task,
                regime=regime,
                method=method,
                seed=seed,
                objective=ObjectiveSpec(**self.methods[method].model_dump(include={"name", "parameters"})),
                environment=environments[task],
                network=self.network,
                openvla=self.openvla[task] if isinstance(self.openvla, dict) else self.openvla,
                states=self.states,
                replay=replays[regime],
                learner=learners[method],
                evaluation=self.evaluation,
                diagnostics=self.diagnostics,
                asynchronous=self.asynchronous,
                imagination=imaginations[regime],
            )
            for task, regime, method, seed in itertools.product(tasks, regimes, methods, seeds)
        ]

    def _learner(self, method: MethodSpec) -> LearnerSpec:
        try:
            return LearnerSpec.model_validate(self.learner.model_dump() | method.learner)
        except ValidationError as error:
            raise GipoError(f"learner: {explain(error)}") from error

    def _imagination(self, label: str) -> ImaginationSpec | None:
        """The world model of a regime; None where it has none."""
        regime = self.regimes[label]
        if not isinstance(regime, Imagined):
            return None
        if self.imagination is None:
            raise ValueError(f"regimes.{label}: imagined transitions need a section imagination")
        return ImaginationSpec(**self.imagination.model_dump(), ratio=regime.imagined, reward=regime.reward)

    def _replay(self, regime: float | Actors | Imagined) -> ReplaySpec:
        """The replay of a regime; the capacity is a whole number of rounds where it follows from the lifetime."""
        store = self.replay.model_dump()
        if isinstance(regime, Actors):
            return ReplaySpec(**store | {"environments": regime.actors, "group_size": 1}, lifetime=None)
        lifetime = regime.lifetime if isinstance(regime, Imagined) else regime
        if self.env_steps_per_update is None:
            return ReplaySpec(**store, lifetime=lifetime)
        run_steps = self.env_steps_per_update * self.learner.updates
        round_steps = self.replay.environments * self.replay.segment_length
        capacity = max(1, round(lifetime * run_steps / round_steps)) * round_steps
        return ReplaySpec(**store | {"capacity": capacity}, lifetime=capacity / run_steps)

    def imagining_runs(self) -> list[RunSpec]:
        """Runs of the main grid that have a world model."""
        return [run for run in self.runs() if run.imagination]

    def pretrained(self) -> list[OpenVLASpec]:
        """Every pretrained model that a run starts from."""
        models = [run.openvla for run in self.runs() if run.openvla]
        return list({(model.repository, model.revision): model for model in models}.values())

    def scored_by_baselines(self) -> list[str]:
        """Tasks whose score lies between two reference policies."""
        return self.tasks if suites.get(self.suite).score == "baselines" else []

    def baseline(self, task: str) -> BaselineSpec:
        """The reference policies of one task."""
        environment = self.environment.of(self.suite, task)
        return BaselineSpec(task=task, environment=environment, **self.baselines.model_dump())

    def run_directories(self, results: Path) -> list[Path]:
        """Where the runs of the main grid lie."""
        return [results / "runs" / run.run_id for run in self.runs()]

    def baseline_directories(self, results: Path) -> list[Path]:
        """Where the reference policies' episodes of the main grid's tasks lie."""
        return [results / "baselines" / self.baseline(task).baseline_id for task in self.scored_by_baselines()]


def _one_meaning_for_each_label(parts: list[Study]) -> None:
    """A run is asked for by its labels, so they may not stand for two different runs."""
    known: dict[tuple[str, str, str, int], RunSpec] = {}
    for run in (run for part in parts for run in part.runs()):
        key = (run.task, run.regime, run.method, run.seed)
        if known.setdefault(key, run) != run:
            words = f"regime {run.regime!r} with method {run.method!r}"
            raise ValueError(f"{words} means different runs in the main grid and in a sweep, or in two sweeps")
