"""OpenVLA-OFT, inference and learner: a tiny model anywhere, and on a GPU the published 7B with random weights."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from gipo.gpu.findings import CPU, Finding, gpu, passed, product_rate, seconds, skipped
from gipo.models.openvla_oft.config import ModelConfig, TowerSize
from gipo.models.openvla_oft.layout import Layout
from gipo.models.openvla_oft.model import OpenVLAOFT
from gipo.models.openvla_oft.packed import PackedPolicy
from gipo.models.openvla_oft.policy import OpenVLAOFTPolicy
from gipo.models.openvla_oft.pretrained import load
from gipo.models.openvla_oft.tiny import write_tiny
from gipo.replay import Batch
from gipo.replicated import MOST_AT_ONCE, ReplicatedLearner
from gipo.runs.spec import AsynchronousSpec, ObjectiveSpec, OpenVLASpec, RunSpec

Size = Literal["tiny", "7B"]
Work = Literal["inference", "learner"]

PROMPT = list(range(3, 38))
"""As many tokens as a prompt of LIBERO's has, about."""
LAYOUT = Layout(images=1)
SPEC = RunSpec(
    suite="libero",
    task="libero_goal",
    regime="stale",
    method="gipo",
    seed=0,
    objective=ObjectiveSpec(name="gipo"),
    openvla=OpenVLASpec(repository="random", revision="0"),
    asynchronous=AsynchronousSpec(),
)
CHECKED: dict[Work, dict[Size, tuple[int, ...]]] = {
    "inference": {"tiny": (8,), "7B": (1, 8, 32)},
    "learner": {"tiny": (8,), "7B": (12, MOST_AT_ONCE)},
}
"""Batches; a learner's are micro-batches, each an update of its own."""


def check() -> Iterator[Finding]:
    """Rates, their share of what large products reach, and the memory that the work takes."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    device = gpu() or CPU
    sizes: tuple[Size, ...] = ("tiny", "7B") if device.type == "cuda" else ("tiny",)
    for size in sizes:
        try:
            yield from _speed(size, device)
        except torch.OutOfMemoryError:
            gib = torch.cuda.get_device_properties(device).total_memory / 2**30
            yield skipped(f"more of OpenVLA-OFT {size}: it does not fit into what is free of {gib:.0f} GiB")
    if device == CPU:
        yield skipped("OpenVLA-OFT 7B: PyTorch sees no GPU")


def _speed(size: Size, device: torch.device) -> Iterator[Finding]:
    policy = make_policy(size, device)
    able = product_rate(device, policy.policy.model.dtype)
    yield passed(f"large matrix products in {policy.policy.model.dtype}", able / 1e12, "TFLOP/s")
    for work, batches in CHECKED.items():
        for batch in batches[size]:
            yield from _work(f"OpenVLA-OFT {size}, {work} by {batch}", policy, work, batch, able)
    most = CHECKED["learner"][size][-1]
    policy.policy.recompute_activations()
    yield from _work(
        f"OpenVLA-OFT {size}, learner by {most}, activations computed again", policy, "learner", most, able
    )


def _work(what: str, policy: PackedPolicy, work: Work, batch: int, able: float) -> Iterator[Finding]:
    device = next(policy.parameters()).device
    call = make_call(policy, work, batch)
    flops = count_flops(call)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    spent = seconds(call, device)
    yield passed(what, batch / spent, "action chunks/s" if work == "inference" else "transitions/s")
    yield passed(f"{what}: share of large products", flops / spent / able)
    if device.type == "cuda":
        yield passed(f"{what}: peak memory", torch.cuda.max_memory_allocated() / 2**30, "GiB")


def make_policy(size: Size, device: torch.device) -> PackedPolicy:
    """LoRA rank 32, one image, no proprioception; float32 on a CPU, bfloat16 at 7B."""
    model = _published(device) if size == "7B" else _tiny()
    return PackedPolicy(OpenVLAOFTPolicy(model, rank=32), LAYOUT, [PROMPT], proprio=False).to(device)


def make_call(policy: PackedPolicy, work: Work, batch: int) -> Callable[[], object]:
    """Inference on random images; or one update on them: forward, backward and AdamW."""
    device = next(policy.parameters()).device
    transitions = _made_up(batch, device)
    if work == "inference":
        return torch.inference_mode()(partial(policy, transitions.observations))
    learner = ReplicatedLearner(SPEC, policy, _Source(transitions))
    learner.updates = SPEC.learner.policy_start
    return partial(learner.update, torch.zeros(1, batch, dtype=torch.int64, device=device))


def count_flops(call: Callable[[], object]) -> int:
    """Operations of the products and attention in a call, counted by torch as it is made."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def _tiny() -> OpenVLAOFT:
    with tempfile.TemporaryDirectory() as directory:
        write_tiny(Path(directory))
        return load(Path(directory), dtype=torch.float32)


def _published(device: torch.device) -> OpenVLAOFT:
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


def _made_up(count: int, device: torch.device) -> Batch:
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


class _Source:
    """A batch as a replay."""

    def __init__(self, batch: Batch) -> None:
        self.batch, self.device = batch, batch.observations.device
        self.observation_size, self.action_dimensions = LAYOUT.size, 56

    def gather(self, index: torch.Tensor) -> Batch:
        """The batch, whatever is asked for."""
        return self.batch
