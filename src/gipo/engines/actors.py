"""Actors: groups of environments stepped with one batched policy."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import numpy.typing as npt
import torch

from gipo.envs.metaworld import ACTION_DIMENSIONS, OBSERVATION_SIZE, MetaWorldEnv
from gipo.models.mlp import MLPPolicy
from gipo.runs.spec import RunSpec
from gipo.runs.streams import Stream, episode_seed

Floats = npt.NDArray[np.float32]
Arrays = dict[str, npt.NDArray[np.generic]]


class ActorState(TypedDict):
    """State of an actor group between two rounds."""

    episodes: list[int]
    histories: list[list[list[int]]]


def make_environment(spec: RunSpec) -> MetaWorldEnv:
    """A new environment of the run's task."""
    return MetaWorldEnv(spec.task, bins=spec.environment.bins, episode_steps=spec.environment.episode_steps)


class ActorGroup:
    """The environments of one group of a run (`gipo.runs.spec.StoreSpec.members`).

    What a group collects in a round depends on the spec, the policy and the round alone, not on who else collects:
    random streams are keyed by group and round, and the inference batch always has the group's size.
    """

    def __init__(self, spec: RunSpec, group: int) -> None:
        self.spec, self.group = spec, group
        members = spec.replay.members(group)
        self.environments = [make_environment(spec) for _ in members]
        self.episodes = list(members)
        self.histories: list[list[list[int]]] = [[] for _ in members]
        self.observations = np.stack([self._begin_episode(i) for i in range(len(members))])

    def collect(self, model: MLPPolicy, round_number: int) -> Arrays:
        """One segment of every environment, with actions sampled from ``model``; fields of `gipo.replay.Segments`."""
        count, steps = len(self.environments), self.spec.replay.segment_length
        uniforms = self.spec.generator(Stream.ACTIONS, self.group, round_number).random(
            (steps, count, ACTION_DIMENSIONS), dtype=np.float32
        )
        observations = np.empty((count, steps, self.observations.shape[1]), dtype=np.float32)
        tokens = np.empty((count, steps, ACTION_DIMENSIONS), dtype=np.uint8)
        log_probs = np.empty((count, steps, ACTION_DIMENSIONS), dtype=np.float32)
        rewards = np.empty((count, steps), dtype=np.float32)
        terminated = np.zeros((count, steps), dtype=bool)
        truncated = np.zeros((count, steps), dtype=bool)
        cut_observation = np.zeros_like(self.observations)
        successors = self.observations
        policy = model.acting_logits()
        for t in range(steps):
            observations[:, t] = self.observations
            logits = policy(torch.from_numpy(self.observations)).numpy()
            tokens[:, t], log_probs[:, t] = sample_tokens(logits, uniforms[t])
            successors = np.empty_like(self.observations)
            for i, environment in enumerate(self.environments):
                successors[i], rewards[i, t], terminated[i, t], truncated[i, t], _ = environment.step(tokens[i, t])
                self.histories[i].append(tokens[i, t].tolist())
            self.observations = successors.copy()
            for i in np.flatnonzero(terminated[:, t] | truncated[:, t]).tolist():
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

    def state(self) -> ActorState:
        """Episode numbers and the tokens played in them so far: all it takes, as the simulation is deterministic."""
        return {"episodes": list(self.episodes), "histories": [list(history) for history in self.histories]}

    def load_state(self, state: ActorState) -> None:
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
    """Plays the run's evaluation episodes side by side, the same ones at every point; actions are sampled."""

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        self.environments = [make_environment(spec) for _ in range(spec.evaluation.episodes)]

    def evaluate(self, model: MLPPolicy, update: int) -> list[dict[str, float]]:
        """One row per episode: episode, return, success_any, success_last."""
        count, steps = len(self.environments), self.spec.environment.episode_steps
        uniforms = self.spec.generator(Stream.EVALUATION, update).random(
            (steps, count, ACTION_DIMENSIONS), dtype=np.float32
        )
        seeds = [episode_seed(self.spec.seed, "evaluation", episode) for episode in range(count)]
        observations = np.empty((count, OBSERVATION_SIZE), dtype=np.float32)
        for i, environment in enumerate(self.environments):
            observations[i], _ = environment.reset(seed=seeds[i])
        rows = [{"episode": i, "return": 0.0} for i in range(count)]
        policy = model.acting_logits()
        for t in range(steps):
            tokens, _ = sample_tokens(policy(torch.from_numpy(observations)).numpy(), uniforms[t])
            for i, environment in enumerate(self.environments):
                observations[i], reward, _, _, info = environment.step(tokens[i])
                rows[i]["return"] += reward
                rows[i] |= {name: info[name] for name in ("success_any", "success_last")}
        return rows


def sample_tokens(logits: Floats, uniforms: Floats) -> tuple[npt.NDArray[np.uint8], Floats]:
    """Tokens by inversion of the policy's distribution function, and their log-probabilities.

    Args:
        logits: [N, D, K]; used up.
        uniforms: numbers in [0, 1), [N, D].

    Returns:
        Tokens uint8 [N, D] and ``log mu`` float32 [N, D].
    """
    logits -= logits.max(axis=-1, keepdims=True)
    cumulated = np.exp(logits).cumsum(axis=-1)
    total = cumulated[..., -1]
    tokens = (cumulated <= (uniforms * total)[..., None]).sum(axis=-1)
    tokens = np.minimum(tokens, logits.shape[-1] - 1)  # uniforms * total may round up to total
    taken = np.take_along_axis(logits, tokens[..., None], axis=-1)[..., 0]
    return tokens.astype(np.uint8), taken - np.log(total)
