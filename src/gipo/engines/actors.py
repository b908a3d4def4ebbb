"""The lockstep engine's groups of environments, each stepped with one batched policy."""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from gipo.engines.suites import Actor, Array, Arrays, RunSuite, numpy_dtype
from gipo.runs.spec import RunSpec
from gipo.runs.streams import Stream, episode_seed

Episode = tuple[float, bool]
"""Return of an episode, and whether it succeeded at any of its steps."""


class ActorState(TypedDict):
    """State of an actor group between two rounds."""

    episodes: list[int]
    histories: list[list[list[int]]]


class ActorGroup:
    """The environments of one group of a run (`gipo.runs.spec.StoreSpec.members`).

    What a group collects in a round depends on the spec, the policy and the round alone, not on who else collects:
    random streams are keyed by group and round, and the inference batch always has the group's size.
    """

    def __init__(self, spec: RunSpec, suite: RunSuite, group: int) -> None:
        self.spec, self.group = spec, group
        self.dtype, self.action_dimensions = numpy_dtype(suite.observation_dtype), suite.action_dimensions
        members = spec.replay.members(group)
        self.environments = [suite.make_environment() for _ in members]
        self.episodes = list(members)
        self.histories: list[list[list[int]]] = [[] for _ in members]
        self.returns = [0.0 for _ in members]
        self.observations = np.stack([self._begin_episode(i) for i in range(len(members))])

    def collect(self, actor: Actor, round_number: int) -> tuple[Arrays, list[Episode]]:
        """One segment of every environment, with actions sampled by ``actor``.

        Where segments end with their episodes, an environment whose episode ends waits for the next round.

        Returns:
            Fields of `gipo.replay.Segments`, and the episodes that ended meanwhile, in order.
        """
        count, steps = len(self.environments), self.spec.replay.segment_length
        shape = steps, count, self.action_dimensions
        uniforms = self.spec.generator(Stream.ACTIONS, self.group, round_number).random(shape, dtype=np.float32)
        observations = np.empty((count, steps, self.observations.shape[1]), dtype=self.dtype)
        tokens = np.empty((count, steps, self.action_dimensions), dtype=np.uint8)
        log_probs = np.empty((count, steps, self.action_dimensions), dtype=np.float32)
        rewards = np.zeros((count, steps), dtype=np.float32)
        terminated = np.zeros((count, steps), dtype=bool)
        truncated = np.zeros((count, steps), dtype=bool)
        cut_observation = np.zeros_like(self.observations)
        keeps_logits = self.spec.learner.kl == "exact"
        bins = self.spec.environment.bins if keeps_logits else 0
        logits = np.empty((count, steps, self.action_dimensions, bins), dtype=np.float32)
        ended: list[Episode] = []
        cut = self.spec.replay.segments == "per-episode"
        keeps_successes = self.spec.imagination is not None
        successes = np.zeros((count, steps), dtype=bool)
        lengths = np.zeros(count, dtype=np.int64)
        collecting = list(range(count))
        successors = self.observations
        for t in range(steps):
            observations[:, t] = self.observations
            tokens[:, t], log_probs[:, t], of_policy = actor.sample(self.observations, uniforms[t])
            if keeps_logits:
                logits[:, t] = of_policy
            successors = successors.copy()
            for i in collecting:
                successors[i], reward, terminated[i, t], truncated[i, t], info = self.environments[i].step(tokens[i, t])
                rewards[i, t] = reward
                if keeps_successes:
                    successes[i, t] = info["success_last"]
                lengths[i] += 1
                self.returns[i] += reward
                self.histories[i].append(tokens[i, t].tolist())
                if terminated[i, t] or truncated[i, t]:
                    ended.append((self.returns[i], bool(info["success_any"])))
            self.observations[collecting] = successors[collecting]
            for i in np.flatnonzero(terminated[:, t] | truncated[:, t]).tolist():
                if truncated[i, t]:  # at most once, as episodes are no shorter than segments
                    cut_observation[i] = successors[i]
                self.episodes[i] += self.spec.replay.environments
                self.observations[i] = self._begin_episode(i)
                if cut:
                    collecting.remove(i)
        arrays = {
            "observations": observations,
            "tokens": tokens,
            "log_probs": log_probs,
            "rewards": rewards,
            "terminated": terminated,
            "truncated": truncated,
            "final_observation": successors,
            "cut_observation": cut_observation,
        }
        if keeps_logits:
            arrays["logits"] = logits
        if cut:
            arrays["lengths"] = lengths
        if keeps_successes:
            arrays["successes"] = successes
        return arrays, ended

    def state(self) -> ActorState:
        """Episode numbers and the tokens played in them so far: all it takes, as the simulation is deterministic."""
        return {"episodes": list(self.episodes), "histories": [list(history) for history in self.histories]}

    def load_state(self, state: ActorState) -> None:
        """Restore what `state` returned, by playing the unfinished episodes again."""
        self.episodes = list(state["episodes"])
        for i, history in enumerate(state["histories"]):
            self.observations[i] = self._begin_episode(i)
            for tokens in history:
                self.observations[i], reward, *_ = self.environments[i].step(np.array(tokens))
                self.returns[i] += reward
            self.histories[i] = list(history)

    def _begin_episode(self, i: int) -> Array:
        self.histories[i], self.returns[i] = [], 0.0
        observation, _ = self.environments[i].reset(seed=episode_seed(self.spec.seed, "train", self.episodes[i]))
        return np.asarray(observation, dtype=self.dtype)
