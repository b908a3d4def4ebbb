"""MetaWorld on the asynchronous engine: simulator, model and evaluation are lockstep's."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from gipo.engines.actors import Evaluator, make_environment, sample_tokens
from gipo.engines.asynchronous.staging import Staging
from gipo.engines.asynchronous.suites import Array
from gipo.envs.metaworld import ACTION_DIMENSIONS, OBSERVATION_SIZE, MetaWorldEnv
from gipo.learner import Learner, make_model
from gipo.runs.spec import RunSpec


class Suite:
    """One MetaWorld task; see `gipo.engines.asynchronous.suites.Suite`."""

    observation_size = OBSERVATION_SIZE
    observation_dtype = torch.float32
    action_dimensions = ACTION_DIMENSIONS

    def __init__(self, spec: RunSpec, checkpoints: Path) -> None:
        self.spec = spec

    def make_environment(self) -> MetaWorldEnv:
        """A new simulator."""
        return make_environment(self.spec)

    def make_learner(self, staging: Staging) -> Learner:
        """Lockstep's learner, on what was sampled elsewhere."""
        return Learner(self.spec, staging)

    def make_actor(self, device: torch.device) -> Actor:
        """A model with weights to come."""
        return Actor(self.spec, device)

    def evaluate(self, actor: Actor, update: int) -> list[dict[str, Any]]:
        """The episodes that lockstep evaluates on, with the same random numbers."""
        return list(self._evaluator.evaluate(actor.model, update))

    @cached_property
    def _evaluator(self) -> Evaluator:
        return Evaluator(self.spec)


class Actor:
    """The state policy, acting."""

    def __init__(self, spec: RunSpec, device: torch.device) -> None:
        self.model, self.device = make_model(spec, OBSERVATION_SIZE, ACTION_DIMENSIONS).to(device), device

    def load(self, weights: dict[str, Array]) -> None:
        """Take a whole state dict."""
        self.model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})

    @torch.inference_mode()
    def act(self, observations: Array, uniforms: Array) -> tuple[Array, Array, Array]:
        """Tokens, their log-probabilities and values."""
        logits, values = self.model(torch.from_numpy(observations).to(self.device))
        return *sample_tokens(logits.cpu().numpy(), uniforms), values.cpu().numpy()
