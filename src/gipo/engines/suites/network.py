"""A suite whose observations are vectors and whose policy is the network of the run (`gipo.runs.spec.NetworkSpec`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from gipo.engines.suites import Actor, Array, Environment
from gipo.learner import Learner, Transitions
from gipo.models.mlp import make_model
from gipo.runs.spec import RunSpec
from gipo.runs.streams import Stream, episode_seed


class NetworkActor(Actor):
    """The network, acting; see `Actor`."""

    def __init__(self, spec: RunSpec, observation_size: int, action_dimensions: int, device: torch.device) -> None:
        model = make_model(spec, observation_size, action_dimensions).to(device)
        super().__init__(model, model.load_state_dict, device)
        self._logits = model.acting_logits()

    def logits(self, observations: Array) -> Array:
        """See `Actor.logits`; without the value head."""
        return self._logits(torch.from_numpy(observations).to(self.device)).cpu().numpy()


class NetworkSuite:
    """See `gipo.engines.suites.RunSuite`.

    Args:
        spec: the run.
        observation_size: numbers of an observation.
        action_dimensions: tokens of an action.
        make_environment: a new simulator of the run's task, whose episodes last ``spec.environment.episode_steps`` at
            most.
    """

    observation_dtype = torch.float32

    def __init__(
        self,
        spec: RunSpec,
        *,
        observation_size: int,
        action_dimensions: int,
        make_environment: Callable[[], Environment],
    ) -> None:
        self.spec = spec
        self.observation_size, self.action_dimensions = observation_size, action_dimensions
        self._make_environment = make_environment
        self._evaluating: list[Environment] = []

    def make_environment(self) -> Environment:
        """A new simulator."""
        return self._make_environment()

    def make_actor(self, device: torch.device) -> NetworkActor:
        """The network with weights to come."""
        return NetworkActor(self.spec, self.observation_size, self.action_dimensions, device)

    def make_learner(self, transitions: Transitions) -> Learner:
        """A learner of the untrained network."""
        return Learner(self.spec, transitions)

    def start_of(self, episode: int) -> dict[str, Any]:
        """Task and seed of an evaluation episode."""
        return {"task": self.spec.task, "seed": episode_seed(self.spec.seed, "evaluation", episode)}

    def evaluation_groups(self) -> list[range]:
        """Those of lockstep: they share inference batches."""
        return self.spec.evaluation_groups

    def evaluate(self, actor: Actor, update: int, episodes: range) -> list[dict[str, Any]]:
        """Play episodes side by side, the same ones at every update."""
        count, steps = len(episodes), self.spec.environment.episode_steps
        while len(self._evaluating) < count:
            self._evaluating.append(self.make_environment())
        uniforms = None
        if self.spec.evaluation.action == "sampled":
            shape = steps, self.spec.evaluation.episodes, self.action_dimensions
            uniforms = self.spec.generator(Stream.EVALUATION, update).random(shape, dtype=np.float32)[:, episodes]
        observations = np.empty((count, self.observation_size), dtype=np.float32)
        for i, episode in enumerate(episodes):
            observations[i], _ = self._evaluating[i].reset(seed=self.start_of(episode)["seed"])
        rows: list[dict[str, Any]] = [{"episode": episode, "return": 0.0} for episode in episodes]
        playing = list(range(count))
        for t in range(steps):
            if uniforms is None:
                tokens = actor.best(observations)
            else:
                tokens, *_ = actor.sample(observations, uniforms[t])
            for i in list(playing):
                observations[i], reward, terminated, truncated, info = self._evaluating[i].step(tokens[i])
                rows[i]["return"] += reward
                rows[i] |= {name: info[name] for name in ("success_any", "success_last")}
                if terminated or truncated:
                    playing.remove(i)
        return rows
