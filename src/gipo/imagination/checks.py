"""Errors of the world model: branches of today's policy, played again in the simulator.

A check plays an episode of its own with the policy up to some step, imagines a branch from there, then plays the
branch's tokens for real. So the errors are those of the branches that the learner gets, and of no other actions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from gipo.imagination.branches import Array, Policy, imagine
from gipo.imagination.model import WorldModel
from gipo.runs.spec import CHECKED

Row = dict[str, Any]
"""One step of one branch; `gipo.tables.RUN_IMAGINATION` has the columns."""


class Simulator(Protocol):
    """As `gipo.engines.suites.Environment`."""

    def reset(self, *, seed: int) -> tuple[Array, dict[str, Any]]:
        """Begin the episode of a seed."""

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Play one token per action dimension; ``info`` has ``success_last``, success at this step."""


def check(
    model: WorldModel,
    policy: Policy,
    simulator: Simulator,
    seeds: Sequence[int],
    episode_steps: int,
    bins: int,
    generator: np.random.Generator,
) -> Iterator[Row]:
    """A row for each branch and each of its `gipo.runs.spec.CHECKED` steps.

    ``error`` is the distance of the imagined state from the simulator's, and ``still`` that of the state in which the
    branch began: what a model that foretells no change gets wrong. Both are in standard deviations of the data that the
    model was fitted on (`gipo.imagination.model.Normaliser.distance`). ``disagreement`` is the largest so far.

    Args:
        model: was fitted.
        policy: has the weights.
        simulator: of the run's task; its episodes end by their time limit alone.
        seeds: of the episodes, one for each branch.
        episode_steps: time limit, more than `gipo.runs.spec.CHECKED`.
        bins: tokens per action dimension.
        generator: draws where branches begin, and all tokens.
    """
    size = model.action_size
    for number, seed in enumerate(seeds):
        observation, _ = simulator.reset(seed=seed)
        start = int(generator.integers(episode_steps - CHECKED))
        for _ in range(start):
            tokens, *_ = policy.sample(_row(observation), generator.random((1, size), dtype=np.float32))
            observation, *_ = simulator.step(tokens[0])
        begin = torch.from_numpy(_row(observation))
        branch = imagine(model, policy, begin, generator.random((CHECKED, 1, size), dtype=np.float32), bins)
        for step in range(1, CHECKED + 1):
            observation, reward, _, _, info = simulator.step(branch.tokens[0, step - 1].numpy())
            real = torch.from_numpy(_row(observation))
            yield {
                "branch": number,
                "start": start,
                "horizon": step,
                "error": float(model.normaliser.distance(branch.observations[:, step] - real)),
                "still": float(model.normaliser.distance(begin - real)),
                "disagreement": float(branch.disagreement[0, :step].max()),
                "reward_imagined": float(branch.rewards[0, step - 1]),
                "reward_real": float(reward),
                "success_imagined": float(branch.successes[0, step - 1]),
                "success_real": bool(info["success_last"]),
            }


def _row(observation: Array) -> Array:
    """An observation [O] as a batch of one, float32 [1, O]."""
    return np.asarray(observation, dtype=np.float32)[None]
