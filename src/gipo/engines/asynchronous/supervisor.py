"""The supervisor: starts the processes of a run, restarts those that die, and writes the results at the end."""

from __future__ import annotations

import os
import secrets
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from ray.exceptions import RayActorError, RayTaskError

from gipo.engines.asynchronous.counters import Counters
from gipo.engines.asynchronous.evaluator import EvaluatorProcess
from gipo.engines.asynchronous.inference import Inference
from gipo.engines.asynchronous.learner import Follower, LearnerProcess
from gipo.engines.asynchronous.peers import actor_name
from gipo.engines.asynchronous.ranks import Ranks
from gipo.engines.asynchronous.ray_folder import ray_folder
from gipo.engines.asynchronous.replay import ReplayServer
from gipo.engines.asynchronous.rollout import Rollout
from gipo.engines.asynchronous.snapshots import Snapshots
from gipo.engines.asynchronous.watchdog import hung, last_words
from gipo.engines.attempt import attempt, check_device, unfinished
from gipo.engines.record import Record
from gipo.errors import GipoError
from gipo.files import write_json
from gipo.runs import checkpoint
from gipo.runs.directory import RunDirectory
from gipo.runs.progress import ProgressLog
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
    tell: Callable[[str], None] = print,
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
        simulator_seconds: longest time that one call into the simulator may take.
        tell: takes one line of progress every few seconds, and one per restart.

    Raises:
        GipoError: there is no such device, the batch cannot be split so, the directory is another run's, its checkpoint
            is corrupt, the disk is full, a loss is not finite, or a process died too often.
    """
    check_device(device)
    if spec.learner.batch_size % learners or (learners > 1 and not spec.openvla):
        what = f"learner.batch_size = {spec.learner.batch_size}" if spec.openvla else "a small network"
        raise GipoError(f"learners = {learners}: {what} cannot be split over so many processes")
    machine = Machine(device, learners, pretrained.resolve(), checkpoint_seconds, simulator_seconds)
    attempt(spec, path, lambda *given: _train(spec, machine, *given), tell)


def _train(
    spec: RunSpec, machine: Machine, directory: RunDirectory, origin: dict[str, Any], tell: Callable[[str], None]
) -> None:
    if unfinished(spec, directory, origin["code_digest"], tell) is None:
        shutil.rmtree(directory.scratch, ignore_errors=True)
    with _cluster(spec):
        supervisor = Supervisor(spec, directory, machine, tell)
        supervisor.run()
        summary = supervisor.summary()
    state = checkpoint.load(directory.checkpoint)
    record = Record(origin, torch.device(machine.device))
    record.load_state(state["record"])
    record.evaluations = Snapshots(directory.path).evaluations()
    write_json(directory.engine, summary)
    record.write(directory, state["learner"]["model"], state["env_steps"], spec.learner.updates)


@dataclass(frozen=True)
class Machine:
    """Settings of the machine that a run is made on, see `train`."""

    device: str
    learners: int
    pretrained: Path
    checkpoint_seconds: float
    simulator_seconds: float

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
    PATIENCE = 10.0  # seconds for a process to say what it counted

    def __init__(self, spec: RunSpec, directory: RunDirectory, machine: Machine, tell: Callable[[str], None]) -> None:
        self.spec, self.directory, self.machine, self.tell = spec, directory, machine, tell
        self.rollouts = [f"rollout-{group}" for group in spec.replay.groups]
        self.followers = [f"learner-{rank}" for rank in range(1, machine.learners)]
        self.meeting = self._new_meeting()
        self.handles: dict[str, ray.actor.ActorHandle] = {}
        self.running: dict[ray.ObjectRef, str] = {}
        self.deaths: dict[str, list[float]] = {}
        self.restarts: Counter[str] = Counter()
        self.started = time.monotonic()
        self.progress, self.snapshots = ProgressLog(spec, directory, tell), Snapshots(directory.path)

    def run(self) -> None:
        """Until learner and evaluator are done."""
        services = ("counters", "replay", "learner", *self.followers, "inference", "evaluator")
        for role in (*services, *self.rollouts):
            self._start(role)
        waiting = {"learner", "evaluator"}
        while waiting:
            ended, _ = ray.wait(list(self.running), timeout=1.0)
            waiting -= {self._ended(run) for run in ended}
            if self.progress.is_due:
                self._log()
        self._log()

    def summary(self) -> dict[str, float]:
        """Counts of all processes that answer, restarts by role, and rates."""
        asked = [self.handles[role].statistics.remote() for role in ("learner", "replay", "inference", "counters")]
        counts: dict[str, float] = {}
        for answer in asked:
            try:
                counts |= ray.get(answer, timeout=self.PATIENCE)
            except (RayActorError, ray.exceptions.GetTimeoutError):
                continue
        seconds = time.monotonic() - self.started
        restarts = {f"restarts_{role}": number for role, number in self.restarts.items()}
        return counts | restarts | {"seconds": seconds}

    def _start(self, role: str) -> None:
        """Start a process, or another one in the place of a dead one."""
        spec, path, machine, incarnation = self.spec, self.directory.path, self.machine, time.time_ns()
        actor: type[Any]
        arguments: tuple[Any, ...]
        match role.split("-"):
            case ["counters"]:
                actor, arguments = Counters, ()
            case ["replay"]:
                actor, arguments = ReplayServer, (spec, machine.pretrained, self.directory.scratch / "replay")
            case ["learner"]:
                ranks = Ranks(0, machine.learners, self.meeting)
                actor = LearnerProcess
                arguments = (spec, path, machine.device, machine.pretrained, ranks, machine.checkpoint_seconds)
            case ["learner", rank]:
                ranks = Ranks(int(rank), machine.learners, self.meeting)
                actor, arguments = Follower, (spec, path, machine.device, machine.pretrained, ranks)
            case ["inference"]:
                actor, arguments = Inference, (spec, machine.pretrained, incarnation, machine.device)
            case ["evaluator"]:
                actor, arguments = EvaluatorProcess, (spec, path, machine.pretrained, machine.device)
            case ["rollout", group]:
                watchdog = (self._watched(role), machine.simulator_seconds)
                actor, arguments = Rollout, (spec, machine.pretrained, int(group), incarnation, *watchdog)
        options: dict[str, Any] = {"name": actor_name(role, incarnation), "num_cpus": 0, "num_gpus": machine.gpus(role)}
        if role == "learner":
            options["max_concurrency"] = 8
        self.handles[role] = ray.remote(actor).options(**options).remote(*arguments)
        self.running[self.handles[role].run.remote()] = role

    def _ended(self, run: ray.ObjectRef) -> str:
        """Role of a process whose work has ended; a dead one is started again.

        Raises:
            GipoError: it failed by an error of its own, or died too often.
        """
        role = self.running.pop(run, "")
        if not role:  # a learner that `_start_learners` ended because another one had died
            return ""
        try:
            ray.get(run)
        except RayActorError as error:
            if error.actor_init_failed:
                reason = str(error).strip().splitlines()[-1].removeprefix(f"{GipoError.__module__}.GipoError: ")
                raise GipoError(f"{role} of run {self.spec.run_id} cannot start: {reason}") from error
            self._died(role, str(error))
            return ""
        except RayTaskError as error:
            if isinstance(error.cause, GipoError):
                raise error.cause from None
            if role.startswith("learner") and self.followers:  # perhaps it failed because another of them had died
                self._died(role, str(error))
                return ""
            raise GipoError(f"{role} of run {self.spec.run_id} failed:\n{error}") from error
        return role

    def _died(self, role: str, error: str) -> None:
        now = time.monotonic()
        recent = [then for then in self.deaths.get(role, []) if now - then < self.WINDOW]
        self.deaths[role] = [*recent, now]
        story = self._story(role)
        if len(self.deaths[role]) > self.DEATHS:
            story += f", as it did {self.DEATHS} times before"
            raise GipoError(f"{story}; giving up run {self.spec.run_id}:\n{error}")
        self.tell(f"{story}; starting it again")
        self.restarts[role] += 1
        if role.startswith("learner"):
            self._start_learners()
        else:
            self._start(role)

    def _start_learners(self) -> None:
        """Start all processes of the learner anew: they hold parts of one model."""
        self.meeting = self._new_meeting()
        together = ("learner", *self.followers)
        for role in together:
            ray.kill(self.handles[role])
        self.running = {run: role for run, role in self.running.items() if role not in together}
        for role in together:
            self._start(role)

    def _new_meeting(self) -> Path:
        self.directory.scratch.mkdir(parents=True, exist_ok=True)
        return self.directory.scratch / f"meeting-{uuid.uuid4().hex}"

    def _story(self, role: str) -> str:
        """One sentence on the end of a process, with the simulator call in which it ended if its watchdog knows one."""
        doing = last_words(self._watched(role))
        if not doing:
            return f"{role} died"
        if hung(self._watched(role)):
            return f"{role} hung for {self.machine.simulator_seconds:g} s in {doing}"
        return f"{role} died in {doing}"

    def _watched(self, role: str) -> Path:
        """File of a rollout worker's watchdog."""
        return self.directory.scratch / "watchdogs" / role

    def _log(self) -> None:
        now = self.summary()
        if "updates" in now:  # a learner that is starting does not answer
            episodes = self.snapshots.latest_evaluation()
            self.progress.log(int(now["updates"]), int(now.get("env_steps", 0)), episodes, now.get("d95"))


@contextmanager
def _cluster(spec: RunSpec) -> Iterator[None]:
    """Ray, with names of this run's own."""
    own: dict[str, Any] = {}
    if "RAY_ADDRESS" not in os.environ:
        own = {"include_dashboard": False, "num_cpus": 1}  # as many idle processes are started beforehand
        own["_temp_dir"] = str(ray_folder())
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # Ray would keep one in the user's home
    try:
        ray.init(
            namespace=spec.digest(),
            log_to_driver=False,
            configure_logging=False,
            **own,
        )
    except Exception as error:  # a node that does not come up in time raises nothing more specific
        raise GipoError(f"Ray did not start for run {spec.run_id}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()
