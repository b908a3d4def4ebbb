"""OpenVLA-OFT in reinforcement learning: inference by batch size, and learner updates, against plain matrix products.

    python benchmarks/openvla_speed.py [out.csv]

On a CPU the tiny model of the smoke scale in float32, one thread; on a GPU the published 7B architecture with random
weights in bfloat16. LoRA rank 32, one image, no proprioception. Per row:

- samples_per_second: chunks of actions for inference; transitions for the learner, forward, backward and AdamW;
- flops_per_sample: of the matrix products and attention, counted by torch as the call is made;
- utilisation: these per second, as a share of what large products reach on the same device in the same type, timed in
  turn with the call;
- peak_gib: memory of the GPU; empty on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from gipo.gpu.openvla import Size, Work, count_flops, make_call, make_policy
from timing import device_name, devices, in_turn, publish

SIDE, PRODUCTS = {"cpu": 4096, "cuda": 8192}, {"cpu": 1, "cuda": 100}
ROUNDS = 5
BATCHES: dict[Work, dict[Size, tuple[int, ...]]] = {
    "inference": {"tiny": (1, 8), "7B": (1, 2, 4, 8, 16, 32)},
    "learner": {"tiny": (8,), "7B": (4, 12)},
}


def measure(call: Callable[[], object], samples: int, device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    """Rate of a call, against that of products of the same type."""
    side, products = SIDE[device.type], PRODUCTS[device.type]
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))

    def multiply() -> None:
        for _ in range(products):
            left @ right

    flops = count_flops(call)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    times = in_turn({"call": call, "products": multiply}, ROUNDS, warm_up=1, device=device)
    rates = {"call": flops / times["call"], "products": 2 * side**3 * products / times["products"]}
    return {
        "samples_per_second": samples / times["call"].median(),
        "flops_per_sample": flops / samples,
        "utilisation": (rates["call"] / rates["products"]).median(),
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else float("nan"),
    }


def rows(device: torch.device) -> list[dict[str, float | str]]:
    size: Size = "7B" if device.type == "cuda" else "tiny"
    policy = make_policy(size, device)
    table: list[dict[str, float | str]] = []
    for work, batches in BATCHES.items():
        for batch in batches[size]:
            found = measure(make_call(policy, work, batch), batch, device, policy.policy.model.dtype)
            table.append({"size": size, "device": device_name(device), "what": work, "batch": str(batch), **found})
    return table


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    publish([row for device in devices() for row in rows(device)])


if __name__ == "__main__":
    main()
