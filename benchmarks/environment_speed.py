"""Env steps per second through our wrapper against plain ``gym.make``, on the same actions, in one run, one thread.

    python benchmarks/environment_speed.py [out.csv]

Observations and rewards of both are compared as they go; a difference ends the benchmark.
"""

from __future__ import annotations

import pickle
import sys
import time
import warnings
from statistics import median

import gymnasium
import metaworld  # noqa: F401  registers the environments
import numpy as np
import pandas as pd

from gipo.envs.metaworld import MetaWorldEnv
from gipo.envs.sawyer import GOAL_SEED
from machine import describe

TASKS = (
    *("sweep-into-v3", "drawer-open-v3", "door-open-v3", "button-press-topdown-v3", "handle-press-v3"),
    *("push-v3", "peg-insert-side-v3", "pick-place-v3", "plate-slide-v3", "coffee-button-v3"),
)
STEPS, BLOCK, ROUNDS, BINS = 300, 30, 7, 256


def compare(task: str) -> dict[str, float | str]:
    """Episodes of both environments with the same goals and the same actions, interleaved in blocks of steps."""
    ours = MetaWorldEnv(task, bins=BINS, episode_steps=STEPS)
    plain = gymnasium.make("Meta-World/MT1", env_name=task, seed=GOAL_SEED)
    generator = np.random.default_rng(0)
    tokens = generator.integers(BINS, size=(STEPS, 4))
    actions = -1 + 2 * tokens / (BINS - 1)
    rates: list[tuple[float, float]] = []
    for episode in range(ROUNDS):
        plain.reset()
        goal = plain.unwrapped._last_rand_vec
        number = next(i for i in range(50) if np.array_equal(_vector(ours, i), goal))
        ours.reset(seed=episode)
        ours._sawyer.begin(ours._goals[number])
        for block in range(0, STEPS, BLOCK):
            start = time.perf_counter()
            theirs = [plain.step(action)[:2] for action in actions[block : block + BLOCK]]
            middle = time.perf_counter()
            mine = [ours.step(token)[:2] for token in tokens[block : block + BLOCK]]
            end = time.perf_counter()
            rates.append((BLOCK / (middle - start), BLOCK / (end - middle)))
            for (their_observation, their_reward), (observation, reward) in zip(theirs, mine, strict=True):
                np.testing.assert_allclose(observation, their_observation, rtol=0, atol=1e-6)
                assert reward == their_reward
    return {
        "task": task,
        "plain_steps_per_second": median(rate for rate, _ in rates),
        "ours_steps_per_second": median(rate for _, rate in rates),
        "ratio": median(mine / theirs for theirs, mine in rates),
    }


def _vector(environment: MetaWorldEnv, number: int) -> np.ndarray:
    return pickle.loads(environment._goals[number].data)["rand_vec"]


def main() -> None:
    warnings.filterwarnings("ignore")
    table = pd.DataFrame([compare(task) | describe() for task in TASKS])
    columns = ["task", "plain_steps_per_second", "ours_steps_per_second", "ratio"]
    print(table[columns].round(2).to_string(index=False))
    print(f"median ratio {table['ratio'].median():.2f}, smallest {table['ratio'].min():.2f}")
    if len(sys.argv) > 1:
        table.to_csv(sys.argv[1], index=False, float_format="%.3f")


if __name__ == "__main__":
    main()
