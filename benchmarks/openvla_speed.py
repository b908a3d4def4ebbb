"""OpenVLA-OFT in reinforcement learning: inference by batch size, and learner updates, against plain matrix products.

    python benchmarks/openvla_speed.py [out.csv]

On a CPU the tiny model of the smoke scale in float32, one thread; on a GPU the published 7B architecture with random
weights in bfloat16. LoRA rank 32, one image, no proprioception. Per row:

- samples_per_second: chunks of actions for inference; transitions for the learner, forward, backward and AdamW;
- flops_per_sample: of the matrix products and attention, counted by torch as the call is made;
- utilisation: these per second, as a share of what one large product (4096 x 4096) reaches on the same device in the
  same type, timed in turn with the call;
- peak_gib: memory of the GPU; empty on a CPU.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from gipo.models.openvla_oft.config import ModelConfig, TowerSize
from gipo.models.openvla_oft.model import OpenVLAOFT
from gipo.models.openvla_oft.packed import Layout, PackedPolicy
from gipo.models.openvla_oft.policy import OpenVLAOFTPolicy
from gipo.models.openvla_oft.pretrained import load
from gipo.models.openvla_oft.tiny import write_tiny
from gipo.replay import Batch
from gipo.runs.spec import ObjectiveSpec, OpenVLASpec, RunSpec
from gipo.sharded import ShardedLearner
from timing import device_name, devices, in_turn, publish

PROMPT = list(range(3, 38))
"""As many tokens as a prompt of LIBERO's has, about."""
LAYOUT = Layout(images=1)
SIDE = 4096
ROUNDS = 5
BATCHES = {"tiny": (1, 8), "7B": (1, 2, 4, 8, 16, 32)}
MICRO_BATCHES = {"tiny": (8,), "7B": (4, 12)}


def tiny() -> OpenVLAOFT:
    with tempfile.TemporaryDirectory() as directory:
        write_tiny(Path(directory))
        return load(Path(directory), dtype=torch.float32)


def full(device: torch.device) -> OpenVLAOFT:
    """The published sizes, random weights."""
    config = ModelConfig(
        TowerSize(1024, 24, 16, 4096, registers=4, layer_scale=True),
        TowerSize(1152, 27, 16, 4304, registers=0, layer_scale=False),
        LlamaConfig(vocab_size=32064),  # otherwise Llama-2 7B
    )
    with torch.device("meta"):
        model = OpenVLAOFT(config, proprio=False).to(torch.bfloat16)
    model.to_empty(device=device)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    model.language_model.model.rotary_emb = LlamaRotaryEmbedding(config.text).to(device)
    return model.eval()


def made_up(count: int, device: torch.device) -> Batch:
    """Transitions of random images."""
    observations = torch.randint(0, 256, (count, LAYOUT.size), dtype=torch.uint8)
    observations[:, -33:] = 0
    return Batch(
        observations=observations.to(device),
        tokens=torch.randint(256, (count, 56), device=device),
        log_probs=torch.full((count, 56), -5.5, device=device),
        advantages=torch.randn(count, device=device),
        targets=torch.randn(count, device=device),
        versions=torch.zeros(count, dtype=torch.int64, device=device),
    )


class Source:
    """A batch as a replay."""

    def __init__(self, batch: Batch) -> None:
        self.batch, self.device = batch, batch.observations.device
        self.observation_size, self.action_dimensions = LAYOUT.size, 56

    def gather(self, index: torch.Tensor) -> Batch:
        """The batch, whatever is asked for."""
        return self.batch


def measure(call: Callable[[], object], samples: int, device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    """Rate of a call, against that of a product of the same type."""
    left, right = (torch.randn(SIDE, SIDE, device=device, dtype=dtype) for _ in range(2))
    with FlopCounterMode(display=False) as counter:
        call()
    flops = counter.get_total_flops()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    times = in_turn({"call": call, "product": lambda: left @ right}, ROUNDS, warm_up=1, device=device)
    rates = {"call": flops / times["call"], "product": 2 * SIDE**3 / times["product"]}
    return {
        "samples_per_second": samples / times["call"].median(),
        "flops_per_sample": flops / samples,
        "utilisation": (rates["call"] / rates["product"]).median(),
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else float("nan"),
    }


def rows(device: torch.device) -> list[dict[str, float | str]]:
    size = "7B" if device.type == "cuda" else "tiny"
    model = full(device) if size == "7B" else tiny()
    policy = PackedPolicy(OpenVLAOFTPolicy(model, rank=32), LAYOUT, [PROMPT], proprio=False).to(device)
    spec = RunSpec(
        suite="libero",
        task="libero_goal",
        regime="stale",
        method="gipo",
        seed=0,
        objective=ObjectiveSpec(name="gipo", parameters={"sigma_pos": 0.5, "sigma_neg": 0.5}),
        openvla=OpenVLASpec(repository="random", revision="0"),
        asynchronous={},
    )
    table: list[dict[str, float | str]] = []
    calls = [("inference", batch) for batch in BATCHES[size]] + [("learner", batch) for batch in MICRO_BATCHES[size]]
    for what, batch in calls:
        transitions = made_up(batch, device)
        if what == "inference":

            @torch.inference_mode()
            def call(observations: torch.Tensor = transitions.observations) -> object:
                return policy(observations)

        else:
            learner = ShardedLearner(spec, policy, Source(transitions))
            learner.updates = spec.learner.policy_start
            index = torch.zeros(1, batch, dtype=torch.int64, device=device)

            def call(learner: ShardedLearner = learner, index: torch.Tensor = index) -> object:
                return learner.update(index)

        found = measure(call, batch, device, model.dtype)
        table.append({"size": size, "device": device_name(device), "what": what, "batch": str(batch), **found})
    return table


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    publish([row for device in devices() for row in rows(device)])


if __name__ == "__main__":
    main()
