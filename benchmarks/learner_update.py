"""Cost of one learner update against its matrix products alone, one thread, in one run.

    python benchmarks/learner_update.py [out.csv]

Sizes are those of the scale configs. The reference multiplies the same matrices as the network's forward and backward
pass and does nothing else, so the ratio is the price of everything around them: sampling, softmax, objective, autograd,
clipping, AdamW.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pandas as pd
import torch

from gipo.envs.metaworld import ACTION_DIMENSIONS, OBSERVATION_SIZE
from gipo.lag import Replay, Segments
from gipo.learner import Learner
from gipo.runs.spec import RunSpec
from gipo.study import load_study
from machine import describe

CONFIGS = Path(__file__).parent.parent / "workflow" / "config"
REPEATS = {"laptop": 200, "paper": 10}
ROUNDS = 9


def make_update(spec: RunSpec) -> Callable[[], object]:
    """The suite's update, one micro-batch, on a replay of random transitions."""
    segments, steps = 512, spec.replay.segment_length
    learner = Learner(spec, OBSERVATION_SIZE, ACTION_DIMENSIONS)
    learner.updates = spec.learner.policy_start
    replay = Replay(segments * steps, steps, OBSERVATION_SIZE, ACTION_DIMENSIONS)
    bins = spec.environment.bins
    stored = Segments(
        observations=torch.randn(segments, steps, OBSERVATION_SIZE),
        tokens=torch.randint(0, bins, (segments, steps, ACTION_DIMENSIONS)).to(torch.uint8),
        log_probs=torch.full((segments, steps, ACTION_DIMENSIONS), -math.log(bins)),
        rewards=torch.rand(segments, steps),
        terminated=torch.zeros(segments, steps, dtype=torch.bool),
        truncated=torch.zeros(segments, steps, dtype=torch.bool),
        final_observation=torch.randn(segments, OBSERVATION_SIZE),
        cut_observation=torch.zeros(segments, OBSERVATION_SIZE),
    )
    replay.append(stored, *learner.targets(stored), version=0)
    return lambda: learner.update(replay, torch.randint(0, len(replay), (1, spec.learner.batch_size)))


def make_products(spec: RunSpec) -> Callable[[], None]:
    """The matrix products of the same update: x W forward, x' g for every weight, g W' where the gradient goes on."""
    hidden, value_hidden = spec.network.hidden, spec.network.value_hidden
    layers = [
        (OBSERVATION_SIZE, hidden, False),
        (hidden, hidden, True),
        (hidden, ACTION_DIMENSIONS * spec.environment.bins, True),
        (hidden, value_hidden, False),
        (value_hidden, 1, True),
    ]
    batch = spec.learner.batch_size
    operands = [
        (torch.randn(batch, rows), torch.randn(rows, columns), torch.randn(batch, columns), goes_on)
        for rows, columns, goes_on in layers
    ]

    def products() -> None:
        for inputs, weights, gradients, goes_on in operands:
            inputs @ weights
            inputs.T @ gradients
            if goes_on:
                gradients @ weights.T

    return products


def milliseconds(call: Callable[[], object], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats * 1e3


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = []
    for name, repeats in REPEATS.items():
        spec = load_study(CONFIGS / f"{name}.yaml").runs()[0]
        update, products = make_update(spec), make_products(spec)
        milliseconds(update, 5), milliseconds(products, 5)
        pairs = [(milliseconds(update, repeats), milliseconds(products, repeats)) for _ in range(ROUNDS)]
        rows.append(
            {
                "size": name,
                "update_ms": median(ours for ours, _ in pairs),
                "products_ms": median(reference for _, reference in pairs),
                "ratio": median(ours / reference for ours, reference in pairs),
            }
            | describe()
        )
    table = pd.DataFrame(rows)
    print(table[["size", "update_ms", "products_ms", "ratio"]].round(2).to_string(index=False))
    if len(sys.argv) > 1:
        table.to_csv(sys.argv[1], index=False, float_format="%.3f")


if __name__ == "__main__":
    main()
