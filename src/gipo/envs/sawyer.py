"""MetaWorld's Sawyer environments with the overhead of a step taken out.

Physics and reward formulas are MetaWorld's own code. Replaced are, in the order of what they save:

- in Python, what it calls for small change at a high price: scipy's `Rotation` for one 3 x 3 matrix, array versions of
  `tolerance` and `norm` for one number or vector, MuJoCo's look-up by name, the search for contacts, a dozen temporary
  arrays for an observation, and the first of the two resets that `reset` makes;
- a reset to a goal that came up before in this process, by putting back where the first one ended (`FirstState`);
- the model, by one without the meshes that are only looked at (`light_model`);
- of the first of a step's five physics steps, what the `mj_forward` that ended the last step has already computed. Only
  the controls and the arm's mocap target, which no geom touches, differ, so the collisions, the inertias and all that
  depends on positions and velocities alone are still good, and the constraints and accelerations are computed anew.
  That `mj_forward` itself must stay: its accelerations are where the solver of the next step starts from;
- `mj_rnePostConstraint`, whose results nothing reads, by nothing.

Observations, rewards and success stay the same, bit for bit, and so does the state of the simulator: the tests compare
whole episodes (tests/envs/test_metaworld.py).
"""

from __future__ import annotations

from gipo.envs.mujoco_import import mujoco

# isort: split
import copy
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any, ClassVar

import metaworld
import numpy as np
import numpy.typing as npt
from gymnasium.envs.mujoco import MujocoEnv
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from metaworld.sawyer_xyz_env import SawyerXYZEnv
from metaworld.utils import reward_utils

Floats = npt.NDArray[np.float64]

GOAL_SEED = 0
"""Constructor seed of MT1, which alone determines a task's 50 goals."""


@cache
def goals(task: str) -> list[Any]:
    """The task's 50 MT1 goals, drawn once per process: MetaWorld resets its simulator 50 times for them."""
    tasks: list[Any] = metaworld.MT1(task, seed=GOAL_SEED).train_tasks
    return tasks


def light_model(path: str) -> Any:
    """Compiled model of an XML file without the meshes that are only looked at.

    They have no name, nothing can touch them, and their bodies' inertia is given, so the physics never sees them. But
    each of its collision checks clears a flag for each of their some 100,000 triangles.
    """
    spec = mujoco.MjSpec.from_file(path)
    masks = {(geom.contype, geom.conaffinity) for geom in spec.geoms}
    for geom in list(spec.geoms):
        touchable = any(geom.contype & affinity or kind & geom.conaffinity for kind, affinity in masks)
        if geom.type == mujoco.mjtGeom.mjGEOM_MESH and geom.parent.explicitinertial and not (geom.name or touchable):
            geom.delete()
    used = {geom.meshname for geom in spec.geoms}
    for mesh in list(spec.meshes):
        if (mesh.name or Path(mesh.file).stem) not in used:
            mesh.delete()
    return spec.compile()


class CachedView:
    """MuJoCo's access to one body, geom, site or joint, which makes each array once instead of at each access."""

    def __init__(self, view: Any) -> None:
        self.__dict__["_view"] = view

    def __getattr__(self, name: str) -> Any:
        value = self.__dict__[name] = getattr(self._view, name)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._view, name, value)


class NamedData(mujoco.MjData):  # type: ignore[misc]
    """Simulation data that looks each name up once."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.body, self.geom = _viewing(super().body), _viewing(super().geom)
        self.site, self.joint = _viewing(super().site), _viewing(super().joint)


def _viewing(look_up: Callable[[str], Any]) -> Callable[[str], CachedView]:
    return cache(lambda name: CachedView(look_up(name)))


@dataclass(frozen=True)
class FirstState:
    """First state of an episode with a certain goal: everything that MetaWorld's `reset` sets and a step reads."""

    observation: Floats  # [39]
    physics: Floats  # simulator state, mjSTATE_INTEGRATION
    bodies: Floats  # [bodies, 3], their positions in the model, and those of the sites
    sites: Floats
    attributes: dict[str, Any]  # plain values and arrays of the environment object

    STATE: ClassVar[int] = mujoco.mjtState.mjSTATE_INTEGRATION

    @classmethod
    def of(cls, sawyer: FastSawyer, observation: Floats) -> FirstState:
        """Take it from an environment that was just reset."""
        model, data = sawyer.model, sawyer.data
        physics = np.empty(mujoco.mj_stateSize(model, cls.STATE))
        mujoco.mj_getState(model, data, physics, cls.STATE)
        own = {name: copy.copy(value) for name, value in vars(sawyer).items() if _is_own(value)}
        return cls(observation, physics, model.body_pos.copy(), model.site_pos.copy(), own)

    def restore(self, sawyer: FastSawyer) -> None:
        """Put an environment of the same task there."""
        mujoco.mj_setState(sawyer.model, sawyer.data, self.physics, self.STATE)
        sawyer.model.body_pos[:], sawyer.model.site_pos[:] = self.bodies, self.sites
        sawyer.__dict__.update({name: copy.copy(value) for name, value in self.attributes.items()})


