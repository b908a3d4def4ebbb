"""Shaped rewards for LIBERO tasks.

They check the engine: that a small policy on low-dimensional states learns something within minutes. The paper uses
LIBERO's own sparse reward, and no result about the paper may come from these.
"""

import math

import numpy as np

from gipo.envs.libero import LiberoEnv


def reach(environment: LiberoEnv) -> float:
    """Closeness of the gripper to the thing that the goal names first, in (0, 1]: ``1 - tanh(10 d)``, d in m [R].

    It is robosuite's own reaching term. The goal first names the object to move, or the fixture's part to
    operate; whether the task is solved does not count.
    """
    target = environment.goal()[0][1]
    distance = float(np.linalg.norm(environment.position(target) - environment.end_effector()))
    return 1.0 - math.tanh(10.0 * distance)
