"""The RL policy on observations as one row of bytes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gipo.models.openvla_oft.layout import Layout
from gipo.models.openvla_oft.policy import OpenVLAOFTPolicy
from gipo.models.openvla_oft.prompts import batch_prompts
from gipo.models.openvla_oft.vision import pixel_values


class PackedPolicy(nn.Module):
    """The RL policy on rows of bytes, with the interface of `gipo.models.mlp.MLPPolicy`.

    Args:
        policy: the policy.
        layout: of the rows.
        prompts: ids of every prompt that a row may name, see `gipo.models.openvla_oft.prompts.prompt_ids`.
        proprio: show the policy its proprioception.
    """

    ids: Tensor
    mask: Tensor | None

    def __init__(
        self, policy: OpenVLAOFTPolicy, layout: Layout, prompts: Sequence[Sequence[int]], proprio: bool
    ) -> None:
        super().__init__()
        self.policy, self.layout, self.proprio = policy, layout, proprio
        ids, mask = batch_prompts(prompts)
        self.register_buffer("ids", ids, persistent=False)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, 56, 256] and values [B] of rows uint8 [B, O]."""
        images, proprio, prompt = self.layout.unpack(observations)
        logits, values = self.policy(
            pixel_values(images, self.policy.model.dtype),
            self.ids[prompt],
            None if self.mask is None else self.mask[prompt],
            proprio if self.proprio else None,
        )
        return logits, values

    def policy_parameters(self) -> list[nn.Parameter]:
        """LoRA matrices and action rows."""
        return self.policy.policy_parameters()

    def value_parameters(self) -> list[nn.Parameter]:
        """Value head."""
        return self.policy.value_parameters()

    def trained(self) -> dict[str, Tensor]:
        """All that training changes, by name."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def load_trained(self, tensors: dict[str, Tensor]) -> None:
        """Take what `trained` gave elsewhere."""
        own = self.trained()
        if difference := sorted(own.keys() ^ tensors.keys()):
            raise ValueError(f"weights of another policy: {difference[:3]} are in only one of them")
        with torch.no_grad():
            for name, tensor in tensors.items():
                own[name].copy_(tensor)
