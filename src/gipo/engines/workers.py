"""Where the actor groups run: in this process, or in worker processes that collect while the learner learns."""

from __future__ import annotations

import io
import traceback
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Protocol

import numpy as np
import torch

from gipo.engines.actors import ActorGroup, Arrays
from gipo.envs.metaworld import ACTION_DIMENSIONS, OBSERVATION_SIZE
from gipo.errors import GipoError
from gipo.models.mlp import MLPPolicy, make_model
from gipo.replay import Segments
from gipo.runs.spec import RunSpec


class Actors(Protocol):
    """All actor groups of a run."""

    def start(self, model: MLPPolicy, round_number: int) -> None:
        """Collect a round with the policy as it is now."""

    def finish(self) -> Segments:
        """The segments of the round, in the order of the environments."""

    def state(self) -> list[Any]:
        """State of every group, for a checkpoint between rounds."""

    def load_state(self, state: list[Any]) -> None:
        """Restore what `state` returned."""

    def close(self) -> None:
        """Release processes."""


def make_actors(spec: RunSpec, workers: int) -> Actors:
    """Actors in this process (``workers = 0``) or in that many others; what they collect is the same."""
    groups = spec.replay.groups
    return WorkerPool(spec, groups, min(workers, len(groups))) if workers else LocalActors(spec, groups)


class LocalActors:
    """Actor groups in this process, one after the other."""

    def __init__(self, spec: RunSpec, groups: range) -> None:
        self.groups = [ActorGroup(spec, group) for group in groups]
        self.collected: list[Arrays] = []

    def start(self, model: MLPPolicy, round_number: int) -> None:
        """Collect at once: afterwards the learner may change the model."""
        self.collected = [group.collect(model, round_number) for group in self.groups]

    def finish(self) -> Segments:
        """What `start` collected."""
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

    def __init__(self, spec: RunSpec, groups: range, workers: int) -> None:
        self.groups, self.spec = groups, spec
        context = get_context("spawn")
        self.connections: list[Connection] = []
        self.processes = []
        for worker in range(workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, spec, groups[worker::workers]), daemon=True)
            process.start()
            theirs.close()
            self.connections.append(ours)
            self.processes.append(process)

    def start(self, model: MLPPolicy, round_number: int) -> None:
        """Send the weights; the workers collect while this process goes on."""
        weights = io.BytesIO()
        torch.save(model.state_dict(), weights)
        for worker in range(len(self.connections)):
            self._send(worker, "collect", weights.getvalue(), round_number)

    def finish(self) -> Segments:
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


def _merge(collected: list[Arrays]) -> Segments:
    """The arrays of all groups as one set of segments."""
    return Segments(
        **{name: torch.from_numpy(np.concatenate([group[name] for group in collected])) for name in collected[0]}
    )


def _serve(connection: Connection, spec: RunSpec, group_numbers: range) -> None:
    """Body of a worker: answer until the learner closes the connection."""
    torch.set_num_threads(1)
    try:
        groups = [ActorGroup(spec, group) for group in group_numbers]
        model = make_model(spec, OBSERVATION_SIZE, ACTION_DIMENSIONS)
        while True:
            match connection.recv():
                case "collect", weights, round_number:
                    model.load_state_dict(torch.load(io.BytesIO(weights), weights_only=True))
                    answer: list[Any] = [group.collect(model, round_number) for group in groups]
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
