"""The lockstep engine with a world model: updates learn from real transitions and from imagined ones.

The model is fitted to the replay before the updates of a round, from so many env steps on and every so many updates.
Then branches are imagined with the learner's policy as it stands. They are segments of a replay of their own, with that
policy's version and the learner's targets, and an update draws from both in the run's ratio. In every other respect the
run is one of `gipo.engines.lockstep`, and with a ratio of 0 it is the same run to the bit.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gipo.engines import lockstep
from gipo.engines.imagination import Imagination, write_checks
from gipo.imagination import branches
from gipo.learner import Transitions
from gipo.replay import Segments
from gipo.runs.directory import RunDirectory
from gipo.runs.progress import ProgressLog
from gipo.runs.provenance import Origin
from gipo.runs.spec import RunSpec
from gipo.runs.streams import Stream


class ImaginingRun(lockstep.Run):
    """A run with a world model, and a replay of what was imagined with it."""

    def __init__(self, spec: RunSpec, origin: Origin, workers: int, device: torch.device, pretrained: Path) -> None:
        super().__init__(spec, origin, workers, device, pretrained)
        self.solved = torch.zeros(spec.replay.environments, dtype=torch.bool)
        """Whether the task is solved in the state that each environment is in."""

    def transitions(self) -> Transitions:
        """Real and imagined ones."""
        self.imagination = Imagination(self.spec, self.suite, self.replay.device)
        imagined = self.imagination.replay
        return self.replay if imagined is None else branches.Mixture(self.replay, imagined)

    def rewarded(self, segments: Segments) -> Segments:
        """Where imagined steps are rewarded by the change of success, real ones are too."""
        if not self.imagination.by_success:
            return segments
        changes, self.solved = branches.changes_of_success(segments, self.solved.to(segments.rewards.device))
        return replace(segments, rewards=self.imagination.unscaled(changes))

    def _learn(self, progress: ProgressLog) -> None:
        """Imagine for the updates that are due, then make them."""
        made, updates = self.learner.updates, self.due()
        if updates > 0:
            if self.imagination.fit_is_due(made, self.env_steps):
                self.imagination.fit(*branches.experience_of(self.replay, self.spec.environment.bins), made)
            if count := self.imagination.due(made, updates):
                generator = self.spec.generator(Stream.BRANCHES, self.rounds)
                length, by_success = self.imagination.settings.length, self.imagination.by_success
                starts = branches.starts(self.replay, length, count, generator, by_success)
                self.imagination.imagine(starts, self.learner, generator)
        super()._learn(progress)

    def _draw(self, count: int) -> Tensor:
        """As in lockstep; then the last positions of every micro-batch give way to those of imagined transitions."""
        index = super()._draw(count)
        if share := self.imagination.share:
            first = self.replay.versions.numel()
            index[..., -share:] = first + self.imagination.draw(index.shape[:2], self.rounds)
        return index

    def _evaluate(self) -> None:
        """Evaluate the policy, and compare branches of it with the simulator."""
        super()._evaluate()
        self.imagination.check(self.learner, self.env_steps)

    def state(self) -> dict[str, Any]:
        """All that the rest of the run depends on."""
        return super().state() | {"imagination": self.imagination.state(), "solved": self.solved}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        super().load_state(state)
        self.imagination.load_state(state["imagination"])
        self.solved = state["solved"]

    def write(self, directory: RunDirectory) -> None:
        """Write the results of a run that is at its end."""
        write_checks(directory, self.imagination.rows)
        self.record.write(self.spec, directory, self.learner.weights(), self.env_steps, others=[directory.imagination])


train = partial(lockstep.train, kind=ImaginingRun)
"""`gipo.engines.lockstep.train` for a run with a section ``imagination``; the world model is always on the CPU."""
