"""Collectors of a lockstep run: this process, or worker processes that collect while the learner learns."""

from __future__ import annotations

import io
import traceback
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from gipo.engines.actors import ActorGroup, Episode
from gipo.engines.suites import Actor, Arrays, make_suite
from gipo.errors import GipoError
from gipo.replay import Segments
from gipo.runs.spec import RunSpec


class Collectors(Protocol):
    """Steps all groups of environments of a run."""

    def start(self, weights: dict[str, Tensor], round_number: int) -> None:
        """Collect a round with the policy of these weights (`gipo.learner.Learner.weights`)."""

    def finish(self) -> tuple[Segments, list[Episode]]:
        """The segments of the round, in the order of the environments, and the episodes that ended in it."""

    def state(self) -> list[Any]:
        """State of every group, for a checkpoint between rounds."""

    def load_state(self, state: list[Any]) -> None:
        """Restore what `state` returned."""

    def close(self) -> None:
        """Release processes."""


def make_collectors(spec: RunSpec, pretrained: Path, workers: int) -> Collectors:
    """Collectors in this process (``workers = 0``) or in that many others; what they collect is the same."""
    if workers:
        return WorkerPool(spec, pretrained, min(workers, len(spec.replay.groups)))
    return LocalCollectors(spec, pretrained)


class LocalCollectors:
    """Actor groups in this process, one after the other."""

    def __init__(self, spec: RunSpec, pretrained: Path) -> None:
        self.actor, self.groups = make_groups(spec, pretrained, spec.replay.groups)
        self.collected: list[tuple[Arrays, list[Episode]]] = []

    def start(self, weights: dict[str, Tensor], round_number: int) -> None:
        """Collect at once."""
        self.actor.load(weights)
        self.collected = [group.collect(self.actor, round_number) for group in self.groups]

    def finish(self) -> tuple[Segments, list[Episode]]:
        """The segments and episodes that `start` collected."""
        return _merge(self.collected)

    def state(self) -> list[Any]:
        """State of every group."""
        return [group.state() for group in self.groups]

    def load_state(self, state: list[Any]) -> None:
        """Restore every group."""
        for group, group_state in zip(self.groups, state, strict=True):
            group.load_state(group_state)

    def close(self) -> None:
        """Nothing to release."""


class WorkerPool:
    """Actor groups dealt out to processes: worker w has the groups w, w + workers, ..."""

    def __init__(self, spec: RunSpec, pretrained: Path, workers: int) -> None:
        self.spec, self.groups = spec, spec.replay.groups
        context = get_context("spawn")
        self.connections: list[Connection] = []
        self.processes = []
        for worker in range(workers):
            ours, theirs = context.Pipe()
            arguments = (theirs, spec, pretrained, self.groups[worker::workers])
            process = context.Process(target=_serve, args=arguments, daemon=True)
            process.start()
            theirs.close()
            self.connections.append(ours)
            self.processes.append(process)

    def start(self, weights: dict[str, Tensor], round_number: int) -> None:
        """Send the weights; the workers collect while this process goes on."""
        saved = io.BytesIO()
        torch.save(weights, saved)
        for worker in range(len(self.connections)):
            self._send(worker, "collect", saved.getvalue(), round_number)

    def finish(self) -> tuple[Segments, list[Episode]]:
        """Wait for the round of every worker."""
        return _merge(self._receive())

    def state(self) -> list[Any]:
        """Ask every worker for the state of its groups."""
        for worker in range(len(self.connections)):
            self._send(worker, "state")
        return self._receive()

    def load_state(self, state: list[Any]) -> None:
        """Send every worker the state of its groups."""
        workers = len(self.connections)
        for worker in range(workers):
            self._send(worker, "load_state", state[worker::workers])
        self._receive()

    def close(self) -> None:
        """End the workers."""
        for connection in self.connections:
            connection.close()
        for process in self.processes:
            process.join()

    def _send(self, worker: int, *message: Any) -> None:
        try:
            self.connections[worker].send(message)
        except OSError as error:
            raise self._death(worker) from error

    def _receive(self) -> list[Any]:
        """One answer per group, in group order."""
        answers: list[Any] = [None] * len(self.groups)
        workers = len(self.connections)
        for worker, connection in enumerate(self.connections):
            try:
                ok, answer = connection.recv()
            except (EOFError, OSError) as error:
                raise self._death(worker) from error
            if not ok:
                raise GipoError(f"worker {worker} of run {self.spec.run_id} failed:\n{answer}")
            answers[worker::workers] = answer
        return answers

    def _death(self, worker: int) -> GipoError:
        process = self.processes[worker]
        process.join(timeout=5)
        return GipoError(
            f"worker {worker} of run {self.spec.run_id} died (exit code {process.exitcode}); "
            "start the run again and it goes on from its last checkpoint"
        )


def make_groups(spec: RunSpec, pretrained: Path, numbers: range) -> tuple[Actor, list[ActorGroup]]:
    """Some of a run's groups, and the actor that acts for them, on the CPU."""
    suite = make_suite(spec, pretrained)
    return suite.make_actor(torch.device("cpu")), [ActorGroup(spec, suite, number) for number in numbers]


def _merge(collected: list[tuple[Arrays, list[Episode]]]) -> tuple[Segments, list[Episode]]:
    """The arrays of all groups as one set of segments, and their episodes."""
    arrays = [group for group, _ in collected]
    segments = {name: torch.from_numpy(np.concatenate([group[name] for group in arrays])) for name in arrays[0]}
    return Segments(**segments), [episode for _, episodes in collected for episode in episodes]


def _serve(connection: Connection, spec: RunSpec, pretrained: Path, numbers: range) -> None:
    """Body of a worker: answer until the learner closes the connection."""
    torch.set_num_threads(1)
    try:
        actor, groups = make_groups(spec, pretrained, numbers)
        while True:
            match connection.recv():
                case "collect", weights, round_number:
                    actor.load(torch.load(io.BytesIO(weights), weights_only=True))
                    answer: list[Any] = [group.collect(actor, round_number) for group in groups]
                case ("state",):
                    answer = [group.state() for group in groups]
                case "load_state", states:
                    for group, state in zip(groups, states, strict=True):
                        group.load_state(state)
                    answer = [None] * len(groups)
            connection.send((True, answer))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return
    except Exception:
        connection.send((False, traceback.format_exc()))
