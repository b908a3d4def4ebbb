"""A point moves in the square [-1, 1]^2, at most 0.2 a step along each axis; it is to come to a target."""

import numpy as np

OBSERVATION_SIZE = 4
ACTION_DIMENSIONS = 2
DISTANCE = {"near": 0.5, "far": 1.0}


class ToyEnv:
    """An episode ends where the target is reached, and is cut at the time limit."""

    action_dimensions = ACTION_DIMENSIONS

    def __init__(self, task, bins, episode_steps):
        self.task, self.bins, self.episode_steps = task, bins, episode_steps

    def reset(self, *, seed):
        generator = np.random.default_rng(seed)
        angle = generator.uniform(0, 2 * np.pi)
        self.position, self.step_number = np.zeros(2), 0
        self.target = DISTANCE[self.task] * np.array([np.cos(angle), np.sin(angle)])
        return self._observation(), {}

    def step(self, action):
        return self._move(-1 + 2 * np.asarray(action) / (self.bins - 1))

    def step_expert(self, observation):
        return self._move(np.clip((observation[2:] - observation[:2]) / 0.2, -1, 1))

    def _move(self, direction):
        self.position = np.clip(self.position + 0.2 * direction, -1, 1)
        self.step_number += 1
        distance = float(np.linalg.norm(self.target - self.position))
        reached = distance < 0.15
        truncated = not reached and self.step_number == self.episode_steps
        info = {"success_any": reached, "success_last": reached}
        return self._observation(), 10.0 * reached - distance, reached, truncated, info

    def _observation(self):
        return np.concatenate([self.position, self.target])


def make_environment(task, *, bins, episode_steps):
    return ToyEnv(task, bins, episode_steps)
