"""LIBERO at 256 px with two cameras: LIBERO's own environment against ours, same starts and actions, in one run.

    python benchmarks/libero_speed.py [out.csv]

One process, one thread, a task of each suite. Per row:

- stock_steps_per_second, ours_steps_per_second, steps_ratio: chunks of 8 steps; stock draws every step, ours the last;
- stock_reset_seconds, ours_reset_seconds, reset_ratio: from the end of an episode to the first observation of the next,
  the warm-up of 10 steps included; stock builds the scene anew, ours puts its state back;
- blind_steps_per_second: ours without cameras.

States and the frames that the policy sees are compared as they go; any difference ends the benchmark.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import mean
from typing import Any

import numpy as np

from gipo.envs.libero import CAMERAS, FRAME_SIZE, NO_OP, WARM_UP, LiberoEnv, Observation, Start
from gipo.envs.libero_import import control_env, package
from timing import publish

TASKS = ("libero_spatial_0", "libero_object_0", "libero_goal_0", "libero_10_0")
EPISODES, CHUNKS, CHUNK = 1, 4, 8


class Stock:
    """LIBERO's environment as openvla-oft's evaluation uses it, but each episode seeded like ours."""

    def __init__(self, ours: LiberoEnv) -> None:
        file = package() / "bddl_files" / ours.task.suite / f"{ours.task.name}.bddl"
        self._env = control_env()(bddl_file_name=str(file), camera_heights=FRAME_SIZE, camera_widths=FRAME_SIZE)
        self._init_states = ours._init_states

    def reset(self, start: Start) -> dict[str, np.ndarray]:
        """Rebuild the scene and play the warm-up; returns the observation of its last step."""
        self._make_current()  # or the scene that goes would free our textures in the place of its own
        self._env.env.object_property_initializers.clear()
        self._env.seed(start.seed)
        self._env.reset()
        self._env.set_init_state(self._init_states[start.init_state])
        return self.step_chunk(np.tile(NO_OP, (WARM_UP, 1)))

    def step_chunk(self, actions: np.ndarray) -> dict[str, np.ndarray]:
        """Play all actions; returns the last observation."""
        self._make_current()
        for action in actions:
            sampled, *_ = self._env.step(action)
        return sampled

    def state(self) -> np.ndarray:
        """State of the simulator."""
        return self._env.get_sim_state()

    def _make_current(self) -> None:
        """Direct OpenGL to this environment: there are two, and robosuite assumes one."""
        self._env.sim._render_context_offscreen.gl_ctx.make_current()

    def close(self) -> None:
        """Free the simulator."""
        self._make_current()
        self._env.close()


def timed(call: Callable[[Any], Any], argument: object) -> tuple[float, Any]:
    start = time.perf_counter()
    result = call(argument)
    return time.perf_counter() - start, result


def compare(task: str) -> dict[str, float | str]:
    """Episodes of all three, chunk by chunk in turn; the first, in which everything is new, is not counted."""
    ours, blind = LiberoEnv(task), LiberoEnv(task, cameras=False)
    stock = Stock(ours)
    generator = np.random.default_rng(0)
    resets, chunks = [], []
    for episode in range(1 + EPISODES):
        start = Start(init_state=episode, seed=episode)
        (stock_time, theirs), (our_time, mine) = timed(stock.reset, start), timed(ours.reset, start)
        blind.reset(start)
        same(stock, theirs, ours, mine, blind)
        if episode:
            resets.append((stock_time, our_time))
        for actions in generator.uniform(-1, 1, size=(CHUNKS, CHUNK, 7)):
            stock_time, theirs = timed(stock.step_chunk, actions)
            our_time, played = timed(ours.step_chunk, actions)
            blind_time, _ = timed(blind.step_chunk, actions)
            same(stock, theirs, ours, played.observation, blind)
            if episode:
                chunks.append((stock_time, our_time, blind_time))
    stock_reset, our_reset = map(mean, zip(*resets, strict=True))
    stock_chunk, our_chunk, blind_chunk = map(mean, zip(*chunks, strict=True))
    for environment in (stock, ours, blind):
        environment.close()
    return {
        "task": task,
        "renderer": ours.renderer,
        "stock_steps_per_second": CHUNK / stock_chunk,
        "ours_steps_per_second": CHUNK / our_chunk,
        "steps_ratio": stock_chunk / our_chunk,
        "stock_reset_seconds": stock_reset,
        "ours_reset_seconds": our_reset,
        "reset_ratio": stock_reset / our_reset,
        "blind_steps_per_second": CHUNK / blind_chunk,
    }


def same(stock: Stock, theirs: dict[str, np.ndarray], ours: LiberoEnv, mine: Observation, blind: LiberoEnv) -> None:
    for environment in (ours, blind):
        np.testing.assert_array_equal(environment._simulator.get_sim_state(), stock.state())
    for camera, frame in zip(CAMERAS, (mine.agentview, mine.wrist), strict=True):
        np.testing.assert_array_equal(frame, theirs[f"{camera}_image"])


if __name__ == "__main__":
    publish([compare(task) for task in TASKS])
