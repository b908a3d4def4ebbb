"""The learner as processes of its own: asks for batches, updates, offers its weights, leaves snapshots."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import ray
import torch

from gipo.engines.asynchronous.offer import Offer
from gipo.engines.asynchronous.peers import Peer, PeerLostError, Version, Weights
from gipo.engines.asynchronous.processes import LEARNER, Process
from gipo.engines.asynchronous.ranks import Ranks
from gipo.engines.asynchronous.snapshots import Snapshots
from gipo.engines.asynchronous.staging import Staging
from gipo.engines.asynchronous.watchdog import Heartbeat
from gipo.engines.record import Record
from gipo.engines.suites import make_suite
from gipo.runs import checkpoint
from gipo.runs.code import code_of
from gipo.runs.directory import RunDirectory
from gipo.runs.provenance import origin
from gipo.runs.spec import RunSpec

if TYPE_CHECKING:  # costs seconds to import, in every process
    from gipo.learner import Learner
    from gipo.replicated import ReplicatedLearner


class LearnerProcess:
    """Learner of a run from its last checkpoint on; the first, and mostly the only, of its processes.

    Metrics, evaluation and checkpoints are those of lockstep; when they happen is the same, what the data are is not.

    Args:
        spec: the run.
        path: its directory.
        device: where the learner lives.
        pretrained: where pretrained models lie.
        ranks: its place among the learner's processes.
        checkpoint_seconds: seconds between checkpoints.
        process: which process this is.
    """

    REQUEST_BYTES = 2**19
    """Size of what is asked of the replay at once: several small updates, or a large one."""

    def __init__(
        self,
        spec: RunSpec,
        path: Path,
        device: str,
        pretrained: Path,
        ranks: Ranks,
        checkpoint_seconds: float,
        process: Process,
    ) -> None:
        self.heartbeat, self.process = Heartbeat(process), process
        self.spec, self.directory, self.checkpoint_seconds = spec, RunDirectory(path), checkpoint_seconds
        self.pretrained, self.ranks = pretrained, ranks
        self.staging, self.learner = make_learner(spec, device, pretrained, ranks)
        self.record = Record(origin(code_of(spec)), self.staging.device)
        self.snapshots = Snapshots(path)
        self.replay = Peer("replay")
        self.env_steps = 0
        self.offer = Offer(self.staging.device)

    def run(self) -> None:
        """Make all updates."""
        self._restore()
        self.counts = self.process.count(LEARNER)
        self._count()
        self.replay.ask("rewind", self.learner.updates)
        self._publish()
        if not self.learner.updates:
            self._leave_snapshot()
        saved = time.monotonic()
        for batches in self._batches():
            self._learn(batches)
            if time.monotonic() - saved > self.checkpoint_seconds:
                self._save()
                saved = time.monotonic()
        self._save()
        self.ranks.tell("end")

    def weights(self, newer_than: Version) -> Weights:
        """The policy, as soon as it is newer than ``newer_than``; called beside `run`."""
        return self.offer.newer(newer_than)

    @property
    def at_once(self) -> int:
        """Updates for which batches are asked of the replay together."""
        return max(1, self.REQUEST_BYTES // self.staging.bytes)

    def _learn(self, batches: dict[str, npt.NDArray[Any]]) -> None:
        """As many updates as the batches suffice for."""
        self.env_steps = int(batches.pop("env_steps"))
        for first in range(0, len(batches["versions"]), self.staging.size):
            self.ranks.tell("update")
            with self.heartbeat.watch(f"update {self.learner.updates + 1}"):
                self.staging.fill({name: array[first : first + self.staging.size] for name, array in batches.items()})
                losses, norms = self.learner.update(self.staging.index)
            if losses and self.learner.is_due(self.spec.diagnostics.every):
                self.record.log(self.learner.updates, self.env_steps, self.learner.metrics(losses, norms))
            if self.learner.is_due(self.spec.evaluation.every):
                self._leave_snapshot()
            if self.offer.wanted:
                self._publish()
        self.learner.check()
        self._count()

    def _count(self) -> None:
        for name in ("d95", "dead"):
            latest = self.record.latest(name)
            self.counts[name] = np.nan if latest is None else latest
        self.counts["updates"] = self.learner.updates

    def _batches(self) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """Batches for all updates to come, one request ahead of the learner."""
        last = self.spec.learner.updates
        at_once = self.at_once
        requests = [(start, min(at_once, last - start)) for start in range(self.learner.updates, last, at_once)]
        answers = [self.replay.submit("sample", *request) for request in requests[:1]]
        for number, request in enumerate(requests):
            answers += [self.replay.submit("sample", *ahead) for ahead in requests[number + 1 : number + 2]]
            yield self._result(answers.pop(0), request)

    def _result(self, answer: ray.ObjectRef, request: tuple[int, int]) -> dict[str, npt.NDArray[Any]]:
        """Wait for the batches of a request; a replay that died meanwhile is asked again."""
        while True:
            try:
                return dict(self.replay.result(answer))
            except PeerLostError:
                answer = self.replay.submit("sample", *request)

    def _publish(self) -> None:
        self.offer.publish((self.process.incarnation, self.learner.updates), self.learner.trained())

    def _leave_snapshot(self) -> None:
        self.snapshots.leave(self.learner.updates, self.env_steps, self.learner.weights())

    def state(self) -> dict[str, Any]:
        """All that the rest of the run depends on, besides what the replay holds."""
        return {
            **checkpoint.owner(self.spec, self.record.origin.code_digest),
            "learner": self.learner.state(),
            "env_steps": self.env_steps,
            "record": self.record.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.learner.load_state(state["learner"])
        self.record.load_state(state["record"])
        self.env_steps = state["env_steps"]

    def _save(self) -> None:
        checkpoint.save(self.directory.checkpoint, self.state())

    def _restore(self) -> None:
        """Go on from the checkpoint, if there is one."""
        if self.directory.checkpoint.exists():
            self.ranks.tell("restore")
            self.load_state(checkpoint.load(self.directory.checkpoint))
        self.record.begin(self.learner.updates)
        self.snapshots.forget_after(self.learner.updates)


class Follower:
    """One of the learner's processes other than the first.

    Args:
        spec: the run.
        path: its directory.
        device: where its copy of the model lives.
        pretrained: where pretrained models lie.
        ranks: its place among the learner's processes.
        process: which process this is.
    """

    def __init__(
        self, spec: RunSpec, path: Path, device: str, pretrained: Path, ranks: Ranks, process: Process
    ) -> None:
        self.heartbeat = Heartbeat(process)
        self.directory, self.ranks = RunDirectory(path), ranks
        self.staging, self.learner = make_learner(spec, device, pretrained, ranks)

    def run(self) -> None:
        """Do as the first one says, until it says that it is over."""
        while (order := self.ranks.hear()) != "end":
            match order:
                case "update":
                    with self.heartbeat.watch(f"update {self.learner.updates + 1}"):
                        self.staging.fill(None)
                        self.learner.update(self.staging.index)
                case "restore":
                    self.learner.load_state(checkpoint.load(self.directory.checkpoint)["learner"])


def make_learner(
    spec: RunSpec, device: str, pretrained: Path, ranks: Ranks
) -> tuple[Staging, Learner | ReplicatedLearner]:
    """A process's share of the transitions, and its learner."""
    torch.set_num_threads(1)
    ranks.join()
    suite = make_suite(spec, pretrained)
    shapes = suite.observation_size, suite.observation_dtype, suite.action_dimensions
    staging = Staging(spec.learner, *shapes, torch.device(device), ranks)
    return staging, suite.make_learner(staging)
