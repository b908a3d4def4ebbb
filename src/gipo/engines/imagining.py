"""The lockstep engine with a world model: updates learn from real transitions and from imagined ones.

The model is fitted to the replay before the updates of a round, from so many env steps on and every so many updates.
Then branches are imagined with the learner's policy as it stands. They are segments of a replay of their own, with that
policy's version and the learner's targets, and an update draws from both in the run's ratio. In every other respect the
run is one of `gipo.engines.lockstep`, and with a ratio of 0 it is the same run to the bit.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from gipo.engines import lockstep
from gipo.engines.suites import Environment
from gipo.imagination import branches
from gipo.imagination.checks import check
from gipo.imagination.model import Fit, WorldModel
from gipo.learner import Transitions
from gipo.replay import Replay
from gipo.runs.directory import RunDirectory
from gipo.runs.progress import ProgressLog
from gipo.runs.provenance import Origin
from gipo.runs.spec import RunSpec
from gipo.runs.streams import Stream
from gipo.tables import RUN_IMAGINATION, write_table


class ImaginingRun(lockstep.Run):
    """A run with a world model, and a replay of what was imagined with it."""

    def __init__(self, spec: RunSpec, origin: Origin, workers: int, device: torch.device, pretrained: Path) -> None:
        assert spec.imagination
        self.settings = spec.imagination
        super().__init__(spec, origin, workers, device, pretrained)
        size, dimensions = self.suite.observation_size, self.suite.action_dimensions
        self.fits: list[Fit] = []
        self.fitted_at = 0
        """Updates made before the latest fit."""
        self.rows: list[dict[str, Any]] = []
        """Of imagination.parquet."""
        self.model = WorldModel(size, dimensions, self.settings.hidden, self._generator())
        self.actor = self.suite.make_actor(torch.device("cpu"))
        self._simulator: Environment | None = None

    def transitions(self) -> Transitions:
        """Real and imagined ones; the replay of these holds as many times more as an update learns from."""
        self.imagined: Replay | None = None
        if not self.settings.ratio:
            return self.replay
        length, size = self.settings.length, self.settings.ratio * self.spec.replay.capacity
        self.imagined = Replay(
            math.ceil(size / length) * length,
            length,
            self.suite.observation_size,
            self.suite.action_dimensions,
            self.replay.device,
            self.suite.observation_dtype,
            cut=True,
        )
        return branches.Mixture(self.replay, self.imagined)

    def _learn(self, progress: ProgressLog) -> None:
        """Imagine for the updates that are due, then make them."""
        if (updates := self.due()) > 0 and self.env_steps >= self.settings.warmup_steps:
            if not self.fits or self.learner.updates - self.fitted_at >= self.settings.refit_every:
                self._fit()
            if self.imagined is not None:
                self._imagine(self.imagined, updates)
        super()._learn(progress)

    def _fit(self) -> None:
        """Fit the model to what the replay holds."""
        learned, held_out = (
            branches.experience(self.replay.gather_segments(slots), self.spec.environment.bins)
            for slots in branches.split(self.replay)
        )
        self.fits.append(self.model.fit(learned, held_out, self.settings.fit_steps, self._generator()))
        self.fitted_at = self.learner.updates

    def _imagine(self, imagined: Replay, updates: int) -> None:
        """Put the branches into their replay that keep it at its lifetime while so many updates are made."""
        made, settings = self.learner.updates, self.settings
        each = imagined.slots / (settings.lifetime * self.spec.learner.updates)  # branches an update
        count = min(math.floor((made + updates) * each) - math.floor(made * each), imagined.slots)
        if not count:
            return
        generator, bins = self.spec.generator(Stream.BRANCHES, self.rounds), self.spec.environment.bins
        states = branches.starts(self.replay, settings.length, count, generator)
        shape = settings.length, count, self.suite.action_dimensions
        self.actor.load(self.learner.weights())
        found = branches.imagine(self.model, self.actor, states, generator.random(shape, dtype="float32"), bins)
        segments = found.segments(settings.disagreement).to(imagined.device)
        imagined.append(segments, *self.learner.targets(segments, bootstraps=True), version=made)

    def _draw(self, count: int) -> Tensor:
        """As in lockstep; then the last positions of every micro-batch give way to those of imagined transitions."""
        index = super()._draw(count)
        if self.imagined is None or not (size := len(self.imagined)):
            return index
        ratio, batch = self.settings.ratio, self.spec.learner.batch_size
        share = round(batch * ratio / (1 + ratio))
        generator = self.spec.generator(Stream.IMAGINED, self.rounds)
        drawn = torch.from_numpy(generator.integers(size, size=(*index.shape[:2], share))).to(index.device)
        index[..., batch - share :] = self.replay.versions.numel() + self.imagined.positions(drawn)
        return index

    def _evaluate(self) -> None:
        """Evaluate the policy, and compare branches of it with the simulator."""
        super()._evaluate()
        if not self.fits:
            return
        if self._simulator is None:
            self._simulator = self.suite.make_environment()
        update, settings = self.learner.updates, self.spec.environment
        generator = self.spec.generator(Stream.CHECKS, update)
        seeds = generator.integers(2**63, size=self.settings.branches).tolist()
        self.actor.load(self.learner.weights())
        rows = check(self.model, self.actor, self._simulator, seeds, settings.episode_steps, settings.bins, generator)
        now = {
            "update": update,
            "env_steps": self.env_steps,
            "fits": len(self.fits),
            "fit_steps": self.fits[-1].steps,
            "held_out": self.fits[-1].after,
            "kept": float(self.imagined.lengths.double().mean()) if self.imagined is not None else math.nan,
        }
        self.rows += [now | row for row in rows]

    def _generator(self) -> torch.Generator:
        """Of the first weights, then of each fit."""
        seed = self.spec.generator(Stream.MODEL, len(self.fits)).integers(2**63)
        return torch.Generator().manual_seed(int(seed))

    def state(self) -> dict[str, Any]:
        """All that the rest of the run depends on."""
        return super().state() | {
            "model": self.model.state(),
            "fits": [tuple(vars(fit).values()) for fit in self.fits],
            "fitted_at": self.fitted_at,
            "imagined": None if self.imagined is None else self.imagined.state(),
            "rows": self.rows,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        super().load_state(state)
        self.model.load_state(state["model"])
        self.fits = [Fit(*fit) for fit in state["fits"]]
        self.fitted_at, self.rows = state["fitted_at"], state["rows"]
        if self.imagined is not None:
            self.imagined.load_state(state["imagined"])

    def write(self, directory: RunDirectory) -> None:
        """Write the results of a run that is at its end."""
        write_table(directory.imagination, pd.DataFrame(self.rows, columns=list(RUN_IMAGINATION)), RUN_IMAGINATION)
        self.record.write(self.spec, directory, self.learner.weights(), self.env_steps, others=[directory.imagination])


train = partial(lockstep.train, kind=ImaginingRun)
"""`gipo.engines.lockstep.train` for a run with a section ``imagination``; the world model is always on the CPU."""
