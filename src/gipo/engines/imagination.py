"""A run's imagination: its world model, a replay of branches, and their comparison with the simulator.

Both engines have it, beside a learner that knows nothing of it: `gipo.engines.imagining` in lockstep,
`gipo.engines.asynchronous.imagining` beside processes that collect meanwhile.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gipo.engines.suites import Environment, RunSuite
from gipo.imagination import branches
from gipo.imagination.checks import check
from gipo.imagination.model import Experience, Fit, WorldModel
from gipo.learner import Learner
from gipo.replay import Replay
from gipo.runs.directory import RunDirectory
from gipo.runs.spec import RunSpec
from gipo.runs.streams import Stream
from gipo.tables import RUN_IMAGINATION, write_table


class Imagination:
    """A world model that is fitted from time to time, and what was imagined with it.

    The model is on the CPU; the replay of branches is where the learner's transitions are. It holds as many times more
    of them than the replay of real ones as an update learns from.

    Args:
        spec: the run, with a section ``imagination``.
        suite: of the run.
        device: where the replay of branches lies.
    """

    def __init__(self, spec: RunSpec, suite: RunSuite, device: torch.device) -> None:
        assert spec.imagination
        self.spec, self.settings, self.suite = spec, spec.imagination, suite
        size, dimensions = suite.observation_size, suite.action_dimensions
        self.fits: list[Fit] = []
        self.fitted_at = 0
        """Updates made before the latest fit."""
        self.rows: list[dict[str, Any]] = []
        """Of imagination.parquet."""
        self.model = WorldModel(size, dimensions, self.settings.hidden, self._generator())
        self.actor = suite.make_actor(torch.device("cpu"))
        self._simulator: Environment | None = None
        self.replay: Replay | None = None
        """Of imagined transitions; None where nothing is learned from any."""
        if self.settings.ratio:
            length = self.settings.length
            capacity = math.ceil(self.settings.ratio * spec.replay.capacity / length) * length
            self.replay = Replay(capacity, length, size, dimensions, device, suite.observation_dtype, cut=True)

    @property
    def by_success(self) -> bool:
        """Whether steps are rewarded by the change of success."""
        return self.settings.reward == "success"

    def unscaled(self, changes: Tensor) -> Tensor:
        """Rewards by success such that a success counts 1: the learner's scale is that of the simulator's rewards."""
        return changes / self.spec.learner.reward_scale

    def fit_is_due(self, updates: int, env_steps: int) -> bool:
        """Whether the model is to be fitted before the next update."""
        if env_steps < self.settings.warmup_steps:
            return False
        return not self.fits or updates - self.fitted_at >= self.settings.refit_every

    def fit(self, learned: Experience, held_out: Experience, updates: int) -> None:
        """Fit the model to what the replay holds, after so many updates."""
        self.fits.append(self.model.fit(learned, held_out, self.settings.fit_steps, self._generator()))
        self.fitted_at = updates

    def due(self, made: int, updates: int) -> int:
        """Branches that keep their replay at its lifetime while so many updates are made after those ``made``."""
        if self.replay is None or not self.fits:
            return 0
        each = self.replay.slots / (self.settings.lifetime * self.spec.learner.updates)  # branches an update
        return min(math.floor((made + updates) * each) - math.floor(made * each), self.replay.slots)

    def imagine(self, starts: branches.Starts, learner: Learner, generator: np.random.Generator) -> None:
        """Put branches of the learner's policy into their replay, with its version and its targets.

        Args:
            starts: real states, in which they begin.
            learner: has the policy.
            generator: draws the tokens.
        """
        assert self.replay is not None
        settings, bins = self.settings, self.spec.environment.bins
        shape = settings.length, len(starts.observations), self.suite.action_dimensions
        self.actor.load(learner.weights())
        uniforms = generator.random(shape, dtype="float32")
        found = branches.imagine(self.model, self.actor, starts.observations, uniforms, bins)
        if starts.solved is not None:
            found = replace(found, rewards=self.unscaled(found.changes_of_success(starts.solved)))
        segments = found.segments(settings.disagreement).to(self.replay.device)
        self.replay.append(segments, *learner.targets(segments, bootstraps=True), version=learner.updates)

    @property
    def share(self) -> int:
        """Imagined transitions in every micro-batch, of which one at least is real."""
        if self.replay is None or not len(self.replay):
            return 0
        ratio, batch = self.settings.ratio, self.spec.learner.batch_size
        return min(batch - 1, round(batch * ratio / (1 + ratio)))

    def draw(self, shape: tuple[int, ...], key: int) -> Tensor:
        """Positions among the imagined transitions, int64 [*shape, share].

        Args:
            shape: of the micro-batches.
            key: of the random stream, another one for every call.
        """
        assert self.replay is not None
        generator = self.spec.generator(Stream.IMAGINED, key)
        drawn = torch.from_numpy(generator.integers(len(self.replay), size=(*shape, self.share)))
        return self.replay.positions(drawn.to(self.replay.device))

    def check(self, learner: Learner, env_steps: int) -> None:
        """Compare branches of the learner's policy with the simulator, once the model was fitted."""
        if not self.fits:
            return
        if self._simulator is None:
            self._simulator = self.suite.make_environment()
        update, settings = learner.updates, self.spec.environment
        generator = self.spec.generator(Stream.CHECKS, update)
        seeds = generator.integers(2**63, size=self.settings.branches).tolist()
        self.actor.load(learner.weights())
        rows = check(self.model, self.actor, self._simulator, seeds, settings.episode_steps, settings.bins, generator)
        now = {
            "update": update,
            "env_steps": env_steps,
            "fits": len(self.fits),
            "fit_steps": self.fits[-1].steps,
            "held_out": self.fits[-1].after,
            "kept": math.nan if self.replay is None else float(self.replay.lengths.double().mean()),
        }
        self.rows += [now | row for row in rows]

    def state(self) -> dict[str, Any]:
        """All that the rest of the run depends on."""
        return {
            "model": self.model.state(),
            "fits": [tuple(vars(fit).values()) for fit in self.fits],
            "fitted_at": self.fitted_at,
            "replay": None if self.replay is None else self.replay.state(),
            "rows": self.rows,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.model.load_state(state["model"])
        self.fits = [Fit(*fit) for fit in state["fits"]]
        self.fitted_at, self.rows = state["fitted_at"], state["rows"]
        if self.replay is not None:
            self.replay.load_state(state["replay"])

    def _generator(self) -> torch.Generator:
        """Of the first weights, then of each fit."""
        seed = self.spec.generator(Stream.MODEL, len(self.fits)).integers(2**63)
        return torch.Generator().manual_seed(int(seed))


def write_checks(directory: RunDirectory, rows: list[dict[str, Any]]) -> None:
    """Write the table of the comparisons of a run that is at its end."""
    write_table(directory.imagination, pd.DataFrame(rows, columns=list(RUN_IMAGINATION)), RUN_IMAGINATION)
