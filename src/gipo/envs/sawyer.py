"""MetaWorld's Sawyer environments with the overhead of a step taken out.

Physics and reward formulas are MetaWorld's own code. Replaced are what it calls for small change at a high price:
scipy's `Rotation` for one 3 x 3 matrix, an array version of `tolerance` for one number, MuJoCo's look-up by name, the
search for contacts, a dozen temporary arrays for an observation, and the first of the two resets that `reset` makes.
Left out is `mj_rnePostConstraint`, whose results nothing reads. Observations, rewards and success stay the same, bit
for bit (tests/envs/test_metaworld.py compares whole episodes).
"""

from __future__ import annotations

import inspect
import math
from functools import cache
from types import FunctionType, SimpleNamespace
from typing import Any

import metaworld
import mujoco
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


class NamedData(mujoco.MjData):  # type: ignore[misc]
    """Simulation data that looks each name up once."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.body, self.geom, self.site = cache(super().body), cache(super().geom), cache(super().site)


class FastSawyer(SawyerXYZEnv):  # type: ignore[misc]
    """Mixin in front of a MetaWorld environment class."""

    def __init__(self) -> None:
        self._settles = True
        super().__init__()
        self._hand = self.data.body("hand").xpos
        self._pads = self.data.geom("leftpad_geom").id, self.data.geom("rightpad_geom").id
        self._claws = self.data.body("rightclaw").xpos, self.data.body("leftclaw").xpos

    def begin(self, goal: Any) -> Floats:
        """Reset to ``goal``; returns the first observation, [39].

        MetaWorld's `reset` places the objects, then resets the data and places them again. The first pass counts only
        for the objects' positions in the model, which the arm must find in place while it settles in the second.
        """
        self.set_task(goal)
        self._settles = False
        self.reset_model()
        self._settles = True
        observation, _ = MujocoEnv.reset(self)
        observation[18:36] = self._prev_obs = observation[:18].copy()
        space = self.sawyer_observation_space
        self._limits = space.low, space.high
        return observation

    def advance(self, action: Floats) -> tuple[Floats, float, bool]:
        """One step with ``action`` in [-1, 1]^4: observation [39], reward, success; as MetaWorld's `step`."""
        mocap = self.data.mocap_pos[0] + action[:3] * self.action_scale
        self.data.mocap_pos[0] = np.minimum(np.maximum(mocap, self.mocap_low), self.mocap_high)
        self.data.mocap_quat[0] = (1, 0, 1, 0)
        self.data.ctrl[:] = (action[3], -action[3])
        mujoco.mj_step(self.model, self.data, nstep=self.frame_skip)
        mujoco.mj_forward(self.model, self.data)
        low, high = self._limits
        observation = np.minimum(np.maximum(self._get_obs(), low), high)
        reward, info = self.evaluate_state(observation, action)
        return observation, float(reward), info["success"] == 1.0

    def _initialize_simulation(self) -> tuple[Any, NamedData]:
        model, _ = super()._initialize_simulation()
        return model, NamedData(model)

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
        if not hasattr(self, "_claws"):
            return super()._get_curr_obs_combined_no_goal()
        gap = self._claws[0] - self._claws[1]
        observation = np.zeros(18)
        observation[:3] = self._hand
        observation[3] = min(math.sqrt(gap.dot(gap)) / 0.1, 1.0)
        positions, quaternions = self._get_pos_objects(), self._get_quat_objects()
        for i in range(len(positions) // 3):
            observation[4 + 7 * i : 7 + 7 * i] = positions[3 * i : 3 * i + 3]
            observation[7 + 7 * i : 11 + 7 * i] = quaternions[4 * i : 4 * i + 4]
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


METHODS = ("_get_quat_objects", "compute_reward", "_gripper_caging_reward", "_reward_pos", "_reward_quat")
"""MetaWorld's methods that call `Rotation` or `tolerance`."""


@cache
def fast_class(task: str) -> type[FastSawyer]:
    """MetaWorld's class of ``task`` behind `FastSawyer`.

    `METHODS` keep their code but find the `Rotation` and `tolerance` of this module under those names, so that
    MetaWorld's own modules, which others may be using, stay as they are.
    """
    original = ALL_V3_ENVIRONMENTS[task]
    fast = type(original.__name__, (FastSawyer, original), {})
    names = {
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