def _is_own(value: Any) -> bool:
    """Whether an attribute is a plain value, or an array that is no view of the simulator's memory."""
    while isinstance(value, np.ndarray) and value.base is not None:
        value = value.base
    return value is None or isinstance(value, (bool, int, float, list, np.ndarray))


class FastSawyer(SawyerXYZEnv):  # type: ignore[misc]
    """Mixin in front of a MetaWorld environment class."""

    first_states: dict[bytes, FirstState]
    """Of this task's goals, filled as they come up; the arm settles for 250 physics steps in every reset."""

    def __init__(self) -> None:
        self._settles, self._is_new = True, True
        super().__init__()

    def begin(self, goal: Any) -> Floats:
        """Reset to ``goal``; returns the first observation, [39]."""
        # A new object lacks what a reset leaves besides a `FirstState`.
        if self._is_new or goal.data not in self.first_states:
            self._is_new = False
            self.first_states[goal.data] = FirstState.of(self, self._reset_to(goal))
        start = self.first_states[goal.data]
        start.restore(self)
        return start.observation.copy()

    def _reset_to(self, goal: Any) -> Floats:
        """MetaWorld's `reset`, which places the objects, then resets the data and places them again.

        The first pass counts only for the objects' positions in the model, which the arm must find in place while it
        settles in the second.
        """
        self.set_task(goal)
        self._settles = False
        self.reset_model()
        self._settles = True
        observation, _ = MujocoEnv.reset(self)
        self._just_reset = True
        observation[18:36] = self._prev_obs = observation[:18].copy()
        space = self.sawyer_observation_space
        self._limits = space.low, space.high
        return observation

    def advance(self, action: Floats) -> tuple[Floats, float, bool]:
        """One step with ``action`` in [-1, 1]^4: observation [39], reward, success; as MetaWorld's `step`."""
        model, data, mocap = self.model, self.data, self._mocap
        mocap += action[:3] * self.action_scale
        np.maximum(mocap, self.mocap_low, out=mocap)
        np.minimum(mocap, self.mocap_high, out=mocap)
        self._gripper[0], self._gripper[1] = action[3], -action[3]
        if self._just_reset:
            mujoco.mj_step(model, data, nstep=self.frame_skip)
            self._just_reset = False
        else:  # the first physics step goes on from the last `mj_forward`
            self._mocap_body[:] = mocap
            mujoco.mj_makeConstraint(model, data)
            mujoco.mj_referenceConstraint(model, data)
            mujoco.mj_step2(model, data)
            mujoco.mj_step(model, data, nstep=self.frame_skip - 1)
        mujoco.mj_forward(model, data)
        observation = self._get_obs()
        low, high = self._limits
        np.maximum(observation, low, out=observation)
        np.minimum(observation, high, out=observation)
        reward, info = self.evaluate_state(observation, action)
        return observation, float(reward), info["success"] == 1.0

    def _initialize_simulation(self) -> tuple[Any, NamedData]:
        model = light_model(self.fullpath)
        data = NamedData(model)
        self._mocap, self._mocap_body, self._gripper = data.mocap_pos[0], data.body("mocap").xpos, data.ctrl
        self._hand = data.body("hand").xpos
        self._claws = data.body("rightclaw").xpos, data.body("leftclaw").xpos
        self._pads = data.geom("leftpad_geom").id, data.geom("rightpad_geom").id
        return model, data

    def touching_object(self, object_geom_id: int) -> bool:
        """Whether both finger pads press on a geom; MetaWorld's version visits every contact in Python."""
        pairs, forces = self.data.contact.geom, self.data.efc_force
        on_object = (pairs == object_geom_id).any(axis=1)
        return all(
            forces[self.data.contact.efc_address[on_object & (pairs == pad).any(axis=1)]].sum() > 0
            for pad in self._pads
        )

    def _reset_hand(self, steps: int = 50) -> None:
        super()._reset_hand(steps if self._settles else 0)

    def _get_curr_obs_combined_no_goal(self) -> Floats:
        """Hand position, gripper opening, then position and quaternion of up to two objects, zero-padded to 18."""
        right, left = self._claws
        gap = right - left
        positions, quaternions = self._get_pos_objects(), self._get_quat_objects()
        observation = np.zeros(18)
        observation[:3] = self._hand
        observation[3] = min(math.sqrt(gap.dot(gap)) / 0.1, 1.0)
        observation[4:7], observation[7:11] = positions[:3], quaternions[:4]
        if len(positions) > 3:
            observation[11:14], observation[14:] = positions[3:], quaternions[4:]
        return observation

    def _get_obs(self) -> Floats:
        current = self._get_curr_obs_combined_no_goal()
        observation = np.concatenate((current, self._prev_obs, self._get_pos_goal()))
        self._prev_obs = current
        return observation


