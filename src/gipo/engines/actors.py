"""Actors: groups of environments stepped with one batched policy."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt
import torch

from gipo.envs.metaworld import MetaWorldEnv, episode_seed
from gipo.models.mlp import MLPPolicy
from gipo.runs.spec import RunSpec

Floats = npt.NDArray[np.float32]
Arrays = dict[str, npt.NDArray[np.generic]]


class Stream(IntEnum):
    """Numbers of a run's random streams, the first part of the key of `RunSpec.generator` (0: network weights)."""

    SAMPLING = 1  # + round: positions in the replay
    ACTIONS = 2  # + group, round: the actors' tokens
    EVALUATION = 3  # + update, first episode: the evaluation's tokens


def make_environment(spec: RunSpec) -> MetaWorldEnv:
    """A new environment of the run's task."""
    return MetaWorldEnv(spec.task, bins=spec.environment.bins, episode_steps=spec.environment.episode_steps)


class ActorGroup:
    """Environments ``group * group_size`` to ``(group + 1) * group_size - 1`` of a run.

    What a group collects in a round depends on the spec, the policy and the round alone, not on who else collects:
    random streams are keyed by group and round, and the inference batch always has the group's size.
    """

    def __init__(self, spec: RunSpec, group: int) -> None:
        self.spec, self.group = spec, group
        first = group * spec.replay.group_size
        members = range(first, min(first + spec.replay.group_size, spec.replay.environments))
        self.environments = [make_environment(spec) for _ in members]
        self.episodes = list(members)
        self.histories: list[list[list[int]]] = [[] for _ in members]
        self.observations = np.stack([self._begin_episode(i) for i in range(len(members))])

    def collect(self, model: MLPPolicy, round_number: int) -> Arrays:
        """One segment of every environment, with actions sampled from ``model``; fields of `gipo.lag.Segments`."""
        count, steps = len(self.environments), self.spec.replay.segment_length
        dimensions = self.environments[0].action_space.shape[0]
        uniforms = self.spec.generator(Stream.ACTIONS, self.group, round_number).random(
            (steps, count, dimensions), dtype=np.float32
        )
        observations = np.empty((count, steps, self.observations.shape[1]), dtype=np.float32)
        tokens = np.empty((count, steps, dimensions), dtype=np.uint8)
        log_probs = np.empty((count, steps, dimensions), dtype=np.float32)
        rewards = np.empty((count, steps), dtype=np.float32)
        terminated = np.zeros((count, steps), dtype=bool)
        truncated = np.zeros((count, steps), dtype=bool)
        cut_observation = np.zeros_like(self.observations)
        successors = self.observations
        for t in range(steps):
            observations[:, t] = self.observations
            tokens[:, t], log_probs[:, t] = sample_tokens(model, self.observations, uniforms[t])
            successors = np.empty_like(self.observations)
            for i, environment in enumerate(self.environments):
                successors[i], rewards[i, t], terminated[i, t], truncated[i, t], _ = environment.step(tokens[i, t])
                self.histories[i].append(tokens[i, t].tolist())
            self.observations = successors.copy()
            for i in np.flatnonzero(terminated[:, t] | truncated[:, t]):
                cut_observation[i] = successors[i]
                self.episodes[i] += self.spec.replay.environments
                self.observations[i] = self._begin_episode(i)
        return {
            "observations": observations,
            "tokens": tokens,
            "log_probs": log_probs,
            "rewards": rewards,
            "terminated": terminated,
            "truncated": truncated,
            "final_observation": successors,
            "cut_observation": cut_observation,
        }

    def state(self) -> dict[str, list[int] | list[list[list[int]]]]:
        """Episode numbers and the tokens played in them so far: all it takes, as the simulation is deterministic."""
        return {"episodes": list(self.episodes), "histories": [list(history) for history in self.histories]}

    def load_state(self, state: dict[str, list[int] | list[list[list[int]]]]) -> None:
        """Restore what `state` returned, by playing the unfinished episodes again."""
        self.episodes = list(state["episodes"])
        for i, history in enumerate(state["histories"]):
            self.observations[i] = self._begin_episode(i)
            for tokens in history:
                self.observations[i] = self.environments[i].step(np.array(tokens))[0]
            self.histories[i] = list(history)

    def _begin_episode(self, i: int) -> Floats:
        self.histories[i] = []
        observation, _ = self.environments[i].reset(seed=episode_seed(self.spec.seed, "train", self.episodes[i]))
        return np.asarray(observation, dtype=np.float32)


class Evaluator:
    """Plays the run's evaluation episodes, with the same seeds at every point and actions sampled from the policy."""

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        count = min(spec.evaluation.episodes, spec.replay.group_size)
        self.environments = [make_environment(spec) for _ in range(count)]

    def evaluate(self, model: MLPPolicy, update: int) -> list[dict[str, float]]:
        """One row per episode: episode, return, success_any, success_last."""
        episodes = range(self.spec.evaluation.episodes)
        size = len(self.environments)
        return [row for first in episodes[::size] for row in self._wave(model, update, episodes[first : first + size])]

    def _wave(self, model: MLPPolicy, update: int, episodes: range) -> list[dict[str, float]]:
        environments = self.environments[: len(episodes)]
        generator = self.spec.generator(Stream.EVALUATION, update, episodes[0])
        dimensions = environments[0].action_space.shape[0]
        observations = np.stack(
            [
                environment.reset(seed=episode_seed(self.spec.seed, "evaluation", episode))[0]
                for environment, episode in zip(environments, episodes, strict=True)
            ]
        ).astype(np.float32)
        returns = np.zeros(len(episodes))
        infos: list[dict[str, bool]] = [{} for _ in episodes]
        for _ in range(self.spec.environment.episode_steps):
            uniforms = generator.random((len(episodes), dimensions), dtype=np.float32)
            tokens, _ = sample_tokens(model, observations, uniforms)
            for i, environment in enumerate(environments):
                observations[i], reward, _, _, infos[i] = environment.step(tokens[i])
                returns[i] += reward
        return [
            {
                "episode": episode,
                "return": float(returns[i]),
                "success_any": infos[i]["success_any"],
                "success_last": infos[i]["success_last"],
            }
            for i, episode in enumerate(episodes)
        ]


@torch.no_grad()
def sample_tokens(model: MLPPolicy, observations: Floats, uniforms: Floats) -> tuple[npt.NDArray[np.uint8], Floats]:
    """Tokens by inversion of the policy's distribution function, and their log-probabilities.

    Args:
        model: the policy.
        observations: [N, O].
        uniforms: numbers in [0, 1), [N, D].

    Returns:
        Tokens uint8 [N, D] and ``log mu`` float32 [N, D].
    """
    log_probs = torch.log_softmax(model.logits(torch.from_numpy(observations)), dim=-1)
    below = log_probs.exp().cumsum(-1) <= torch.from_numpy(uniforms)[..., None]
    tokens = below.sum(-1).clamp_(max=log_probs.shape[-1] - 1)
    taken = log_probs.gather(-1, tokens[..., None]).squeeze(-1)
    return tokens.to(torch.uint8).numpy(), taken.numpy()
