"""Returns of the random policy and of the expert, 0 and 1 of the normalised score.

A suite ``<name>`` whose score is between these two has a module ``gipo.envs.<name>`` with a function
``make_environment(task, bins=..., episode_steps=...)`` that gives a `ScoredEnvironment`.
"""

from __future__ import annotations

import importlib
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from gipo.runs.streams import episode_seed

Array = npt.NDArray[Any]
Step = tuple[Array, float, bool, bool, dict[str, Any]]
"""Observation, reward, whether the task ended, whether the time limit cut the episode, and ``info``."""


class ScoredEnvironment(Protocol):
    """A simulator of one task that has an expert."""

    action_dimensions: int

    def reset(self, *, seed: int) -> tuple[Array, dict[str, Any]]:
        """Begin the episode of a seed."""

    def step(self, action: Array) -> Step:
        """Play one token per action dimension; ``info`` has ``success_any`` and ``success_last``."""

    def step_expert(self, observation: Array) -> Step:
        """Play what the expert does on the latest observation."""


def measure(suite: str, task: str, *, bins: int, episode_steps: int, episodes: int, seed: int) -> pd.DataFrame:
    """Play both policies on the same episodes.

    Args:
        suite: name of a suite with baselines.
        task: one of its tasks.
        bins: tokens per action dimension, which the random policy draws uniformly.
        episode_steps: time limit.
        episodes: episodes of each policy.
        seed: of the episodes.

    Returns:
        One row per policy and episode: task, policy (random or expert), episode, return, success_any, success_last.
    """
    module = importlib.import_module(f"gipo.envs.{suite}")
    environment: ScoredEnvironment = module.make_environment(task, bins=bins, episode_steps=episode_steps)
    rows = []
    for episode in range(episodes):
        key = episode_seed(seed, "baseline", episode)
        generator = np.random.default_rng([key, 1])  # apart from the stream that draws the goal
        for policy in ("random", "expert"):
            observation, _ = environment.reset(seed=key)
            total, ended = 0.0, False
            while not ended:
                if policy == "random":
                    played = environment.step(generator.integers(bins, size=environment.action_dimensions))
                else:
                    played = environment.step_expert(observation)
                observation, reward, terminated, truncated, info = played
                total, ended = total + reward, terminated or truncated
            success = {name: info[name] for name in ("success_any", "success_last")}
            rows.append({"task": task, "policy": policy, "episode": episode, "return": total} | success)
    return pd.DataFrame(rows)
