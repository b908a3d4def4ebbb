"""The supervisor: starts the processes of a run, restarts those that die, and writes the results at the end."""

from __future__ import annotations

import shutil
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from ray.exceptions import RayActorError, RayTaskError

from gipo.engines.asynchronous.cluster import cluster
from gipo.engines.asynchronous.evaluator import EvaluatorProcess
from gipo.engines.asynchronous.gate import check_start
from gipo.engines.asynchronous.inference import Inference
from gipo.engines.asynchronous.learner import Follower, LearnerProcess
from gipo.engines.asynchronous.ledger import Ledger
from gipo.engines.asynchronous.processes import INFERENCE, LEARNER, ROLLOUT, Process, read_counts
from gipo.engines.asynchronous.ranks import Ranks
from gipo.engines.asynchronous.replay import ReplayServer
from gipo.engines.asynchronous.rollout import Rollout
from gipo.engines.asynchronous.simulators import SimulatorLostError
from gipo.engines.asynchronous.snapshots import Snapshots
from gipo.engines.asynchronous.watchdog import Watch, kill, last_words
from gipo.engines.attempt import attempt, check_device, unfinished
from gipo.engines.record import Record
from gipo.engines.suites import make_suite
from gipo.errors import GipoError
from gipo.files import read_json, write_json
from gipo.runs import checkpoint
from gipo.runs.directory import RunDirectory
from gipo.runs.progress import ProgressLog
from gipo.runs.provenance import Origin
from gipo.runs.spec import RunSpec


def train(
    spec: RunSpec,
    path: Path,
    *,
    device: str = "cpu",
    learners: int = 1,
    pretrained: Path = Path("results/pretrained"),
    checkpoint_seconds: float = 60.0,
    simulator_seconds: float = 120.0,
    evaluation_simulators: int = 1,
    published_success: float | None = None,
    tell: Callable[[str], None] = print,
    kind: Kind | None = None,
) -> None:
    """Train one run to its end, from its checkpoint where there is one, and write its results into ``path``.

    Uses the Ray cluster named by ``RAY_ADDRESS``, else one of its own on this machine, which ends with the run.

    Args:
        spec: the run; ``spec.asynchronous`` is set.
        path: its directory.
        device: where the models live, ``cpu`` or ``cuda``. One GPU is shared by learner, inference and evaluator.
        learners: processes of the learner, a GPU each; inference and evaluator take one more each then.
        pretrained: where pretrained models lie, as ``<repository>/<revision>``.
        checkpoint_seconds: seconds between checkpoints.
        simulator_seconds: longest time that one call into the simulator may take, of a rollout worker.
        evaluation_simulators: processes in which the evaluator plays, so many groups of episodes at once.
        published_success: success rate that is published of the pretrained model: the start is evaluated before
            anything else, and not trained from if it is broken (`gipo.engines.asynchronous.gate`).
        tell: takes one line of progress every few seconds, and one per restart.
        kind: of the run, `Kind` by default; `gipo.engines.asynchronous.imagining` has the one with a world model.

    Raises:
        GipoError: there is no such device, the batch cannot be split so, the directory is another run's, its checkpoint
            is corrupt, the start is broken, the disk is full, a loss is not finite, or a process died too often.
    """
    if spec.imagination and kind is None:
        raise GipoError(f"run {spec.run_id} has a world model: gipo.engines.asynchronous.imagining trains it")
    check_device(device)
    make_suite(spec, pretrained)  # names what lacks before any process starts
    if spec.learner.batch_size % learners or (learners > 1 and not spec.openvla):
        what = f"learner.batch_size = {spec.learner.batch_size}" if spec.openvla else "a small network"
        raise GipoError(f"learners = {learners}: {what} cannot be split over so many processes")
    machine = Machine(
        device, learners, pretrained.resolve(), checkpoint_seconds, simulator_seconds, evaluation_simulators
    )
    attempt(spec, path, lambda *given: _train(spec, machine, kind or Kind(), published_success, *given), tell)


