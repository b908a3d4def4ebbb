"""The replay as a process of its own: takes segments, hands out batches, and keeps both sides in step."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from gipo.engines.asynchronous.ledger import Episode, Ledger, Stamp
from gipo.engines.asynchronous.processes import Process
from gipo.engines.asynchronous.watchdog import Heartbeat
from gipo.engines.suites import Arrays, make_suite
from gipo.estimator import estimate
from gipo.replay import Pace, Replay, Segments
from gipo.runs.spec import RunSpec
from gipo.runs.streams import Stream


class ReplayServer:
    """A replay in files: what it holds survives its process, so a new one goes on where the last one died.

    Rate limiting makes the lag a setting instead of an accident: segments wait until the learner's updates have earned
    them, batches until the env steps have, so that the replay is replaced once in L updates.

    Args:
        spec: the run.
        pretrained: where pretrained models lie.
        directory: where the files lie.
        process: which process this is.
    """

    SLACK = 2
    """Segments per environment that may be collected before the learner needs them: collection never idles for long."""

    def __init__(self, spec: RunSpec, pretrained: Path, directory: Path, process: Process) -> None:
        assert spec.asynchronous
        self.heartbeat = Heartbeat(process)
        torch.set_num_threads(1)
        settings = spec.replay
        self.spec, self.limited = spec, settings.lifetime is not None
        self.pace = Pace(settings.capacity, spec.lifetime_updates, settings.warmup_steps)
        suite = make_suite(spec, pretrained)
        self.store = Replay(
            settings.capacity,
            settings.segment_length,
            suite.observation_size,
            suite.action_dimensions,
            observation_dtype=suite.observation_dtype,
            directory=directory,
            successes=spec.imagination is not None,
        )
        self.ledger = Ledger(directory, spec)
        self.ledger.check(self.store.appended)
        self.random = spec.generator(Stream.SAMPLING, self.store.appended)
        self.promised = 0
        """Updates that the learner has asked batches for."""
        self.changed = asyncio.Condition()

    async def append(self, collected: Arrays, episodes: list[Episode], stamp: Stamp) -> None:
        """Store segments [S, T] once they are due, with targets from the values that they were played with.

        Nothing happens if they are stored already, so a worker that got no answer may send them again.
        """
        tensors = {name: torch.from_numpy(array.copy()) for name, array in collected.items()}
        versions, values, successors = (tensors.pop(name) for name in ("versions", "values", "successors"))
        segments = Segments(**tensors)
        ends = segments.terminated, segments.truncated
        advantages, value_targets = estimate(segments.rewards, values, successors, *ends, self.spec.learner)
        async with self.changed:
            await self.changed.wait_for(self._may_append)
            appended = self.store.appended
            if self.ledger.has(appended, stamp):
                return
            self.ledger.write(appended, len(versions), episodes, stamp)
            self.store.append(segments, advantages, value_targets, versions)
            self.changed.notify_all()

    async def sample(self, update: int, updates: int) -> dict[str, npt.NDArray[np.generic]]:
        """Transitions for the learner's next updates, once they are due.

        Args:
            update: the first of them.
            updates: how many, U.

        Returns:
            Fields of `gipo.replay.Batch`, [U * accumulation * batch_size, ...], and ``env_steps``.
        """
        learner = self.spec.learner
        async with self.changed:
            self.promised = max(self.promised, update + updates)
            self.changed.notify_all()
            await self.changed.wait_for(lambda: self._due() >= update + updates)
            count = updates * learner.accumulation * learner.batch_size
            segments = self.store.intact
            steps = self.spec.replay.segment_length
            number = self.random.integers(segments.start, segments.stop, count)
            position = number % self.store.slots * steps + self.random.integers(steps, size=count)
            batch = self.store.gather(torch.from_numpy(position))
            batch.versions.clamp_(max=update)  # of a learner that died after it had made more updates
        arrays = {name: tensor.numpy() for name, tensor in batch.tensors().items()}
        return arrays | {"env_steps": np.array(self._env_steps)}

    async def rewind(self, update: int) -> None:
        """The learner starts again from ``update``: steps of policies that it made later count as its own."""
        self.store.versions.clamp_(max=update)
        self.promised = update

    async def run(self) -> None:
        """Wait until the process is ended."""
        await self.heartbeat.attend()

    @property
    def _env_steps(self) -> int:
        return self.store.appended * self.spec.replay.segment_length

    def _due(self) -> int:
        """Updates that the env steps so far allow."""
        if self.limited:
            return self.pace.updates_due(self._env_steps)
        return self.spec.learner.updates if self._env_steps >= self.pace.warmup_steps else 0

    def _may_append(self) -> bool:
        earned = self.pace.warmup_steps + self.promised * self.pace.env_steps_per_update
        return not self.limited or self._env_steps < earned + self.SLACK * self.spec.round_steps
