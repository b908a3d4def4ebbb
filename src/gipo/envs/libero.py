"""LIBERO tasks, a chunk of actions at a time, in openvla-oft's protocol.

Physics, success and frames are LIBERO's own. What it does and nobody needs is left out:

- *Lazy rendering.* robosuite draws both cameras in every step; here they are drawn in the last step of a chunk, the one
  that the policy sees, and never without ``cameras``. The camera sensors stay where they are and give a blank frame
  while they are not wanted (`Shutter`), so a frame shows what it would have shown: robosuite samples at a sub-step of
  its own choice, not at the end of a step.
- *Soft reset.* LIBERO builds the scene anew in every reset; here its state is put back. What robosuite's own soft reset
  forgets is restored as well: the gripper's last command, which sites are visible, such as a burner that glowed, and
  what MuJoCo's solver starts from, the accelerations in the new scene.

Frames, observations and the simulator's state stay the same, bit for bit (tests/envs/test_libero.py).
"""

from __future__ import annotations

import functools
import math
import pickle
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gipo.envs.libero_import import control_env, package, renderer
from gipo.errors import GipoError
from gipo.suites.libero_tasks import INIT_STATES, libero_task

Floats = npt.NDArray[np.float64]
Frame = npt.NDArray[np.uint8]
Phase = Literal["train", "evaluation"]
Reward = Callable[["LiberoEnv"], float]
"""Reward of the step that was just played."""

ACTION_DIMENSIONS = 7
PROPRIO_SIZE = 8
FRAME_SIZE = 256
CAMERAS = ("agentview", "robot0_eye_in_hand")
WARM_UP = 10
"""Steps with `NO_OP` that begin every episode, while objects fall into place [C]."""

NO_OP = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0)

SPLIT: dict[Phase, range] = {"train": range(40), "evaluation": range(40, INIT_STATES)}
"""Initial states by phase [R]: the paper names none, and others train and evaluate on the same."""


@dataclass(frozen=True)
class Start:
    """All that an episode depends on.

    The stored initial states do not hold where the fixtures stand (cabinet, stove, ...): LIBERO draws their poses anew
    in every reset, within a centimetre or so.
    """

    init_state: int
    """One of the task's 50."""
    seed: int
    """Of the fixtures' poses, 32 bits."""


def episode_start(run_seed: int, phase: Phase, episode: int) -> Start:
    """Start of one episode of a run: the initial states of its phase in turn, and fixtures of its own."""
    states = SPLIT[phase]
    sequence = np.random.SeedSequence(run_seed, spawn_key=(list(SPLIT).index(phase), episode))
    return Start(states[episode % len(states)], int(sequence.generate_state(1)[0]))


@dataclass(frozen=True)
class Observation:
    """The state of the scene as a policy is shown it."""

    agentview: Frame | None
    """[256, 256, 3], as the simulator gives it: upside down. None without cameras, and after a success."""
    wrist: Frame | None
    """The same of the camera in the hand."""
    proprio: Floats
    """[8]: position of the end effector (m), its axis-angle (rad), position of both fingers (m)."""
    instruction: str


@dataclass(frozen=True)
class Played:
    """Result of a chunk."""

    observation: Observation
    rewards: Floats
    """[steps played]."""
    success: bool
    """Whether the last step solved the task; the episode is over then."""
    truncated: bool
    """Whether the last step was the horizon's, without success."""

    @property
    def done(self) -> bool:
        """Whether the episode is over."""
        return self.success or self.truncated


