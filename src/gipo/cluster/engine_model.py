"""The asynchronous engine as events: how fast a LIBERO run on GPUs would be, who waits in it, how old its data get.

Every process does what its class in `gipo.engines.asynchronous` does, in a time instead of with data: rollout workers
step, ask the inference and hand over segments; the inference serves all who wait, up to a number; the replay
lets segments in and batches out as its `Pace` has it; the learner updates and leaves snapshots; the evaluator plays
them in several simulators, whose actions it gives one at a time. Times of the parts were measured one by one (`Times`);
what nobody has measured together is the whole.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field

from gipo.cluster.requests import CHUNK, cores_of, evaluation_simulators, learners
from gipo.replay import Pace
from gipo.replicated import in_passes
from gipo.runs.spec import RunSpec
from gipo.suites.libero_tasks import EPISODES_PER_TASK, evaluation_groups

SLACK = 2
"""Rounds of segments that may be collected ahead (`gipo.engines.asynchronous.replay.ReplayServer`)."""
MOST_SNAPSHOTS = 4
"""Snapshots that may wait before the learner does (`gipo.engines.asynchronous.snapshots.Snapshots`)."""
ROUNDS = 24
"""Rounds of segments that are simulated; the first third, in which queues fill, is not counted."""


@dataclass(frozen=True)
class Times:
    """Seconds that the parts take on one machine; by default a 7B model on H200 and a simulator to each core.

    The model's are from benchmarks/results/openvla_speed.csv, the simulator's from libero_speed.csv (its slowest task;
    frames drawn on the CPU, so a GPU that draws is faster).
    """

    step: float = 1 / 15.09
    """Simulator step with its frame."""
    reset: float = 0.679
    """Reset to an initial state."""
    build: float = 8.455 - 10 / 3.184
    """Scene of another task: LIBERO's own reset, less its ten steps of warm-up."""
    inference: Mapping[int, float] = field(
        default_factory=lambda: {1: 0.0754, 2: 0.0757, 4: 0.0864, 8: 0.1312, 16: 0.2281, 32: 0.4142}
    )
    """Forward pass that acts, by the number of observations."""
    learning: Mapping[int, float] = field(default_factory=lambda: {4: 0.2717, 12: 0.4988})
    """Forward and backward pass of the learner, by its transitions; AdamW included."""


@dataclass(frozen=True)
class Outcome:
    """A run in numbers.

    Attributes:
        hours: of wall time until the last update.
        updates_per_second: while the run is under way.
        env_steps_per_second: simulator steps for the replay.
        lifetime: L, learner updates in which the replay is replaced once, as a share of all updates.
        version_gap: mean gap, half a lifetime and what is under way, in updates.
        busy: share of the time in which ``simulators``, ``inference``, ``learner`` and ``evaluator`` work, before the
            learner has to wait for the evaluator.
    """

    hours: float
    updates_per_second: float
    env_steps_per_second: float
    lifetime: float
    version_gap: float
    busy: dict[str, float]


class Signal:
    """Wakes all that wait for it."""

    def __init__(self) -> None:
        self.waiting: list[Process] = []


class Gpu:
    """One piece of work at a time."""

    def __init__(self) -> None:
        self.is_taken, self.freed = False, Signal()


Process = Generator["float | Signal", None, None]
"""Yields how long to sleep, or what to wait for."""


class Clock:
    """Runs processes in the order of their times."""

    def __init__(self) -> None:
        self.now = 0.0
        self._queue: list[tuple[float, int, Process]] = []
        self._number = itertools.count()

    def start(self, process: Process, after: float = 0.0) -> None:
        """Let a process begin, or go on, in so many seconds."""
        heapq.heappush(self._queue, (self.now + after, next(self._number), process))

    def wake(self, signal: Signal) -> None:
        """Let all go on that wait for a signal."""
        waiting, signal.waiting = signal.waiting, []
        for process in waiting:
            self.start(process)

    def run(self) -> None:
        """Until nobody has anything to do."""
        while self._queue:
            self.now, _, process = heapq.heappop(self._queue)
            for wish in process:
                if isinstance(wish, Signal):
                    wish.waiting.append(process)
                else:
                    self.start(process, wish)
                break


