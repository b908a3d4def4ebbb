"""A study: a scale config (YAML), checked as a whole before anything runs, and the runs that it stands for."""

from __future__ import annotations

import itertools
from collections.abc import Hashable
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, model_validator

from gipo import objectives
from gipo.envs.tasks import check_task
from gipo.errors import GipoError
from gipo.runs.spec import (
    DiagnosticsSpec,
    EnvironmentSpec,
    EvaluationSpec,
    Label,
    LearnerSpec,
    NetworkSpec,
    NonNegativeInt,
    ObjectiveSpec,
    PositiveFloat,
    PositiveInt,
    ReplaySpec,
    RunSpec,
    Section,
    StoreSpec,
    explain,
)

BY_LABEL = Field(min_length=1, json_schema_extra={"additionalProperties": False})
"""A map from labels; the JSON schema says so only with this."""


class BaselineSettings(Section):
    """Episodes of the random policy and of the scripted expert, which set 0 and 1 of the normalised score."""

    episodes: PositiveInt = 20
    seed: NonNegativeInt = 0


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

    pairs: PositiveInt = 1000
    seed: NonNegativeInt = 0


class StatisticsSpec(Section):
    """Bootstrap."""

    resamples: PositiveInt = 2000


class Study(Section):
    """Every task x regime x method x seed, with the settings that all runs share."""

    title: str
    """One line for the report."""
    tasks: Annotated[list[Label], Field(min_length=1)]
    regimes: Annotated[dict[Label, PositiveFloat], BY_LABEL]
    """Replay lifetime L of each regime, as a share of all learner updates."""
    methods: Annotated[dict[Label, ObjectiveSpec], BY_LABEL]
    seeds: Annotated[list[NonNegativeInt], Field(min_length=1)]
    environment: EnvironmentSpec = EnvironmentSpec()
    network: NetworkSpec = NetworkSpec()
    replay: StoreSpec = StoreSpec()
    learner: LearnerSpec = LearnerSpec()
    evaluation: EvaluationSpec = EvaluationSpec()
    diagnostics: DiagnosticsSpec = DiagnosticsSpec()
    baselines: BaselineSettings = BaselineSettings()
    gridworld: GridworldSpec = GridworldSpec()
    statistics: StatisticsSpec = StatisticsSpec()

    @model_validator(mode="after")
    def _names_are_known(self) -> Study:
        for task in self.tasks:
            try:
                check_task(task)
            except GipoError as error:
                raise ValueError(str(error)) from error
        for name, values in (("tasks", self.tasks), ("seeds", self.seeds)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name} = {values} names one twice")
        for label, objective in self.methods.items():
            try:
                objectives.make(objective.name, **objective.parameters)
            except GipoError as error:
                raise ValueError(f"methods.{label}: {error}") from error
        self.runs()
        return self

    def runs(self) -> list[RunSpec]:
        """All runs, tasks outermost and seeds innermost."""
        return [
            self.run(task, regime, method, seed)
            for task, regime, method, seed in itertools.product(self.tasks, self.regimes, self.methods, self.seeds)
        ]

    def run(self, task: str, regime: str, method: str, seed: int) -> RunSpec:
        """One run.

        Raises:
            GipoError: the study has no such task, regime, method or seed.
        """
        chosen = {"task": (task, self.tasks), "regime": (regime, self.regimes), "method": (method, self.methods)}
        for name, (value, known) in (chosen | {"seed": (seed, self.seeds)}).items():
            if value not in known:
                raise GipoError(f"no {name} {value!r} in this study; it has: {', '.join(map(str, known))}")
        return RunSpec(
            task=task,
            regime=regime,
            method=method,
            seed=seed,
            objective=self.methods[method],
            environment=self.environment,
            network=self.network,
            replay=ReplaySpec(**self.replay.model_dump(), lifetime=self.regimes[regime]),
            learner=self.learner,
            evaluation=self.evaluation,
            diagnostics=self.diagnostics,
        )

    def baseline(self, task: str) -> BaselineSpec:
        """The reference policies of one task."""
        return BaselineSpec(task=task, environment=self.environment, **self.baselines.model_dump())

    def run_directories(self, results: Path) -> list[Path]:
        """Where the runs of this study lie."""
        return [results / "runs" / run.run_id for run in self.runs()]

    def baseline_directories(self, results: Path) -> list[Path]:
        """Where the reference policies' episodes of this study lie."""
        return [results / "baselines" / self.baseline(task).baseline_id for task in self.tasks]


class UniqueKeyLoader(yaml.SafeLoader):
    """YAML whose keys stand only once; plain YAML lets the last one win without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Raise where a key is repeated."""
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def load_study(path: Path) -> Study:
    """Read and check a scale config.

    Raises:
        GipoError: the file is missing or not YAML, or a key is unknown, missing or out of range; names file and key.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=UniqueKeyLoader)
        return Study.model_validate(content)
    except OSError as error:
        raise GipoError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise GipoError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        raise GipoError(f"{path}: {explain(error)}") from error
