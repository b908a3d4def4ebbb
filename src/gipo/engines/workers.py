"""Collectors of a lockstep run: this process, or worker processes that collect while the learner learns."""

from __future__ import annotations

import io
import traceback
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from gipo.engines.actors import ActorGroup, Episode
from gipo.engines.suites import Arrays, make_suite
from gipo.errors import GipoError
from gipo.replay import Segments
from gipo.runs.spec import RunSpec

Collected = tuple[Arrays, list[Episode]]
"""Segments of a group in a round, and the episodes that ended in it."""
Row = dict[str, float]
"""Result of an evaluation episode."""


class Collectors(Protocol):
    """Steps all groups of environments of a run, and plays its evaluation episodes."""

    def start(self, weights: dict[str, Tensor], round_number: int) -> None:
        """Collect a round with the policy of these weights (`gipo.learner.Learner.weights`)."""

    def finish(self) -> tuple[Segments, list[Episode]]:
        """The segments of the round, in the order of the environments, and the episodes that ended in it."""

    def evaluate(self, weights: dict[str, Tensor], update: int) -> list[Row]:
        """Rows of all evaluation episodes, see `gipo.engines.suites.RunSuite.evaluate`; also while a round is begun."""

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
    """Groups in this process, one after the other, on the CPU: all of the run, or w, w + workers, ... of worker w."""

    def __init__(self, spec: RunSpec, pretrained: Path, worker: int = 0, workers: int = 1) -> None:
        self.suite = make_suite(spec, pretrained)
        self.actor = self.suite.make_actor(torch.device("cpu"))
        self.groups = [ActorGroup(spec, self.suite, number) for number in spec.replay.groups[worker::workers]]
        self.evaluation_groups = spec.evaluation_groups[worker::workers]
        self.collected: list[Collected] = []

    def start(self, weights: dict[str, Tensor], round_number: int) -> None:
        """Collect at once."""
        self.actor.load(weights)
        self.collected = [group.collect(self.actor, round_number) for group in self.groups]

    def finish(self) -> tuple[Segments, list[Episode]]:
        """The segments and episodes that `start` collected."""
        return _merge(self.collected)

    def evaluate(self, weights: dict[str, Tensor], update: int) -> list[Row]:
        """Play the episodes group by group."""
        return [row for rows in self.evaluate_groups(weights, update) for row in rows]

    def evaluate_groups(self, weights: dict[str, Tensor], update: int) -> list[list[Row]]:
        """The same, a list for each group."""
        self.actor.load(weights)
        return [self.suite.evaluate(self.actor, update, episodes) for episodes in self.evaluation_groups]

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
    """Groups dealt out to processes, see `LocalCollectors`."""

    def __init__(self, spec: RunSpec, pretrained: Path, workers: int) -> None:
        self.spec, self.groups = spec, len(spec.replay.groups)
        self._collecting = False
        self._collected: list[Collected] = []
        context = get_context("spawn")
        self.connections: list[Connection] = []
        self.processes = []
        for worker in range(workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, spec, pretrained, worker, workers), daemon=True)
            process.start()
            theirs.close()
            self.connections.append(ours)
            self.processes.append(process)

    def start(self, weights: dict[str, Tensor], round_number: int) -> None:
        """Send the weights; the workers collect while this process goes on."""
        self._ask("collect", _bytes(weights), round_number)
        self._collecting = True

    def finish(self) -> tuple[Segments, list[Episode]]:
        """Wait for the round of every worker."""
        self._wait_for_the_round()
        return _merge(self._collected)

    def evaluate(self, weights: dict[str, Tensor], update: int) -> list[Row]:
        """Wait for the round that was begun, if one was, then for the workers' share of the episodes."""
        self._ask("evaluate", _bytes(weights), update)
        self._wait_for_the_round()
        return [row for rows in self._receive(len(self.spec.evaluation_groups)) for row in rows]

    def state(self) -> list[Any]:
        """Ask every worker for the state of its groups."""
        self._ask("state")
        return self._receive(self.groups)

    def load_state(self, state: list[Any]) -> None:
        """Send every worker the state of its groups."""
        workers = len(self.connections)
        for worker in range(workers):
            self._send(worker, "load_state", state[worker::workers])
        self._receive(self.groups)

    def close(self) -> None:
        """End the workers."""
        for connection in self.connections:
            connection.close()
        for process in self.processes:
            process.join()

    def _ask(self, *message: Any) -> None:
        for worker in range(len(self.connections)):
            self._send(worker, *message)

    def _send(self, worker: int, *message: Any) -> None:
        try:
            self.connections[worker].send(message)
        except OSError as error:
            raise self._death(worker) from error

    def _wait_for_the_round(self) -> None:
        if self._collecting:
            self._collected = self._receive(self.groups)
            self._collecting = False

    def _receive(self, groups: int) -> list[Any]:
        """One answer per group, in group order."""
        answers: list[Any] = [None] * groups
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


def _bytes(weights: dict[str, Tensor]) -> bytes:
    saved = io.BytesIO()
    torch.save(weights, saved)
    return saved.getvalue()


def _weights(content: bytes) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = torch.load(io.BytesIO(content), weights_only=True)
    return weights


def _merge(collected: list[Collected]) -> tuple[Segments, list[Episode]]:
    """The arrays of all groups as one set of segments, and their episodes."""
    arrays = [group for group, _ in collected]
    segments = {name: torch.from_numpy(np.concatenate([group[name] for group in arrays])) for name in arrays[0]}
    return Segments(**segments), [episode for _, episodes in collected for episode in episodes]


def _serve(connection: Connection, spec: RunSpec, pretrained: Path, worker: int, workers: int) -> None:
    """Body of a worker: answer for each of its groups until the learner closes the connection."""
    torch.set_num_threads(1)
    try:
        local = LocalCollectors(spec, pretrained, worker, workers)
        while True:
            answer: list[Any] = []
            match connection.recv():
                case "collect", weights, round_number:
                    local.start(_weights(weights), round_number)
                    answer = local.collected
                case "evaluate", weights, update:
                    answer = local.evaluate_groups(_weights(weights), update)
                case ("state",):
                    answer = local.state()
                case "load_state", states:
                    local.load_state(states)
                    answer = [None] * len(states)
            connection.send((True, answer))
    except (EOFError, ConnectionError, KeyboardInterrupt):
        return
    except Exception:
        with suppress(ConnectionError):
            connection.send((False, traceback.format_exc()))