class LiberoEnv:
    """One LIBERO task.

    An episode follows from its `Start` and its actions, whatever came before. Several objects may live in one process;
    each holds up to 2 GB, which `close` frees.

    Args:
        task: one of `gipo.suites.libero_tasks.LIBERO_TASKS`.
        cameras: whether observations have frames.
        reward: in place of LIBERO's own, which is 1 in a step that solves the task and 0 in others.
        horizon: steps of an episode, in place of the suite's number.

    Raises:
        GipoError: unknown task, LIBERO is not installed, nothing can draw, or assets are missing.
    """

    def __init__(
        self, task: str, *, cameras: bool = True, reward: Reward | None = None, horizon: int | None = None
    ) -> None:
        self.task = libero_task(task)
        self.horizon = self.task.horizon if horizon is None else horizon
        """Steps after which an episode ends."""
        self.cameras = cameras
        self.renderer = renderer()
        """One of `gipo.envs.libero_import.RENDERERS`."""
        self._reward = reward
        self._simulator = control_env()(
            bddl_file_name=str(package() / "bddl_files" / self.task.suite / f"{self.task.name}.bddl"),
            use_camera_obs=cameras,
            has_offscreen_renderer=cameras,
            camera_names=list(CAMERAS),
            camera_heights=FRAME_SIZE,
            camera_widths=FRAME_SIZE,
            hard_reset=False,
        )
        self._domain = self._simulator.env
        self._shutter = Shutter(self._domain) if cameras else None
        self._init_states = _init_states(self.task.suite, self.task.name)
        self._sites = self._domain.sim.model.site_rgba.copy()
        self._domain.sim.reset = self._renew
        self._bodies = {**self._domain.objects_dict, **self._domain.fixtures_dict}
        self._step = self.horizon
        self._succeeded = False
        self._sampled: Mapping[str, Any] = {}

    def reset(self, start: Start) -> Observation:
        """Begin an episode and play its warm-up.

        Raises:
            GipoError: no such initial state.
        """
        if not 0 <= start.init_state < len(self._init_states):
            raise GipoError(f"init_state is {start.init_state}, expected 0 to {len(self._init_states) - 1}")
        self._place(start.seed)
        gripper = self._domain.robots[0].gripper
        gripper.current_action = np.zeros(gripper.dof)
        self._simulator.set_init_state(self._init_states[start.init_state])
        for step in range(1, WARM_UP + 1):
            self._advance(np.array(NO_OP), seen=step == WARM_UP)
        self._step, self._succeeded = 0, False
        return self._observation()

    def step_chunk(self, actions: npt.NDArray[Any]) -> Played:
        """Play actions until the last, the first success or the horizon.

        Args:
            actions: [n, 7] in [-1, 1], clipped: end effector's translation, rotation, and gripper (-1 opens, 1 closes).

        Raises:
            GipoError: another shape, a number that is not finite, or no episode has begun or it is over.
        """
        if actions.ndim != 2 or not len(actions) or actions.shape[1] != ACTION_DIMENSIONS:
            raise GipoError(f"actions have shape {list(actions.shape)}, expected [n, {ACTION_DIMENSIONS}]")
        if not np.isfinite(actions).all():
            raise GipoError("an action is not finite")
        left = 0 if self._succeeded else self.horizon - self._step
        if not left:
            raise GipoError(f"{self.task.name}: no episode is under way; reset first")
        rewards = []
        for step, action in enumerate(actions[:left], 1):
            self._succeeded = self._advance(action, seen=step == min(left, len(actions)))
            rewards.append(float(self._succeeded) if self._reward is None else self._reward(self))
            if self._succeeded:
                break
        self._step += len(rewards)
        truncated = self._step == self.horizon and not self._succeeded
        return Played(self._observation(), np.array(rewards), self._succeeded, truncated)

    def state_observation(self) -> npt.NDArray[np.float32]:
        """Observation for a policy without cameras, float32, of the last sub-step; its layout is fixed for a task.

        Proprio [8]; then of every object and fixture the offset from the end effector (m, along the world's axes, as
        actions are), and its quaternion (w, x, y, z) in the end effector's frame, of the sign that keeps it continuous;
        then the position of every joint of the fixtures (m or rad).
        """
        data = self._domain.sim.data
        hand = self.end_effector()
        inverse = _conjugate(data.get_body_xquat(self._domain.robots[0].robot_model.eef_name))
        parts = [proprio(self._sampled)]
        for name in self._bodies:
            body = self._domain.obj_body_id[name]
            parts += [data.body_xpos[body] - hand, _product(inverse, data.body_xquat[body])]
        parts.append(np.array([float(data.get_joint_qpos(joint)) for joint in self._joints()]))
        return np.concatenate(parts).astype(np.float32)

    def end_effector(self) -> Floats:
        """Position between the fingers, [3], world frame, m; of the last sub-step."""
        return np.array(self._domain.sim.data.site_xpos[self._domain.robots[0].eef_site_id])

    def position(self, name: str) -> Floats:
        """Position of an object, fixture or region of the BDDL file, [3], world frame, m; of the last sub-step."""
        data = self._domain.sim.data
        if name in self._bodies:
            return np.array(data.body_xpos[self._domain.obj_body_id[name]])
        return np.array(data.get_site_xpos(name))

    def goal(self) -> tuple[tuple[str, ...], ...]:
        """The BDDL file's goal: predicates that must all hold, e.g. ``("on", "akita_black_bowl_1", "plate_1")``."""
        return tuple(tuple(predicate) for predicate in self._domain.parsed_problem["goal_state"])

    def close(self) -> None:
        """Free the simulator."""
        if self._shutter is not None:
            self._shutter.make_current()  # or what is freed would be another environment's textures
        self._simulator.close()

    def _place(self, seed: int) -> None:
        """Soft reset with fixtures at the poses of a seed; LIBERO draws them from numpy's global generator."""
        from robosuite.utils.errors import RandomizationError

        others = np.random.get_state()  # noqa: NPY002
        np.random.seed(seed)  # noqa: NPY002
        try:
            while True:
                try:
                    self._domain.reset()
                    return
                except RandomizationError:  # some poses collide; drawn again, as LIBERO does
                    continue
        finally:
            np.random.set_state(others)  # noqa: NPY002

    def _renew(self) -> None:
        """In place of the simulator's reset: what a scene built anew would hold, its fixtures at the origin."""
        sim = self._domain.sim
        for fixture in self._domain.fixtures_dict.values():
            body = sim.model.body_name2id(fixture.root_body)
            sim.model.body_pos[body], sim.model.body_quat[body] = (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0)
        sim.model.site_rgba[:] = self._sites
        type(sim).reset(sim)
        sim.forward()
        sim.forward()  # as the new scene's renderer does; the solver starts where it ended before

    def _advance(self, action: Floats, seen: bool) -> bool:
        """One step; whether it solved the task."""
        if self._shutter is not None:
            self._shutter.is_open = seen
        try:
            self._sampled, _, success, _ = self._simulator.step(action)
        finally:
            if self._shutter is not None:
                self._shutter.is_open = False
        return bool(success)

    def _observation(self) -> Observation:
        drawn = self.cameras and not self._succeeded
        agentview, wrist = (self._sampled[f"{camera}_image"] if drawn else None for camera in CAMERAS)
        return Observation(agentview, wrist, proprio(self._sampled), self.task.instruction)

    def _joints(self) -> list[str]:
        return [joint for fixture in self._domain.fixtures_dict.values() for joint in fixture.joints]


