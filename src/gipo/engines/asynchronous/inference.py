"""The inference: one model that acts for all rollout workers, in batches."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from gipo.engines.asynchronous.peers import NONE, Peer, Version, Weights
from gipo.engines.asynchronous.processes import INFERENCE, Process
from gipo.engines.asynchronous.watchdog import Heartbeat
from gipo.engines.suites import Array, make_suite
from gipo.runs.spec import RunSpec
from gipo.runs.streams import Stream


@dataclass(frozen=True)
class Acts:
    """The policy's answer to N observations."""

    tokens: npt.NDArray[np.uint8]  # [N, D]
    log_probs: npt.NDArray[np.float32]  # [N, D], log mu of the tokens
    values: npt.NDArray[np.float32]  # [N]
    version: int
    """Learner updates that the policy had seen."""

    def part(self, rows: slice) -> Acts:
        """Some of the observations."""
        return Acts(self.tokens[rows], self.log_probs[rows], self.values[rows], self.version)


Request = tuple[Array, "asyncio.Future[Acts]"]
"""Observations [N, O], and their answer to come."""


class Inference:
    """Answers all who wait in one forward pass; those who ask meanwhile wait for the next one.

    A worker has one request open at a time, so no more than all environments ever wait here.

    Args:
        spec: the run.
        pretrained: where pretrained models lie.
        device: where the model lives.
        process: which process this is; its incarnation is the key of the random stream.
    """

    def __init__(self, spec: RunSpec, pretrained: Path, device: str, process: Process) -> None:
        assert spec.asynchronous
        self.heartbeat = Heartbeat(process)
        torch.set_num_threads(1)
        self.most = spec.asynchronous.inference_batch
        suite = make_suite(spec, pretrained)
        self.actor, self.action_dimensions = suite.make_actor(torch.device(device)), suite.action_dimensions
        self.loaded: Version = NONE
        self.newest: Weights = (NONE, {})
        self.learner = Peer("learner")
        self.random = spec.generator(Stream.ACTIONS, process.incarnation)
        self.waiting: list[Request] = []
        self.arrived = asyncio.Event()
        self.counts = process.count(INFERENCE)

    async def act(self, observations: Array) -> Acts:
        """Actions sampled for observations [N, O]."""
        answer: asyncio.Future[Acts] = asyncio.get_running_loop().create_future()
        self.waiting.append((observations, answer))
        self.arrived.set()
        return await answer

    async def run(self) -> None:
        """Serve until the process is ended."""
        await asyncio.gather(self.heartbeat.attend(), self._work())

    async def _work(self) -> None:
        await self._fetch()
        await asyncio.gather(self._follow(), self._serve())

    async def _serve(self) -> None:
        while True:
            await self.arrived.wait()
            requests = self._take()
            acts = await asyncio.to_thread(self._forward, np.concatenate([rows for rows, _ in requests]))
            first = 0
            for rows, answer in requests:
                answer.set_result(acts.part(slice(first, first + len(rows))))
                first += len(rows)

    def _take(self) -> list[Request]:
        """The oldest requests, as many as make a pass; one that alone is more is a pass of its own."""
        sums = itertools.accumulate(len(rows) for rows, _ in self.waiting)
        count = max(1, sum(rows <= self.most for rows in sums))
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        if not self.waiting:
            self.arrived.clear()
        return taken

    async def _follow(self) -> None:
        while True:
            await self._fetch()

    async def _fetch(self) -> None:
        """Weights newer than these, or those of a learner that was started again, as soon as there are some."""
        self.newest = await asyncio.to_thread(self.learner.ask, "weights", self.newest[0])

    def _forward(self, observations: Array) -> Acts:
        version, weights = self.newest
        if version != self.loaded:
            self.actor.load({name: torch.from_numpy(array) for name, array in weights.items()})
            self.loaded = version
        uniforms = self.random.random((len(observations), self.action_dimensions), dtype=np.float32)
        self.counts["inference_batches"] += 1
        self.counts["inference_rows"] += len(observations)
        with self.heartbeat.watch(f"a forward pass of {len(observations)} observations"):
            return Acts(*self.actor.act(observations, uniforms), version[1])
