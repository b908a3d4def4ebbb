"""The random streams of a run: which number each has, and the seed of every episode."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

import numpy as np

Phase = Literal["train", "evaluation", "baseline"]

_PHASES = {"train": 0, "evaluation": 1, "baseline": 2}


class Stream(IntEnum):
    """Numbers of a run's random streams, the first part of the key of `gipo.runs.spec.RunSpec.generator`."""

    WEIGHTS = 0  # of the untrained network
    SAMPLING = 1  # + round: positions in the replay
    ACTIONS = 2  # + group, round: the actors' tokens
    EVALUATION = 3  # + update: the evaluation's tokens
    EPISODES = 4  # + group, incarnation: the asynchronous engine's episodes
    MODEL = 5  # + fits so far: the world model's first weights, then the fit's bootstraps and batches
    BRANCHES = 6  # + round: where branches begin, and their tokens; asynchronous + 0, update and + 1, update
    IMAGINED = 7  # + round, or asynchronous + update: positions among the imagined transitions
    CHECKS = 8  # + update: episodes of the checked branches, where they begin, and their tokens


def episode_seed(run_seed: int, phase: Phase, episode: int) -> int:
    """Seed of one episode, 64 bits; equal arguments give equal seeds in every process, others give unrelated ones."""
    return int(np.random.SeedSequence(run_seed, spawn_key=(_PHASES[phase], episode)).generate_state(1, np.uint64)[0])