class Rotation:
    """The part of `scipy.spatial.transform.Rotation` that MetaWorld uses, for one matrix and without its overhead."""

    def __init__(self, matrix: Floats) -> None:
        self._matrix = matrix

    @classmethod
    def from_matrix(cls, matrix: Floats) -> Rotation:
        """Rotation matrix, [3, 3]."""
        return cls(matrix)

    def as_quat(self) -> Floats:
        """Quaternion (x, y, z, w), with scipy's choice of sign."""
        (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = self._matrix.tolist()
        trace = xx + yy + zz
        largest = max(xx, yy, zz, trace)
        if largest == xx:
            x, y, z, w = 1 - trace + 2 * xx, yx + xy, zx + xz, zy - yz
        elif largest == yy:
            x, y, z, w = xy + yx, 1 - trace + 2 * yy, zy + yz, xz - zx
        elif largest == zz:
            x, y, z, w = xz + zx, yz + zy, 1 - trace + 2 * zz, yx - xy
        else:
            x, y, z, w = zy - yz, xz - zx, yx - xy, 1 + trace
        return np.array((x, y, z, w)) / math.sqrt(x * x + y * y + z * z + w * w)


def tolerance(
    x: float,
    bounds: tuple[float, float] = (0.0, 0.0),
    margin: float = 0.0,
    sigmoid: str = "gaussian",
    value_at_margin: float = 0.1,
) -> float:
    """`metaworld.utils.reward_utils.tolerance` for the one case that rewards use at every step."""
    lower, upper = bounds
    if not (isinstance(x, float) and sigmoid == "long_tail" and margin > 0 and value_at_margin == 0.1):
        return float(reward_utils.tolerance(x, bounds, margin, sigmoid, value_at_margin))
    if lower <= x <= upper:
        return 1.0
    distance = (lower - x if x < lower else x - upper) / margin
    return float(1 / ((distance * 3.0) ** 2 + 1))


def norm(vector: Any, *args: Any, **kwargs: Any) -> Any:
    """`numpy.linalg.norm`, without its overhead for one vector or number."""
    if isinstance(vector, np.ndarray) and vector.ndim == 1 and not args and not kwargs:
        flat = vector.ravel()
        return np.float64(math.sqrt(flat.dot(flat)))
    if isinstance(vector, float):
        return np.float64(math.sqrt(vector * vector))
    return np.linalg.norm(vector, *args, **kwargs)


METHODS = ("_get_quat_objects", "compute_reward", "_gripper_caging_reward", "_reward_pos", "_reward_quat")
"""MetaWorld's methods that call `Rotation`, `tolerance` or `norm`."""


@cache
def fast_class(task: str) -> type[FastSawyer]:
    """MetaWorld's class of ``task`` behind `FastSawyer`.

    `METHODS` keep their code but find the `Rotation`, `tolerance` and `norm` of this module under those names, so that
    MetaWorld's own modules, which others may be using, stay as they are.
    """
    original = ALL_V3_ENVIRONMENTS[task]
    fast = type(original.__name__, (FastSawyer, original), {"first_states": {}})
    names = {
        "np": SimpleNamespace(**vars(np) | {"linalg": SimpleNamespace(**vars(np.linalg) | {"norm": norm})}),
        "Rotation": Rotation,
        "tolerance": tolerance,
        "reward_utils": SimpleNamespace(**vars(reward_utils) | {"tolerance": tolerance}),
        original.__name__: fast,
    }
    for name in METHODS:
        member = inspect.getattr_static(original, name, None)
        if member is not None:
            method = getattr(member, "__func__", member)
            rebound = FunctionType(method.__code__, method.__globals__ | names, name, method.__defaults__)
            setattr(fast, name, staticmethod(rebound) if isinstance(member, staticmethod) else rebound)
    return fast