def _train(
    spec: RunSpec,
    machine: Machine,
    kind: Kind,
    published_success: float | None,
    directory: RunDirectory,
    origin: Origin,
    tell: Callable[[str], None],
) -> None:
    if unfinished(spec, directory, origin.code_digest, tell) is None:
        shutil.rmtree(directory.scratch, ignore_errors=True)
    elif not Ledger.path_in(directory.scratch / "replay").exists():
        tell(f"{spec.run_id}: {directory.scratch} is gone, which its checkpoint needs; starting from update 0")
        directory.checkpoint.unlink()
        shutil.rmtree(directory.scratch, ignore_errors=True)
    with cluster(spec):
        supervisor = Supervisor(spec, directory, machine, kind, tell)
        supervisor.run(published_success)
        summary = supervisor.summary()
    state = checkpoint.load_of(directory.checkpoint, spec)
    record = Record(origin, torch.device(machine.device))
    record.load_state(state["record"])
    record.evaluations = Snapshots(directory.path).evaluations()
    played = {row["update"] for row in record.evaluations}
    if missing := {0, *spec.learner.due(spec.evaluation.every)} - played:
        raise GipoError(
            f"{directory.scratch} has lost the evaluation at update {min(missing)} of run {spec.run_id}; "
            f"delete {directory.checkpoint} to make it from update 0 on"
        )
    write_json(directory.engine, summary)
    policy, env_steps = state["learner"]["model"], int(summary["env_steps"])
    record.write(spec, directory, policy, env_steps, others=[directory.engine, *kind.write_more(directory, state)])


@dataclass(frozen=True)
class Kind:
    """A run without a world model, and the classes of the processes that differ in one that has it."""

    learner: type[LearnerProcess] = LearnerProcess
    replay: type[ReplayServer] = ReplayServer

    def write_more(self, directory: RunDirectory, state: dict[str, Any]) -> list[Path]:
        """Write what is a result besides; the files.

        Args:
            directory: of the run.
            state: the learner's last one.
        """
        return []


@dataclass(frozen=True)
class Machine:
    """Settings of the machine that a run is made on, see `train`."""

    device: str
    learners: int
    pretrained: Path
    checkpoint_seconds: float
    simulator_seconds: float
    evaluation_simulators: int

    def gpus(self, role: str) -> float:
        """Share of a GPU that a process gets."""
        if self.device != "cuda" or role.split("-")[0] not in ("learner", "inference", "evaluator"):
            return 0.0
        if self.learners > 1:
            return 1.0
        return 0.5 if role == "learner" else 0.25