class Engine:
    """One run.

    Args:
        run: of the asynchronous engine; `Times` are those of a published model.
        times: of its parts.
        gpus: that it has. With one, inference, learner and evaluator take turns on it.
    """

    def __init__(self, run: RunSpec, times: Times, gpus: int) -> None:
        assert run.asynchronous
        self.run, self.times, self.gpus, self.clock = run, times, gpus, Clock()
        self.simulators = run.replay.environments
        self.most = run.asynchronous.inference_batch
        self.pace = Pace(run.replay.capacity, run.lifetime_updates, run.replay.warmup_steps)
        self.update_seconds = update_seconds(run, times, gpus)
        self.horizon = math.ceil(run.environment.episode_steps / CHUNK)
        self.evaluation_simulators = evaluation_simulators(run, cores_of(run))
        self.groups: list[range] = []
        """Evaluation episodes that nobody has begun, in the groups that a simulator plays."""
        self.last = run.replay.warmup_steps + ROUNDS * run.round_steps
        """Transitions at which the simulation ends."""
        self.collected = self.updates = self.promised = self.snapshots = 0
        self.requests: list[Signal] = []
        self.asked, self.stored, self.evaluated, self.played = Signal(), Signal(), Signal(), Signal()
        whole = Gpu()
        self.on = {who: whole if gpus == 1 else Gpu() for who in ("inference", "learner", "evaluator")}
        self.spent = dict.fromkeys(("simulators", *self.on), 0.0)
        self.marks: list[tuple[float, int, int, dict[str, float]]] = []
        """Time, updates, transitions and work so far, at each segment."""

    def outcome(self) -> Outcome:
        """Simulate."""
        for number in range(self.simulators):
            self.clock.start(self._rollout(), after=number * self.times.step)
        for process in (self._inference(), self._learner(), self._evaluator()):
            self.clock.start(process)
        self.clock.run()
        rounds = 2 * len(self.marks) // (3 * self.simulators)
        begin, end = self.marks[-1 - rounds * self.simulators], self.marks[-1]  # at the same place in a round
        seconds, transitions = end[0] - begin[0], end[2] - begin[2]
        updates = end[1] - begin[1]
        per_second = updates / seconds
        work = {name: (end[3][name] - begin[3][name]) / seconds for name in self.spent}
        work["simulators"] /= self.simulators
        all_updates = self.run.learner.updates
        evaluating = self.evaluation_seconds() / self.run.evaluation.every
        pace = max(1 / per_second, evaluating)  # in the long run the learner waits for the evaluator
        work["evaluator"] = min(1.0, evaluating * per_second)
        lifetime = self.run.replay.capacity * updates / transitions
        if self.run.replay.lifetime is not None:  # as the replay sees to
            lifetime = self.run.lifetime_updates
        started = next(mark[0] for mark in self.marks if mark[2] >= self.run.replay.warmup_steps)
        under_way = self.run.replay.segment_length / 2 + SLACK * self.run.replay.segment_length
        gap = lifetime / 2 + under_way * self.simulators * updates / transitions
        return Outcome(
            hours=(started + all_updates * pace) / 3600,
            updates_per_second=1 / pace,
            env_steps_per_second=CHUNK * transitions / updates / pace,
            lifetime=lifetime / all_updates,
            version_gap=gap,
            busy=work,
        )

    @property
    def _is_over(self) -> bool:
        return self.collected >= self.last

    def _rollout(self) -> Process:
        steps = 0
        while not self._is_over:
            for _ in range(self.run.replay.segment_length):
                if steps % (self.horizon * EPISODES_PER_TASK) == 0:
                    yield from self._work("simulators", self.times.build)
                if steps % self.horizon == 0:
                    yield from self._work("simulators", self.times.reset)
                answer = Signal()
                self.requests.append(answer)
                self.clock.wake(self.asked)
                yield answer
                yield from self._work("simulators", CHUNK * self.times.step)
                steps += 1
                if self._is_over:
                    return
            while not self._may_append():
                yield self.stored
            self.collected += self.run.replay.segment_length
            self.marks.append((self.clock.now, self.updates, self.collected, dict(self.spent)))
            self.clock.wake(self.stored)

    def _may_append(self) -> bool:
        earned = self.pace.warmup_steps + self.promised * self.pace.env_steps_per_update
        limited = self.run.replay.lifetime is not None
        return not limited or self.collected < earned + SLACK * self.run.round_steps or self._is_over

    def _inference(self) -> Process:
        while not self._is_over:
            while not self.requests:
                yield self.asked
                if self._is_over:
                    return
            requests, self.requests = self.requests[: self.most], self.requests[self.most :]
            yield from self._on_gpu("inference", between(self.times.inference, len(requests)))
            for answer in requests:
                self.clock.wake(answer)

    def _learner(self) -> Process:
        every = self.run.evaluation.every
        while not self._is_over:
            self.promised = self.updates + 2  # the one to make and the next one
            self.clock.wake(self.stored)
            while self._due() <= self.updates and not self._is_over:
                yield self.stored
            yield from self._on_gpu("learner", self.update_seconds)
            self.updates += 1
            if self.updates % every == 0:
                while self.snapshots >= MOST_SNAPSHOTS and not self._is_over:
                    yield self.evaluated
                self.snapshots += 1

    def _due(self) -> float:
        if self.run.replay.lifetime is None:
            return math.inf if self.collected >= self.pace.warmup_steps else 0
        return self.pace.updates_due(self.collected)

    def _evaluator(self) -> Process:
        while not self._is_over:
            if not self.snapshots:
                yield 1.0
                continue
            yield from self._evaluation()
            self.snapshots -= 1
            self.clock.wake(self.evaluated)

    def evaluation_seconds(self) -> float:
        """Time for one evaluation while nobody else is on its GPU."""
        alone = Engine(self.run, self.times, self.gpus)
        alone.evaluation_simulators = self.evaluation_simulators
        alone.clock.start(alone._evaluation())
        alone.clock.run()
        return alone.clock.now

    def _evaluation(self) -> Process:
        self.groups = evaluation_groups(self.run.task, self.run.evaluation.episodes)
        self.playing = self.evaluation_simulators
        for _ in range(self.playing):
            self.clock.start(self._player())
        while self.playing:
            yield self.played

    def _player(self) -> Process:
        while self.groups:
            yield from self._work("evaluator", self.times.build)
            for _ in self.groups.pop():
                yield from self._work("evaluator", self.times.reset)
                for _ in range(self.horizon):
                    yield from self._on_gpu("evaluator", self.times.inference[1])
                    yield from self._work("evaluator", CHUNK * self.times.step)
                    if self._is_over:
                        return
        self.playing -= 1
        self.clock.wake(self.played)

    def _work(self, who: str, seconds: float) -> Process:
        self.spent[who] += seconds
        yield seconds

    def _on_gpu(self, who: str, seconds: float) -> Process:
        """Work on a GPU of one's own, or in turn on the only one."""
        gpu = self.on[who]
        while gpu.is_taken:
            yield gpu.freed
        gpu.is_taken = True
        yield from self._work(who, seconds)
        gpu.is_taken = False
        self.clock.wake(gpu.freed)


def update_seconds(run: RunSpec, times: Times, gpus: int) -> float:
    """Seconds of a learner update, in the passes in which `gipo.replicated` makes it."""
    micro_batches, share = run.learner.accumulation, run.learner.batch_size // learners(run, gpus)
    passes = in_passes(micro_batches, share)
    return len(passes) * between(times.learning, share * micro_batches / len(passes))


def between(times: Mapping[int, float], size: float) -> float:
    """Time for a size that was not measured, on the line through its neighbours; beyond them on the last line."""
    sizes = sorted(times)
    low, high = next((pair for pair in itertools.pairwise(sizes) if size <= pair[1]), tuple(sizes[-2:]))
    slope = (times[high] - times[low]) / (high - low)
    return times[low] + (size - low) * slope
