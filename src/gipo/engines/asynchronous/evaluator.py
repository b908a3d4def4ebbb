"""The evaluator: plays the snapshots that the learner leaves, while training goes on."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from gipo.engines.asynchronous.snapshots import Snapshots
from gipo.engines.suites import make_suite
from gipo.runs import checkpoint
from gipo.runs.spec import RunSpec


class EvaluatorProcess:
    """Evaluates every snapshot of a run, oldest first, on the same episodes as lockstep would.

    Args:
        spec: the run.
        path: its directory.
        pretrained: where pretrained models lie.
        device: where the model lives.
    """

    def __init__(self, spec: RunSpec, path: Path, pretrained: Path, device: str) -> None:
        torch.set_num_threads(1)
        self.spec, self.snapshots = spec, Snapshots(path)
        self.suite = make_suite(spec, pretrained)
        self.actor = self.suite.make_actor(torch.device(device))

    def run(self) -> None:
        """Evaluate until the policy after the last update is evaluated."""
        while not self.snapshots.is_evaluated(self.spec.learner.updates):
            if snapshot := self.snapshots.take():
                state = checkpoint.load(snapshot)
                self.actor.load(state["policy"])
                now = {"update": state["update"], "env_steps": state["env_steps"]}
                rows = self.suite.evaluate(self.actor, state["update"])
                self.snapshots.evaluated(snapshot, [now | row for row in rows])
            else:
                time.sleep(Snapshots.PAUSE)
