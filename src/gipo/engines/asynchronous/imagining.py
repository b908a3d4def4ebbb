"""The asynchronous engine with a world model: the learner's process fits it, and imagines with it.

    replay ----transitions, states in which branches begin----> learner

Both are asked for before a request's updates: the model is fitted to what the replay holds then, and branches begin in
states that it holds then. While a model is fitted the learner makes no update, and no more is collected than was
promised for the updates that it has asked for, so the lifetime of real transitions stays what the run says. What was
imagined lies in the learner's process, in a replay of its own, and every micro-batch takes its share of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy.typing as npt

from gipo.engines.asynchronous import supervisor
from gipo.engines.asynchronous.learner import LearnerProcess
from gipo.engines.asynchronous.replay import ReplayServer
from gipo.engines.asynchronous.watchdog import WORK_SECONDS
from gipo.engines.imagination import Imagination, write_checks
from gipo.engines.suites import make_suite
from gipo.imagination import branches
from gipo.imagination.branches import Starts
from gipo.imagination.model import Experience
from gipo.learner import Learner
from gipo.runs.directory import RunDirectory
from gipo.runs.streams import Stream


class ImaginingReplay(ReplayServer):
    """A replay that a world model learns from."""

    async def experience(self) -> tuple[Experience, Experience]:
        """Transitions to learn from, and those held out."""
        async with self.changed:
            return branches.experience_of(self.store, self.spec.environment.bins)

    async def starts(self, length: int, count: int, key: int) -> Starts:
        """States in which so many branches of ``length`` steps begin; another ``key`` draws others."""
        async with self.changed:
            return branches.starts(self.store, length, count, self.spec.generator(Stream.BRANCHES, 0, key))


class ImaginingLearner(LearnerProcess):
    """A learner that learns from real transitions and from imagined ones; arguments are `LearnerProcess`'s."""

    TIMES = 8
    """Times, at least, that something is imagined while the imagined transitions are replaced once."""
    STEP_SECONDS = 1.0
    """Time that each step of a fit, or env step of a comparison, may take beside that of any piece of work."""

    learner: Learner
    """Of the network of vectors, as the spec of such a run sees to."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.imagination = Imagination(self.spec, make_suite(self.spec, self.pretrained), self.staging.device)

    @property
    def at_once(self) -> int:
        """Fewer where imagined transitions would be replaced too many at a time, or the model fitted too late."""
        settings = self.imagination.settings
        lifetime = settings.lifetime * self.spec.learner.updates
        return max(1, min(super().at_once, int(lifetime / self.TIMES), settings.refit_every))

    def _learn(self, batches: dict[str, npt.NDArray[Any]]) -> None:
        """Fit the model and imagine for the updates that the batches suffice for, then make them."""
        made, settings = self.learner.updates, self.imagination.settings
        if self.imagination.fit_is_due(made, int(batches["env_steps"])):
            learned, held_out = self.replay.ask("experience")
            with self.heartbeat.watch("fit of the world model", self._patience(settings.fit_steps)):
                self.imagination.fit(learned, held_out, made)
        if count := self.imagination.due(made, len(batches["versions"]) // self.staging.size):
            starts = self.replay.ask("starts", settings.length, count, made)
            with self.heartbeat.watch("imagined branches"):
                generator = self.spec.generator(Stream.BRANCHES, 1, made)
                self.imagination.imagine(starts, self.learner, generator)
        if self.imagination.share:
            batches |= self._mixed(batches, made)
        super()._learn(batches)

    def _patience(self, steps: int) -> float:
        return WORK_SECONDS + self.STEP_SECONDS * steps

    def _mixed(self, batches: dict[str, npt.NDArray[Any]], key: int) -> dict[str, npt.NDArray[Any]]:
        """The fields of a batch; the last transitions of every micro-batch are imagined ones."""
        share, replay, size = self.imagination.share, self.imagination.replay, self.staging.shape[1]
        assert replay is not None
        drawn = self.imagination.draw((len(batches["versions"]) // size,), key)
        mixed = {}
        for name, tensor in replay.gather(drawn.flatten()).tensors().items():
            mixed[name] = batches[name].copy()
            of_micro_batches = mixed[name].reshape(-1, size, *mixed[name].shape[1:])
            of_micro_batches[:, -share:] = tensor.cpu().numpy().reshape(of_micro_batches[:, -share:].shape)
        return mixed

    def _leave_snapshot(self) -> None:
        """Leave the policy for evaluation, and compare branches of it with the simulator."""
        super()._leave_snapshot()
        steps = self.imagination.settings.branches * self.spec.environment.episode_steps
        with self.heartbeat.watch("comparison of branches with the simulator", self._patience(steps)):
            self.imagination.check(self.learner, self.env_steps)

    def state(self) -> dict[str, Any]:
        """All that the rest of the run depends on, besides what the replay holds."""
        return super().state() | {"imagination": self.imagination.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        super().load_state(state)
        self.imagination.load_state(state["imagination"])


@dataclass(frozen=True)
class ImaginingKind(supervisor.Kind):
    """A run with a world model."""

    learner: type[LearnerProcess] = ImaginingLearner
    replay: type[ReplayServer] = ImaginingReplay

    def write_more(self, directory: RunDirectory, state: dict[str, Any]) -> list[Path]:
        """Write the comparisons of branches with the simulator."""
        write_checks(directory, state["imagination"]["rows"])
        return [directory.imagination]


train = partial(supervisor.train, kind=ImaginingKind())
"""`gipo.engines.asynchronous.supervisor.train` for a run with a section ``imagination``."""
