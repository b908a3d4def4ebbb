"""Returns of the random policy and of the scripted expert, 0 and 1 of the normalised score."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gipo.envs.metaworld import MetaWorldEnv, expert
from gipo.runs.streams import episode_seed


def measure(task: str, *, bins: int, episode_steps: int, episodes: int, seed: int) -> pd.DataFrame:
    """Play both policies on the same episodes.

    Args:
        task: MetaWorld task.
        bins: tokens per action dimension; the random policy draws them uniformly, the expert acts continuously.
        episode_steps: time limit.
        episodes: episodes of each policy.
        seed: of the episodes.

    Returns:
        One row per policy and episode: task, policy (random or expert), episode, return, success_any, success_last.
    """
    environment = MetaWorldEnv(task, bins=bins, episode_steps=episode_steps)
    act = expert(task)
    rows = []
    for episode in range(episodes):
        key = episode_seed(seed, "baseline", episode)
        generator = np.random.default_rng([key, 1])  # apart from the stream that draws the goal
        for policy in ("random", "expert"):
            observation, _ = environment.reset(seed=key)
            total, truncated = 0.0, False
            while not truncated:
                if policy == "random":
                    observation, reward, _, truncated, info = environment.step(generator.integers(bins, size=4))
                else:
                    observation, reward, _, truncated, info = environment.step_continuous(act(observation))
                total += reward
            success = {name: info[name] for name in ("success_any", "success_last")}
            rows.append({"task": task, "policy": policy, "episode": episode, "return": total} | success)
    return pd.DataFrame(rows)
