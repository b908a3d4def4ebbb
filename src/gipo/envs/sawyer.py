"""MetaWorld's Sawyer environments with the overhead of a step taken out.

Physics and rewards are MetaWorld's own code. Replaced are: scipy's `Rotation`, a third of a step for one 3 x 3 matrix;
the observation's assembly from a dozen temporary arrays; the search for contacts; and the first of the two resets that
`reset` makes. Left out is `mj_rnePostConstraint`, whose results nothing reads. Observations, rewards and success equal
the original's (tests/envs/test_metaworld.py compares whole episodes).
"""

from __future__ import annotations

import math
from functools import cache
from types import FunctionType
from typing import Any

import metaworld
import mujoco
import numpy as np
import numpy.typing as npt
from gymnasium.envs.mujoco import MujocoEnv
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from metaworld.sawyer_xyz_env import SawyerXYZEnv

Floats = npt.NDArray[np.float64]

GOAL_SEED = 0
"""Constructor seed of MT1, which alone determines a task's 50 goals."""


@cache
def goals(task: str) -> list[Any]:
    """The task's 50 MT1 goals, drawn once per process: MetaWorld resets its simulator 50 times for them."""
    tasks: list[Any] = metaworld.MT1(task, seed=GOAL_SEED).train_tasks
    return tasks


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
        if largest == trace:
            x, y, z, w = zy - yz, xz - zx, yx - xy, 1 + trace
        elif largest == xx:
            x, y, z, w = 1 - trace + 2 * xx, yx + xy, zx + xz, zy - yz
        elif largest == yy:
            x, y, z, w = xy + yx, 1 - trace + 2 * yy, zy + yz, xz - zx
        else:
            x, y, z, w = xz + zx, yz + zy, 1 - trace + 2 * zz, yx - xy
        return np.array((x, y, z, w)) / math.sqrt(x * x + y * y + z * z + w * w)


@cache
def fast_class(task: str) -> type[FastSawyer]:
    """MetaWorld's class of ``task`` behind `FastSawyer`, its quaternions computed with the `Rotation` above."""
    original = ALL_V3_ENVIRONMENTS[task]
    quaternions = original._get_quat_objects
    with_fast_rotation = FunctionType(quaternions.__code__, {**quaternions.__globals__, "Rotation": Rotation})
    return type(original.__name__, (FastSawyer, original), {"_get_quat_objects": with_fast_rotation})
