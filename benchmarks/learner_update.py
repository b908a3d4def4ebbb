"""Cost of one learner update against its matrix products alone, one thread, in one run.

    python benchmarks/learner_update.py [out.csv]

The reference multiplies the same matrices as the network's forward and backward pass and does nothing else, so the
ratio is the price of everything around them: sampling, softmax, objective, autograd, clipping, AdamW.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from statistics import median

import pandas as pd
import torch

from gipo.lag import Replay, Segments
from gipo.learner import Learner
from gipo.runs.spec import RunSpec
from machine import describe

OBSERVATION, DIMENSIONS, STEPS = 39, 4, 64
SIZES = {
    "laptop": {"hidden": 128, "value_hidden": 64, "bins": 32, "batch": 256, "repeats": 200},
    "paper": {"hidden": 512, "value_hidden": 256, "bins": 256, "batch": 512, "repeats": 10},
}
ROUNDS = 9


def make_update(size: dict[str, int]) -> Callable[[], object]:
    """The suite's update on a full replay of random transitions."""
    spec = RunSpec.model_validate(
        {
            "task": "door-open-v3",
            "regime": "stale",
            "method": "gipo",
            "seed": 0,
            "objective": {"name": "gipo"},
            "environment": {"bins": size["bins"]},
            "network": {"hidden": size["hidden"], "value_hidden": size["value_hidden"]},
            "replay": {"capacity": 64 * 512, "segment_length": STEPS},
            "learner": {"batch_size": size["batch"], "accumulation": 1, "policy_start": 0},
        }
    )
    learner = Learner(spec, OBSERVATION, DIMENSIONS)
    replay = Replay(64 * 512, STEPS, OBSERVATION, DIMENSIONS)
    segments = Segments(
        observations=torch.randn(512, STEPS, OBSERVATION),
        tokens=torch.randint(0, size["bins"], (512, STEPS, DIMENSIONS)).to(torch.uint8),
        log_probs=torch.full((512, STEPS, DIMENSIONS), -float(torch.tensor(size["bins"]).log())),
        rewards=torch.rand(512, STEPS),
        terminated=torch.zeros(512, STEPS, dtype=torch.bool),
        truncated=torch.zeros(512, STEPS, dtype=torch.bool),
        final_observation=torch.randn(512, OBSERVATION),
        cut_observation=torch.zeros(512, OBSERVATION),
    )
    replay.append(segments, *learner.targets(segments), version=0)
    return lambda: learner.update(replay, torch.randint(0, len(replay), (1, size["batch"])))


def make_products(size: dict[str, int]) -> Callable[[], None]:
    """The matrix products of the same update: x W forward, x' g for every weight, g W' where the gradient goes on."""
    hidden, value_hidden = size["hidden"], size["value_hidden"]
    layers = [
        (OBSERVATION, hidden, False),
        (hidden, hidden, True),
        (hidden, DIMENSIONS * size["bins"], True),
        (hidden, value_hidden, False),
        (value_hidden, 1, True),
    ]
    operands = [
        (torch.randn(size["batch"], rows), torch.randn(rows, columns), torch.randn(size["batch"], columns), goes_on)
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
    for name, size in SIZES.items():
        update, products = make_update(size), make_products(size)
        milliseconds(update, 5), milliseconds(products, 5)
        pairs = [
            (milliseconds(update, size["repeats"]), milliseconds(products, size["repeats"])) for _ in range(ROUNDS)
        ]
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
