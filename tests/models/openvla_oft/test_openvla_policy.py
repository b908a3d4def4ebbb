"""LoRA and heads: what is trained by what, and what stays as it was."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from gipo.models.openvla_oft.heads import ValueHead
from gipo.models.openvla_oft.layout import Layout
from gipo.models.openvla_oft.policy import OpenVLAOFTPolicy
from gipo.models.openvla_oft.pretrained import load
from gipo.models.openvla_oft.prompts import batch_prompts
from gipo.models.openvla_oft.vision import pixel_values

Inputs = tuple[Tensor, Tensor, Tensor | None, Tensor]


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    generator = torch.Generator().manual_seed(0)
    pixels = pixel_values(torch.randint(0, 256, (2, 2, 224, 224, 3), dtype=torch.uint8, generator=generator))
    return pixels, *batch_prompts([[1, 40, 29871], [1, 50, 60, 29871]]), torch.rand(2, 8, generator=generator)


def make_policy(directory: Path, dtype: torch.dtype = torch.float32) -> OpenVLAOFTPolicy:
    torch.manual_seed(0)
    return OpenVLAOFTPolicy(load(directory, proprio=True, dtype=dtype))


@pytest.mark.parametrize("rows", [1, 3])
def test_packed_observations_come_out_as_they_went_in(rows: int):
    random = np.random.default_rng(0)
    frames = random.integers(0, 256, (rows, 2, 224, 224, 3), dtype=np.uint8)
    proprio = random.normal(size=(rows, 8)).astype(np.float32)
    layout = Layout(2)
    packed = np.stack([layout.pack(list(frames[i]), proprio[i].astype(float), 7 + i) for i in range(rows)])
    assert packed.shape == (rows, layout.size)
    images, states, prompts = layout.unpack(torch.from_numpy(packed))
    np.testing.assert_array_equal(images.numpy(), frames)
    np.testing.assert_array_equal(states.numpy(), proprio)
    assert prompts.tolist() == [7 + i for i in range(rows)]


@pytest.fixture
def policy(tiny: Path) -> OpenVLAOFTPolicy:
    return make_policy(tiny)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 0.0), (torch.bfloat16, 2e-2)])
@torch.no_grad()
def test_lora_changes_nothing_at_first(tiny: Path, inputs: Inputs, dtype: torch.dtype, tolerance: float):
    model = load(tiny, proprio=True, dtype=dtype)
    before = model.action_logits(model(*inputs))
    logits, values = OpenVLAOFTPolicy(model)(*inputs)
    assert (logits.dtype, values.dtype) == (torch.float32, torch.float32)
    assert (logits.shape, values.shape) == ((2, 56, 256), (2,))
    torch.testing.assert_close(logits, before.float(), rtol=0, atol=tolerance * before.std().item())


def test_lora_is_on_every_linear_layer_and_its_factor_is_half(policy: OpenVLAOFTPolicy):
    names = {name for name, _ in policy.model.named_parameters() if "lora_A" in name}
    layers = {name.split(".lora_A")[0] for name in names}
    assert len(layers) == 3 * 4 + 2 * 4 + 3 + 2 + 2 * 7  # DINOv2, SigLIP, projector, proprioception, Llama
    assert not any("lm_head" in name for name in layers)
    layer = policy.model.language_model.model.layers[0].self_attn.q_proj
    assert layer.lora_A["default"].weight.shape == (32, 64)
    assert layer.scaling == {"default": 0.5}


def test_the_groups_are_disjoint_and_hold_all_that_is_trained(policy: OpenVLAOFTPolicy):
    groups = [
        {id(parameter) for parameter in group} for group in (policy.policy_parameters(), policy.value_parameters())
    ]
    trained = {id(parameter) for parameter in policy.parameters() if parameter.requires_grad}
    assert groups[0] | groups[1] == trained
    assert not groups[0] & groups[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_go_where_they_should(tiny: Path, inputs: Inputs, dtype: torch.dtype):
    policy = make_policy(tiny, dtype)
    logits, values = policy(*inputs)
    values.sum().backward(retain_graph=True)
    assert all(parameter.grad is None for parameter in policy.policy_parameters())
    assert all(parameter.grad is not None for parameter in policy.value_parameters())
    policy.zero_grad()
    logits.square().sum().backward()
    assert all(parameter.grad is None for parameter in policy.value_parameters())
    gradients = {name: p.grad for name, p in policy.named_parameters() if p.requires_grad and "value_head" not in name}
    assert {gradient.dtype for gradient in gradients.values()} == {torch.float32}
    moved = {name for name, gradient in gradients.items() if gradient.abs().max() > 0}
    assert moved == {name for name in gradients if "lora_A" not in name}  # lora_B is zero, so it moves first
    assert all(p.grad is None for p in policy.parameters() if not p.requires_grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_activations_that_are_computed_again_give_the_same_gradients(tiny: Path, inputs: Inputs, dtype: torch.dtype):
    kept, again = make_policy(tiny, dtype), make_policy(tiny, dtype)
    again.recompute_activations()
    for policy in (kept, again):
        generator = torch.Generator().manual_seed(1)
        for name, parameter in policy.named_parameters():
            if "lora_B" in name:
                parameter.data.normal_(0, 0.1, generator=generator)
        logits, values = policy(*inputs)
        (logits.square().sum() + values.sum()).backward()
    for ours, theirs in zip(again.parameters(), kept.parameters(), strict=True):
        if theirs.requires_grad:
            assert theirs.grad.abs().max() > 0
            assert torch.equal(ours.grad, theirs.grad)


def test_the_action_rows_are_a_copy(policy: OpenVLAOFTPolicy):
    rows = policy.model.action_weight().clone()
    assert torch.equal(policy.action_head.weight, rows)
    policy.action_head.weight.data.zero_()
    assert torch.equal(policy.model.action_weight(), rows)


def test_the_value_head_has_the_published_layers_and_pools():
    head = ValueHead(64)
    assert [tuple(p.shape) for p in head.mlp.parameters()] == [(64,), (64,), (64, 64), (64,), (1, 64), (1,)]
    states = torch.randn(3, 56, 64)
    torch.testing.assert_close(head(states), head(states.flip(1)))
    same = states[:, :1].expand(-1, 56, -1)
    torch.testing.assert_close(head(same), head.mlp(states[:, 0]).squeeze(-1))
