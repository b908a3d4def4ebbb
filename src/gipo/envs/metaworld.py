"""MetaWorld tasks with discretised actions, episodes that depend on their seed alone, and both meanings of success."""

from __future__ import annotations

import gipo.envs.mujoco_import  # noqa: F401

# isort: split
from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar

import gymnasium
import metaworld.policies
import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, MultiDiscrete

from gipo import suites
from gipo.envs.sawyer import fast_class, goals
from gipo.errors import GipoError

Floats = npt.NDArray[np.float64]

ACTION_DIMENSIONS = 4
OBSERVATION_SIZE = 39


class MetaWorldEnv(gymnasium.Env[Floats, npt.NDArray[np.int64]]):  # type: ignore[misc]
    """One MetaWorld task behind the gymnasium API.

    An action is one token per dimension, ``a = -1 + 2 * token / (bins - 1)`` [C]. An episode's goal, one of the task's
    50 MT1 goals, is drawn from the seed given to `reset`; what follows is deterministic, whatever came before.
    Episodes never terminate: success is a bonus state, and the time limit truncates.

    ``info`` of a step holds ``success`` (now), ``success_any`` (at any step so far, MetaWorld's own definition) and
    ``success_last`` (now; at the last step it is what the authors' code counts).

    Args:
        task: one of `gipo.suites.metaworld.METAWORLD_TASKS`.
        bins: tokens per action dimension.
        episode_steps: time limit.

    Raises:
        GipoError: unknown task.
    """

    metadata: ClassVar[dict[str, list[str]]] = {"render_modes": []}
    action_dimensions = ACTION_DIMENSIONS

    def __init__(self, task: str, *, bins: int = 256, episode_steps: int = 500) -> None:
        suites.get("metaworld").check_task(task)
        self.task, self.bins, self.episode_steps = task, bins, episode_steps
        self.action_space = MultiDiscrete([bins] * ACTION_DIMENSIONS)
        self._levels = -1 + 2 * np.arange(bins, dtype=np.float64) / (bins - 1)
        self.sawyer = fast_class(task)()
        self._goals = goals(task)
        self.sawyer.set_task(self._goals[0])
        space = self.sawyer.sawyer_observation_space
        self.observation_space = Box(space.low, space.high, dtype=np.float64)
        self._step = episode_steps
        self._succeeded = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Begin the episode of ``seed``; without one, an episode drawn from the last seed's stream."""
        super().reset(seed=seed)
        goal = self._goals[self.np_random.integers(len(self._goals))]
        self._step, self._succeeded = 0, False
        return self.sawyer.begin(goal), {}

    def step(self, action: npt.NDArray[Any]) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """Play one token per action dimension, integers in [0, bins), [4]."""
        return self._play(self._levels.take(action))

    def step_continuous(self, action: Floats) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """Play a continuous action, clipped to [-1, 1]^4, as the scripted expert does."""
        return self._play(np.minimum(np.maximum(action, -1.0), 1.0))

    def step_expert(self, observation: Floats) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """Play what MetaWorld's scripted policy does on the latest observation, a continuous action."""
        return self.step_continuous(self._expert(observation))

    @cached_property
    def _expert(self) -> Callable[[Floats], Floats]:
        return expert(self.task)

    def _play(self, action: Floats) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        if self._step >= self.episode_steps:
            raise GipoError(f"{self.task}: the episode of {self.episode_steps} steps is over; reset first")
        observation, reward, success = self.sawyer.advance(action)
        self._step += 1
        self._succeeded |= success
        info = {"success": success, "success_any": self._succeeded, "success_last": success}
        return observation, reward, False, self._step == self.episode_steps, info


def make_environment(task: str, *, bins: int, episode_steps: int) -> MetaWorldEnv:
    """A task with its expert, for `gipo.envs.baselines`."""
    return MetaWorldEnv(task, bins=bins, episode_steps=episode_steps)


def expert(task: str) -> Callable[[Floats], Floats]:
    """MetaWorld's scripted policy of a task: observation [39] to action in [-1, 1]^4."""
    policy = metaworld.policies.ENV_POLICY_MAP[task]()

    def act(observation: Floats) -> Floats:
        action = policy.get_action(observation.copy())  # some scripts write into their input
        return np.clip(action, -1.0, 1.0).astype(np.float64)

    return act
