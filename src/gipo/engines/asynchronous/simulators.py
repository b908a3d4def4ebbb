"""The evaluator's simulators, each in a process of its own; one model acts for all of them."""

from __future__ import annotations

import ctypes
import signal
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gipo.engines.suites import Actor, Array, make_suite
from gipo.errors import GipoError
from gipo.runs.spec import RunSpec


class SimulatorLostError(Exception):
    """A simulator's process died."""


class Simulators:
    """Plays the evaluation episodes of a run, several groups of them at once.

    A group (`gipo.engines.suites.RunSuite.evaluation_groups`) goes to the next process that is free. It has inference
    batches of its own, so its results are the same whatever is played beside it.

    Args:
        spec: the run.
        pretrained: where pretrained models lie; their statistics say what actions mean.
        count: processes, at most.
    """

    def __init__(self, spec: RunSpec, pretrained: Path, count: int) -> None:
        self.spec, self.groups = spec, make_suite(spec, pretrained).evaluation_groups()
        context = get_context("spawn")
        self.connections: list[Connection] = []
        for _ in range(min(count, len(self.groups))):
            ours, theirs = context.Pipe()
            context.Process(target=_serve, args=(theirs, spec, pretrained), daemon=True).start()
            theirs.close()
            self.connections.append(ours)

    def evaluate(self, actor: Actor, update: int, moved_on: Callable[[], object]) -> list[dict[str, Any]]:
        """Play all episodes; their rows in order, see `gipo.engines.suites.RunSuite.evaluate`.

        Args:
            actor: has the weights.
            update: that made them.
            moved_on: is called whenever a simulator asks for actions or is done with its group.

        Raises:
            SimulatorLostError: one died; the others are in no known state.
            GipoError: one failed.
        """
        try:
            rows = self._play(actor, update, moved_on)
        except (EOFError, OSError) as error:
            raise SimulatorLostError(f"a simulator of the evaluation of run {self.spec.run_id} died") from error
        return sorted(rows, key=lambda row: int(row["episode"]))

    def _play(self, actor: Actor, update: int, moved_on: Callable[[], object]) -> list[dict[str, Any]]:
        waiting, rows = self.groups[::-1], []
        playing = list(self.connections)
        for connection in playing:
            connection.send((update, waiting.pop()))
        while playing:
            ready: list[Any] = wait(playing)
            for connection in ready:
                moved_on()
                match connection.recv():
                    case "observations", observations:
                        connection.send(actor.logits(observations))
                    case "rows", played if waiting:
                        rows += played
                        connection.send((update, waiting.pop()))
                    case "rows", played:
                        rows += played
                        playing.remove(connection)
                    case "error", error:
                        raise GipoError(error)
        return rows


class _Distant(Actor):
    """The evaluator's model, seen from a simulator's process."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(nn.Identity(), lambda weights: None, torch.device("cpu"))
        self.connection = connection

    def logits(self, observations: Array) -> Array:
        """See `Actor.logits`."""
        self.connection.send(("observations", observations))
        logits: Array = self.connection.recv()
        return logits


def _serve(connection: Connection, spec: RunSpec, pretrained: Path) -> None:
    """Body of a simulator's process: plays the groups that it is given until the evaluator ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: nor does a call that hangs outlive the evaluator
    torch.set_num_threads(1)
    actor = _Distant(connection)
    try:
        suite = make_suite(spec, pretrained)
        while True:
            update, episodes = connection.recv()
            connection.send(("rows", suite.evaluate(actor, update, episodes)))
    except (EOFError, ConnectionError, KeyboardInterrupt):
        return
    except GipoError as error:
        _tell(connection, str(error))
    except Exception:
        _tell(connection, f"the evaluation of run {spec.run_id} failed:\n{traceback.format_exc()}")


def _tell(connection: Connection, error: str) -> None:
    with suppress(ConnectionError):
        connection.send(("error", error))