class Supervisor:
    """The processes of a run, by role."""

    DEATHS = 5
    """Deaths of one role within `WINDOW` after which the run is given up."""
    WINDOW = 600.0  # seconds

    def __init__(
        self, spec: RunSpec, directory: RunDirectory, machine: Machine, kind: Kind, tell: Callable[[str], None]
    ) -> None:
        self.spec, self.directory, self.machine, self.kind, self.tell = spec, directory, machine, kind, tell
        self.rollouts = [f"rollout-{group}" for group in spec.replay.groups]
        self.learners = ["learner", *(f"learner-{rank}" for rank in range(1, machine.learners))]
        self.meeting = self._new_meeting()
        self.handles: dict[str, ray.actor.ActorHandle] = {}
        self.processes: dict[str, Process] = {}
        self.running: dict[ray.ObjectRef, str] = {}
        self.deaths: dict[str, list[float]] = {}
        self.folder = directory.scratch / "processes"
        self.watch = Watch(self.folder)
        self.restarts_file = directory.scratch / "restarts.json"
        self.restarts = Counter(read_json(self.restarts_file) if self.restarts_file.exists() else {})
        self.progress, self.snapshots = ProgressLog(spec, directory, tell), Snapshots(directory.path)

    def run(self, published_success: float | None = None) -> None:
        """Until all updates are made and evaluated; nothing is collected any more once they are made.

        Args:
            published_success: nothing is collected, and so nothing learned, before the start was compared with it.

        Raises:
            GipoError: see `train`.
        """
        acting = ["inference", *self.rollouts]
        collecting = [*acting, "replay"]
        for role in ("replay", *self.learners, "evaluator", *(acting if published_success is None else ())):
            self._start(role)
        while not self._done(self.learners) or not self.snapshots.is_evaluated(self.spec.learner.updates):
            if published_success is not None and (start := self.snapshots.evaluation(0)):
                check_start(self.spec, published_success, start)
                published_success = None
                for role in acting:
                    self._start(role)
            ended, _ = ray.wait(list(self.running), timeout=1.0)
            for run in ended:
                self._ended(run)
            for process in self.watch.silent():
                if process is self.processes[process.role]:  # and not ended together with one before it
                    self._hangs(process)
            if self._done(self.learners) and not self._done(collecting):
                self._end(collecting)
            if self.progress.is_due:
                self._log()
        self._end(["evaluator"])
        self._log()

    def summary(self) -> dict[str, float]:
        """Counts of all attempts at the run, from update 0 on, once nothing is collected any more.

        What counts is what is in the replay: ``env_steps`` are those of the segments that it stored, and ``episodes``
        those that ended in them, so both agree with it however often and whenever a process was killed. Each of these
        is a multiple of the segment length, and each segment is stored once or not at all. ``env_steps_lost`` and
        ``episodes_lost`` are what the rollout workers took and ended besides: the unfinished or unsent segments of
        those that were killed, and of all when the last update was made.
        ``inference_batches`` and ``inference_rows`` are forward passes for the workers and the observations in them,
        ``restarts_ROLE`` how often a process took the place of one that had died or hung.
        """
        directory = self.directory.scratch / "replay"
        segments = Ledger.segments_in(directory)
        counts = Ledger(directory, self.spec).counts(segments)
        counts["env_steps"] = segments * self.spec.replay.segment_length
        taken = np.concatenate([read_counts(self.folder, role, ROLLOUT) for role in self.rollouts])
        for name in ("env_steps", "episodes"):
            counts[f"{name}_lost"] = int(taken[name].sum() - counts[name])
        served = read_counts(self.folder, "inference", INFERENCE)
        counts |= {name: int(served[name].sum()) for name in INFERENCE.fields or ()}
        return counts | {f"restarts_{role}": number for role, number in self.restarts.items()}

    def _start(self, role: str) -> None:
        """Start a process, or another one in the place of a dead one."""
        spec, path, machine = self.spec, self.directory.path, self.machine
        process = Process(self.folder, role, time.time_ns())
        actor: type[Any]
        arguments: tuple[Any, ...]
        match role.split("-"):
            case ["replay"]:
                actor, arguments = self.kind.replay, (spec, machine.pretrained, self.directory.scratch / "replay")
            case ["learner"]:
                ranks = Ranks(0, machine.learners, self.meeting)
                actor = self.kind.learner
                arguments = (spec, path, machine.device, machine.pretrained, ranks, machine.checkpoint_seconds)
            case ["learner", rank]:
                ranks = Ranks(int(rank), machine.learners, self.meeting)
                actor, arguments = Follower, (spec, path, machine.device, machine.pretrained, ranks)
            case ["inference"]:
                actor, arguments = Inference, (spec, machine.pretrained, machine.device)
            case ["evaluator"]:
                actor = EvaluatorProcess
                arguments = (spec, path, machine.pretrained, machine.device, machine.evaluation_simulators)
            case ["rollout", group]:
                actor, arguments = Rollout, (spec, machine.pretrained, int(group), machine.simulator_seconds)
        options: dict[str, Any] = {"name": process.name, "num_cpus": 0, "num_gpus": machine.gpus(role)}
        if role == "learner":
            options["max_concurrency"] = 8
        self.processes[role] = process
        self.handles[role] = ray.remote(actor).options(**options).remote(*arguments, process)
        self.running[self.handles[role].run.remote()] = role
        self.watch.begin(process, machine.simulator_seconds if role in self.rollouts else 0.0)

    def _end(self, roles: Iterable[str]) -> None:
        """End processes for certain: one that only hangs would write into the files of its successor one day."""
        together = self.processes.keys() & set(roles)  # those that act may not have begun
        self.running = {run: role for run, role in self.running.items() if role not in together}
        for role in together:
            self.watch.end(self.processes[role])
            kill(self.processes[role])
            ray.kill(self.handles[role])

    def _done(self, roles: Iterable[str]) -> bool:
        """Whether none of these has work left."""
        return set(roles).isdisjoint(self.running.values())

    def _hangs(self, process: Process) -> None:
        """End a process that gives no signs of life and start it again, before others fail because of its end."""
        role, silence = process.role, self.watch.patience(process)
        self._end([role])
        self._died(role, f"gave no sign of life for {silence:g} s", "it was ended")

    def _ended(self, run: ray.ObjectRef) -> None:
        """Note that the work of a process has ended; start a dead one again.

        Raises:
            GipoError: it failed by an error of its own, or died too often.
        """
        role = self.running.pop(run, "")
        if not role:  # ended together with another one
            return
        self.watch.end(self.processes[role])
        try:
            ray.get(run)
        except RayActorError as error:
            if error.actor_init_failed and not self._together(role):
                reason = str(error).strip().splitlines()[-1].removeprefix(f"{GipoError.__module__}.GipoError: ")
                raise GipoError(f"{role} of run {self.spec.run_id} cannot start: {reason}") from error
            self._died(role, "died", str(error))
        except RayTaskError as error:
            if isinstance(error.cause, GipoError):
                raise error.cause from None
            if isinstance(error.cause, SimulatorLostError):
                self._died(role, "lost a simulator", str(error))
                return
            if not self._together(role):
                raise GipoError(f"{role} of run {self.spec.run_id} failed:\n{error}") from error
            self._died(role, "died", str(error))

    def _together(self, role: str) -> bool:
        """Whether it is one of several learners: perhaps it failed because another of them had died."""
        return role in self.learners and len(self.learners) > 1

    def _died(self, role: str, how: str, error: str) -> None:
        """Start it again, unless it died too often."""
        now = time.monotonic()
        recent = [then for then in self.deaths.get(role, []) if now - then < self.WINDOW]
        self.deaths[role] = [*recent, now]
        doing = last_words(self.processes[role])
        story = f"{role} {how} in {doing}" if doing else f"{role} {how}"
        if len(self.deaths[role]) > self.DEATHS:
            story += f", as it did {self.DEATHS} times before"
            raise GipoError(f"{story}; giving up run {self.spec.run_id}:\n{error}")
        self.tell(f"{story}; starting it again")
        self.restarts[role] += 1
        write_json(self.restarts_file, self.restarts)
        if role in self.learners:  # they hold parts of one model
            self.meeting = self._new_meeting()
        together = self.learners if role in self.learners else [role]
        self._end(together)
        for each in together:
            self._start(each)

    def _new_meeting(self) -> Path:
        self.directory.scratch.mkdir(parents=True, exist_ok=True)
        return self.directory.scratch / f"meeting-{uuid.uuid4().hex}"

    def _log(self) -> None:
        learned = read_counts(self.folder, "learner", LEARNER)[-1:]
        if not len(learned):  # it is starting
            return
        env_steps = Ledger.segments_in(self.directory.scratch / "replay") * self.spec.replay.segment_length
        episodes = self.snapshots.latest_evaluation()
        updates, *latest = learned[0].item()
        self.progress.log(updates, env_steps, episodes, *latest)
