"""Cost of one learner update: against its matrix products alone, captured against eager, and what diagnostics add.

    python benchmarks/learner_update.py [out.csv]

One process, one thread; on the CPU, and on the GPU if there is one. Sizes are those of the scale configs, an update has
all its micro-batches (paper: 4 x 512). Per row:

- update_ms, products_ms, ratio: the reference multiplies the same matrices as the network's forward and backward pass
  and does nothing else, so the ratio is the price of everything around them: sampling, softmax, objective, autograd,
  clipping, AdamW;
- eager_ms, captured_gain: on a GPU, the same update without its CUDA graph (`gipo.cuda_graph.Step`), and how many times
  as long it takes; empty on a CPU, where there is no graph;
- metrics_ms, diagnostics_share: one logged row of diagnostics, and what it adds to the time of updates at the config's
  logging interval, as a share.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from gipo.cuda_graph import Step
from gipo.envs.metaworld import ACTION_DIMENSIONS, OBSERVATION_SIZE
from gipo.gpu.updates import without_graphs
from gipo.learner import Learner
from gipo.rates import made_up_learner, random_index
from gipo.runs.spec import RunSpec
from gipo.study import Study
from timing import device_name, devices, in_turn, publish

CONFIGS = Path(__file__).parent.parent / "workflow" / "config"
REPEATS = {"laptop": 100, "paper": 3}
ROUNDS = 9


def updating(learner: Learner) -> Callable[[], object]:
    return lambda: learner.update(random_index(learner))


def make_products(run: RunSpec, device: torch.device) -> Callable[[], None]:
    """The matrix products of the same update: x W forward, x' g for every weight, g W' where the gradient goes on."""
    hidden, value_hidden = run.network.hidden, run.network.value_hidden
    layers = [
        (OBSERVATION_SIZE, hidden, False),
        (hidden, hidden, True),
        (hidden, ACTION_DIMENSIONS * run.environment.bins, True),
        (hidden, value_hidden, False),
        (value_hidden, 1, True),
    ]

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, device=device)

    batch = run.learner.batch_size
    operands = [
        (random(batch, rows), random(rows, columns), random(batch, columns), goes_on)
        for rows, columns, goes_on in layers
    ]

    def products() -> None:
        for _ in range(run.learner.accumulation):
            for inputs, weights, gradients, goes_on in operands:
                inputs @ weights
                inputs.T @ gradients
                if goes_on:
                    gradients @ weights.T

    return products


def compare(size: str, device: torch.device) -> dict[str, float | str]:
    run = Study.load(CONFIGS / f"{size}.yaml").runs()[0]
    learner = made_up_learner(run, device)
    calls = {"update": updating(learner), "products": make_products(run, device)}
    if device.type == "cuda":
        calls["eager"] = updating(without_graphs(made_up_learner(run, device)))
    times = in_turn(calls, ROUNDS, REPEATS[size], warm_up=Step.PLAIN_CALLS + 1, device=device)
    last = learner.update(random_index(learner))
    metrics = in_turn({"metrics": lambda: learner.metrics(*last)}, ROUNDS, 30, warm_up=3, device=device)["metrics"]
    on_gpu = "eager" in times
    return {
        "size": size,
        "device": device_name(device),
        "update_ms": 1e3 * times["update"].median(),
        "products_ms": 1e3 * times["products"].median(),
        "ratio": (times["update"] / times["products"]).median(),
        "eager_ms": 1e3 * times["eager"].median() if on_gpu else float("nan"),
        "captured_gain": (times["eager"] / times["update"]).median() if on_gpu else float("nan"),
        "metrics_ms": 1e3 * metrics.median(),
        "diagnostics_share": (metrics / times["update"]).median() / run.diagnostics.every,
    }


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    publish([compare(size, device) for device in devices() for size in REPEATS])


if __name__ == "__main__":
    main()