class Shutter:
    """In front of the camera sensors of a robosuite environment: they draw only while it is open."""

    def __init__(self, domain: Any) -> None:
        self.is_open = False
        self._context = domain.sim._render_context_offscreen.gl_ctx
        for camera in CAMERAS:
            name = f"{camera}_image"
            domain.modify_observable(name, "sensor", self._behind(domain._observables[name]._sensor))

    def make_current(self) -> None:
        """Direct OpenGL to this environment; robosuite takes it for the only one of the process."""
        self._context.make_current()

    def _behind(self, sensor: Callable[[Any], Frame]) -> Callable[[Any], Frame]:
        blank = np.zeros((FRAME_SIZE, FRAME_SIZE, 3), np.uint8)

        @functools.wraps(sensor)
        def seen(cache: Any) -> Frame:
            if not self.is_open:
                return blank
            self.make_current()
            return sensor(cache)

        return seen


def proprio(sampled: Mapping[str, Any]) -> Floats:
    """Proprioception [8] as openvla-oft takes it from robosuite's observation [C], see `Observation`."""
    x, y, z, w = sampled["robot0_eef_quat"]
    w = min(max(w, -1.0), 1.0)
    length = math.sqrt(1.0 - w * w)
    turn = np.zeros(3) if math.isclose(length, 0.0) else np.array((x, y, z)) * 2.0 * math.acos(w) / length
    return np.concatenate((sampled["robot0_eef_pos"], turn, sampled["robot0_gripper_qpos"]))


def _init_states(suite: str, name: str) -> Floats:
    """Stored states of the simulator, [50, 1 + nq + nv]: time, positions, velocities. A torch file without tensors."""
    with zipfile.ZipFile(package() / "init_files" / suite / f"{name}.pruned_init") as archive:
        states: Floats = pickle.loads(archive.read("archive/data.pkl"))
    return states


def _conjugate(quaternion: Floats) -> Floats:
    return quaternion * (1.0, -1.0, -1.0, -1.0)


def _product(p: Floats, q: Floats) -> Floats:
    """Hamilton product of quaternions (w, x, y, z)."""
    scalar = p[0] * q[0] - p[1:] @ q[1:]
    return np.concatenate(([scalar], p[0] * q[1:] + q[0] * p[1:] + np.cross(p[1:], q[1:])))
