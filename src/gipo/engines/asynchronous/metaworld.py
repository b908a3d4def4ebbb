"""MetaWorld on the asynchronous engine: simulator, model and evaluation are lockstep's."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from gipo.engines.actors import Evaluator, make_environment
from gipo.engines.asynchronous.staging import Staging
from gipo.engines.asynchronous.suites import Actor
from gipo.envs.metaworld import ACTION_DIMENSIONS, OBSERVATION_SIZE, MetaWorldEnv
from gipo.learner import Learner
from gipo.models.mlp import MLPPolicy, make_model
from gipo.runs.spec import RunSpec


class Suite:
    """One MetaWorld task; see `gipo.engines.asynchronous.suites.Suite`."""

    observation_size = OBSERVATION_SIZE
    observation_dtype = torch.float32
    action_dimensions = ACTION_DIMENSIONS

    def __init__(self, spec: RunSpec, pretrained: Path) -> None:
        self.spec = spec

    def make_environment(self) -> MetaWorldEnv:
        """A new simulator."""
        return make_environment(self.spec)

    def make_learner(self, staging: Staging) -> Learner:
        """Lockstep's learner, on what was sampled elsewhere."""
        return Learner(self.spec, staging)

    def make_actor(self, device: torch.device) -> Actor:
        """A model with weights to come."""
        model = make_model(self.spec, OBSERVATION_SIZE, ACTION_DIMENSIONS).to(device)
        return Actor(model, model.load_state_dict, device)

    def evaluate(self, actor: Actor, update: int) -> list[dict[str, Any]]:
        """The episodes that lockstep evaluates on, with the same random numbers."""
        assert isinstance(actor.model, MLPPolicy)
        return list(self._evaluator.evaluate(actor.model, update))

    @cached_property
    def _evaluator(self) -> Evaluator:
        return Evaluator(self.spec)
