"""A rollout worker: a group of environments that asks the inference for its actions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from gipo.engines.asynchronous.inference import Acts
from gipo.engines.asynchronous.peers import Peer
from gipo.engines.asynchronous.processes import ROLLOUT, Process
from gipo.engines.asynchronous.watchdog import Heartbeat
from gipo.engines.suites import Array, Arrays, make_suite, numpy_dtype
from gipo.runs.spec import RunSpec
from gipo.runs.streams import Stream


class Rollout:
    """The environments of one group of a run (`gipo.runs.spec.StoreSpec.members`); simulator only.

    Args:
        spec: the run.
        pretrained: where pretrained models lie; their statistics say what actions mean.
        group: which group.
        timeout: seconds after which a simulator call counts as hung.
        process: which process this is; its incarnation is the key of its episodes.
    """

    def __init__(self, spec: RunSpec, pretrained: Path, group: int, timeout: float, process: Process) -> None:
        self.heartbeat, self.timeout = Heartbeat(process), timeout
        torch.set_num_threads(1)
        assert spec.asynchronous
        self.spec, self.recompute = spec, spec.asynchronous.recompute_values
        self.inference, self.replay = Peer("inference"), Peer("replay")
        self.group, self.incarnation, self.segments = group, process.incarnation, 0
        self.counts = process.count(ROLLOUT)
        self.seeds = spec.generator(Stream.EPISODES, group, process.incarnation)
        suite = make_suite(spec, pretrained)
        members = spec.replay.members(group)
        with self.heartbeat.watch(f"{spec.task}, construction", timeout):
            self.environments = [suite.make_environment() for _ in members]
        self.dtype = numpy_dtype(suite.observation_dtype)
        self.returns, self.steps = np.zeros(len(members)), [0] * len(members)
        self.cuts: list[tuple[int, int, Array]] = []
        """Environment, step and last observation of the episodes that ended in the latest segment."""
        self.episodes: list[tuple[float, bool]] = []
        """Their returns, and whether they succeeded."""

    def run(self) -> None:
        """Collect until the process is ended."""
        self.begin()
        while True:
            collected = self.collect()
            if self.recompute:
                self._recompute(collected)
            self.hand_over(collected)

    def hand_over(self, collected: Arrays) -> None:
        """Give a segment to the replay; to the next one if it dies over it, which knows whether it has it already."""
        self.segments += 1
        self.replay.ask("append", collected, self.episodes, (self.group, self.incarnation, self.segments))

    def begin(self) -> None:
        """Begin the first episodes."""
        first = [self._begin_episode(i) for i in range(len(self.environments))]
        self.observations = np.stack(first).astype(self.dtype)
        self.acts = self._act(self.observations)

    def collect(self) -> Arrays:
        """One segment of every environment: `gipo.replay.Segments`, versions, values and successors' values [S, T]."""
        shape = (len(self.environments), self.spec.replay.segment_length)
        dimensions = self.acts.tokens.shape[1:]
        segment: Arrays = {
            "observations": np.empty((*shape, *self.observations.shape[1:]), self.observations.dtype),
            "tokens": np.empty((*shape, *dimensions), np.uint8),
            "log_probs": np.empty((*shape, *dimensions), np.float32),
            "rewards": np.empty(shape, np.float32),
            "terminated": np.zeros(shape, bool),
            "truncated": np.zeros(shape, bool),
            "final_observation": np.empty_like(self.observations),
            "cut_observation": np.zeros_like(self.observations),
            "versions": np.empty(shape, np.int64),
            "values": np.empty(shape, np.float32),
            "successors": np.empty(shape, np.float32),
        }
        if self.spec.imagination:
            segment["successes"] = np.empty(shape, bool)
        self.cuts, self.episodes = [], []
        for t in range(shape[1]):
            self._step(segment, t)
        return segment

    def _step(self, segment: Arrays, t: int) -> None:
        segment["observations"][:, t] = self.observations
        segment["tokens"][:, t], segment["log_probs"][:, t] = self.acts.tokens, self.acts.log_probs
        segment["values"][:, t], segment["versions"][:, t] = self.acts.values, self.acts.version
        successors = segment["final_observation"]
        for i, environment in enumerate(self.environments):
            with self.heartbeat.watch(f"{environment.task}, step {self.steps[i]} of an episode", self.timeout):
                successors[i], reward, terminated, truncated, info = environment.step(self.acts.tokens[i])
            segment["rewards"][i, t] = reward
            segment["terminated"][i, t], segment["truncated"][i, t] = terminated, truncated
            if self.spec.imagination:
                segment["successes"][i, t] = info["success_last"]
            self.returns[i] += reward
            self.steps[i] += 1
            self.counts["env_steps"] += 1
            if terminated or truncated:
                self.counts["episodes"] += 1
                self.episodes.append((float(self.returns[i]), bool(info["success_any"])))
        self.observations = successors.copy()
        cut = np.flatnonzero(np.logical_or(segment["terminated"][:, t], segment["truncated"][:, t]))
        for i in cut.tolist():
            self.observations[i] = self._begin_episode(i)
        self.acts = self._act(self.observations)
        segment["successors"][:, t] = self.acts.values
        if len(cut):
            segment["cut_observation"][cut] = successors[cut]
            segment["successors"][cut, t] = self._act(successors[cut]).values
            self.cuts += [(i, t, successors[i].copy()) for i in cut.tolist()]

    def _recompute(self, segment: Arrays) -> None:
        """Values of the newest policy instead of those that the segment was played with."""
        following = np.concatenate([segment["observations"][:, 1:], segment["final_observation"][:, None]], axis=1)
        for i, t, last in self.cuts:
            following[i, t] = last
        for name, observations in (("values", segment["observations"]), ("successors", following)):
            acts = self._act(observations.reshape(-1, observations.shape[-1]))
            segment[name] = acts.values.reshape(observations.shape[:2])

    def _act(self, observations: Array) -> Acts:
        acts: Acts = self.inference.ask("act", observations)
        return acts

    def _begin_episode(self, i: int) -> Array:
        self.returns[i], self.steps[i] = 0.0, 0
        environment = self.environments[i]
        with self.heartbeat.watch(f"{environment.task or self.spec.task}, reset", self.timeout):
            observation, _ = environment.reset(seed=int(self.seeds.integers(2**63)))
        return observation
