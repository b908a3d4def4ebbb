"""The evaluator: plays the snapshots that the learner leaves, while training goes on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from gipo.engines.asynchronous.processes import Process
from gipo.engines.asynchronous.simulators import Simulators
from gipo.engines.asynchronous.snapshots import Snapshots
from gipo.engines.asynchronous.watchdog import Heartbeat
from gipo.engines.suites import make_suite
from gipo.runs import checkpoint
from gipo.runs.spec import RunSpec


class EvaluatorProcess:
    """Evaluates every snapshot of a run, oldest first, on the same episodes as lockstep would.

    It has the model, and each of its simulators is a process of its own.

    Args:
        spec: the run.
        path: its directory.
        pretrained: where pretrained models lie.
        device: where the model lives.
        simulators: how many it plays in at once.
        process: which process this is.
    """

    def __init__(
        self, spec: RunSpec, path: Path, pretrained: Path, device: str, simulators: int, process: Process
    ) -> None:
        self.heartbeat = Heartbeat(process)
        torch.set_num_threads(1)
        self.snapshots = Snapshots(path)
        self.simulators = Simulators(spec, pretrained, simulators)
        self.actor = make_suite(spec, pretrained).make_actor(torch.device(device))

    def run(self) -> None:
        """Evaluate until the process is ended."""
        while True:
            if snapshot := self.snapshots.take():
                state = checkpoint.load(snapshot)
                self.actor.load(state["policy"])
                now = {"update": state["update"], "env_steps": state["env_steps"]}
                rows = self._evaluate(state["update"])
                self.snapshots.evaluated(snapshot, [now | row for row in rows])
            else:
                time.sleep(Snapshots.PAUSE)

    def _evaluate(self, update: int) -> list[dict[str, Any]]:
        """Play, which may take as long as it likes while it goes on from action to action."""
        doing = f"the evaluation at update {update}"
        with self.heartbeat.watch(doing):
            return self.simulators.evaluate(self.actor, update, lambda: self.heartbeat.renew(doing))
