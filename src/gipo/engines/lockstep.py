"""The lockstep engine: deterministic, one machine.

A round: while the learner makes the updates that the env steps so far have paid for, on the replay as it stood at the
start of the round, the actors collect one segment per environment with the policy as it stood at the start of the
round; then the segments enter the replay. Same spec, same metrics, bit for bit on one numeric class
(`gipo.runs.numerics`), however many workers collect and however often the run was killed and started again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gipo.engines.attempt import attempt, check_device, unfinished
from gipo.engines.record import Record
from gipo.engines.suites import make_suite
from gipo.engines.workers import make_collectors
from gipo.errors import GipoError
from gipo.learner import Learner, Transitions
from gipo.replay import Pace, Replay, Segments
from gipo.runs import checkpoint
from gipo.runs.directory import RunDirectory
from gipo.runs.progress import ProgressLog
from gipo.runs.provenance import Origin
from gipo.runs.spec import RunSpec
from gipo.runs.streams import Stream


def train(
    spec: RunSpec,
    path: Path,
    *,
    workers: int = 0,
    device: str = "cpu",
    pretrained: Path = Path("results/pretrained"),
    checkpoint_seconds: float = 60.0,
    tell: Callable[[str], None] = print,
    kind: type[Run] | None = None,
) -> None:
    """Train one run to its end, from its checkpoint where there is one, and write its results into ``path``.

    Args:
        spec: the run.
        path: its directory.
        workers: processes that collect and evaluate; 0: this one does.
        device: where replay and learner live, ``cpu`` or ``cuda``; the actors' copy of the policy is always on the CPU.
        pretrained: where pretrained models lie, as ``<repository>/<revision>``.
        checkpoint_seconds: seconds between checkpoints.
        tell: takes one line of progress every few seconds.
        kind: of the run, `Run` by default; `gipo.engines.imagining` has the one with a world model.

    Raises:
        GipoError: there is no such device, the directory is another run's or in use by another process, its checkpoint
            is corrupt, a worker died, the disk is full, or a loss is not finite.
    """
    if spec.imagination and kind is None:
        raise GipoError(f"run {spec.run_id} has a world model: gipo.engines.imagining trains it")
    check_device(device)
    torch.set_num_threads(1)

    def work(directory: RunDirectory, origin: Origin, tell: Callable[[str], None]) -> None:
        run = (kind or Run)(spec, origin, workers, torch.device(device), pretrained.resolve())
        try:
            run.restore(directory, tell)
            run.loop(directory, checkpoint_seconds, ProgressLog(spec, directory, tell))
        finally:
            run.collectors.close()
        run.write(directory)

    attempt(spec, path, work, tell)


class Run:
    """The state of a run between two rounds, and the round."""

    def __init__(self, spec: RunSpec, origin: Origin, workers: int, device: torch.device, pretrained: Path) -> None:
        replay = spec.replay
        self.spec = spec
        self.record = Record(origin, device)
        self.pace = Pace(replay.capacity, spec.lifetime_updates, replay.warmup_steps)
        self.suite = make_suite(spec, pretrained)
        self.replay = Replay(
            replay.capacity,
            replay.segment_length,
            self.suite.observation_size,
            self.suite.action_dimensions,
            device,
            self.suite.observation_dtype,
            bins=spec.environment.bins if spec.learner.kl == "exact" else None,
            cut=replay.segments == "per-episode",
            successes=spec.imagination is not None,
        )
        learner = self.suite.make_learner(self.transitions())
        assert isinstance(learner, Learner)  # as the spec of a lockstep run sees to
        self.learner = learner
        self.collectors = make_collectors(spec, pretrained, workers)
        self.rounds = 0
        self.env_steps = 0

    def transitions(self) -> Transitions:
        """All that the learner learns from."""
        return self.replay

    def rewarded(self, segments: Segments) -> Segments:
        """Collected segments with the rewards that are learned from."""
        return segments

    def loop(self, directory: RunDirectory, checkpoint_seconds: float, progress: ProgressLog) -> None:
        """Rounds until all updates are made and their state, from which results are written, is in the checkpoint."""
        saved = time.monotonic()
        self._log(progress)
        if not self.record.evaluations:
            self._evaluate()
        while self.learner.updates < self.spec.learner.updates:
            self._round(progress)
            if time.monotonic() - saved > checkpoint_seconds:
                checkpoint.save(directory.checkpoint, self.state())
                saved = time.monotonic()
        checkpoint.save(directory.checkpoint, self.state())
        self._log(progress)

    def _round(self, progress: ProgressLog) -> None:
        version = self.learner.updates
        self.collectors.start(self.learner.weights(), self.rounds)
        if self.spec.replay.rounds == "in-turn":
            self._store(version)
            self._learn(progress)
        else:
            self._learn(progress)
            self._store(version)
        self.rounds += 1

    def _store(self, version: int) -> None:
        """Wait for the segments that the policy of ``version`` collected, and put them into the replay."""
        collected, ended = self.collectors.finish()
        segments = collected.to(self.replay.device)
        self.replay.append(segments, *self.learner.targets(self.rewarded(segments)), version=version)
        self.env_steps += int(segments.rewards.numel() if segments.lengths is None else segments.lengths.sum())
        self.record.ended(ended)

    def _learn(self, progress: ProgressLog) -> None:
        """Make the updates that the env steps so far have paid for."""
        learner, updates = self.spec.learner, self.due()
        if updates <= 0:
            return
        batches = self._draw(-(-updates // learner.uses))
        for number in range(updates):
            batch, use = divmod(number, learner.uses)
            if learner.refresh_every and self.learner.updates % learner.refresh_every == 0:
                self.replay.refresh(self.learner.targets)
            losses, norms = self.learner.update(batches[batch], again=use > 0)
            if losses and self.learner.is_due(self.spec.diagnostics.every):
                self.record.log(self.learner.updates, self.env_steps, self.learner.metrics(losses, norms))
            if self.learner.is_due(self.spec.evaluation.every):
                self._evaluate()
            if progress.is_due:
                self._log(progress)
        self.learner.check()

    def due(self) -> int:
        """Updates that the env steps so far have paid for, and that are not made."""
        return min(self.pace.updates_due(self.env_steps), self.spec.learner.updates) - self.learner.updates

    def _draw(self, count: int) -> Tensor:
        """Positions in the replay of the transitions of so many updates, int64 [count, accumulation, batch_size]."""
        generator, replay, size = self.spec.generator(Stream.SAMPLING, self.rounds), self.replay, len(self.replay)
        shape = (self.spec.learner.accumulation, self.spec.learner.batch_size)
        if self.spec.learner.sampling == "independent":
            drawn = torch.from_numpy(generator.integers(size, size=(count, *shape)))
            return replay.positions(drawn.to(replay.device))
        if self.spec.learner.sampling == "distinct":
            drawn = torch.from_numpy(np.stack([generator.choice(size, shape, replace=False) for _ in range(count)]))
            return replay.positions(drawn.to(replay.device))
        return torch.stack([self._draw_segments(generator).view(shape) for _ in range(count)])

    def _draw_segments(self, generator: np.random.Generator) -> Tensor:
        """Positions of the transitions of an update: whole segments, the last of them cut where they are enough."""
        replay, steps = self.replay, self.spec.replay.segment_length
        most = -(-self.spec.transitions_per_update // int(replay.lengths.min()))
        slots = torch.from_numpy(generator.integers(replay.filled, size=most)).to(replay.device)
        step = torch.arange(steps, device=replay.device)
        there = step < replay.lengths[slots, None]
        return (slots[:, None] * steps + step)[there][: self.spec.transitions_per_update]

    def _log(self, progress: ProgressLog) -> None:
        latest = (self.record.latest(name) for name in ("d95", "dead"))
        progress.log(self.learner.updates, self.env_steps, self.record.evaluations, *latest)

    def _evaluate(self) -> None:
        now = {"update": self.learner.updates, "env_steps": self.env_steps}
        rows = self.collectors.evaluate(self.learner.weights(), self.learner.updates)
        self.record.evaluations.extend(now | row for row in rows)

    def restore(self, directory: RunDirectory, tell: Callable[[str], None]) -> None:
        """Go on from the checkpoint, if there is one and today's code wrote it."""
        state = unfinished(self.spec, directory, self.record.origin.code_digest, tell)
        if state is None:
            self.record.begin(0)
            return
        self.load_state(state)
        self.record.begin(self.learner.updates)
        tell(f"{self.spec.run_id}: going on from update {self.learner.updates:,}")

    def state(self) -> dict[str, Any]:
        """All that the rest of the run depends on."""
        return {
            **checkpoint.owner(self.spec, self.record.origin.code_digest),
            "learner": self.learner.state(),
            "replay": self.replay.state(),
            "collectors": self.collectors.state(),
            "rounds": self.rounds,
            "env_steps": self.env_steps,
            "record": self.record.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.learner.load_state(state["learner"])
        self.replay.load_state(state["replay"])
        self.collectors.load_state(state["collectors"])
        self.rounds, self.env_steps = state["rounds"], state["env_steps"]
        self.record.load_state(state["record"])

    def write(self, directory: RunDirectory) -> None:
        """Write the results of a run that is at its end."""
        self.record.write(self.spec, directory, self.learner.weights(), self.env_steps)
