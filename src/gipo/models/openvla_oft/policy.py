"""The RL policy of the LIBERO study on a pretrained OpenVLA-OFT [C]."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gipo.models.openvla_oft.heads import ValueHead
from gipo.models.openvla_oft.model import OpenVLAOFT
from gipo.models.openvla_oft.tokens import TOKENS


class OpenVLAOFTPolicy(nn.Module):
    """LoRA on every linear layer, the action rows of the output matrix trained in full, and a value head.

    Tokens are numbers in [0, 256), see `gipo.models.openvla_oft.tokens`. What is trained is float32 whatever the type
    of the frozen weights; below float32 the model runs under autocast, so that all products are of that type.

    Args:
        model: as loaded; changed in place. All its parameters are frozen.
        rank: of the LoRA matrices; their factor is ``min(rank, 16) / rank``.
    """

    def __init__(self, model: OpenVLAOFT, rank: int = 32) -> None:
        from peft import LoraConfig, inject_adapter_in_model  # more than 10 s, of which most processes need nothing
        from peft.tuners.lora import LoraLayer

        super().__init__()
        weight = model.action_weight()
        linear = [
            name
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear) and name != "language_model.lm_head"
        ]
        lora = LoraConfig(r=rank, lora_alpha=min(rank, 16), target_modules=linear)
        self.model = inject_adapter_in_model(lora, model)
        self.action_head = nn.Linear(model.hidden_size, TOKENS, bias=False, device=weight.device)
        self.action_head.weight.data.copy_(weight)
        self.value_head = ValueHead(model.hidden_size).to(weight.device)
        for module in model.modules():
            if isinstance(module, LoraLayer):
                module.cast_input_dtype_enabled = False  # autocast does it, for the product alone
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()

    def forward(
        self,
        pixel_values: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        proprio: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Logits [B, 56, 256] and values [B], float32; arguments as in `OpenVLAOFT.forward`.

        The value's gradient ends at the hidden states.
        """
        states = self._states(pixel_values, input_ids, attention_mask, proprio)
        return self.action_head(states), self.value_head(states.detach())

    def recompute_activations(self) -> None:
        """Keep, of what the backward pass needs of a layer of the language model, its input alone, from now on.

        The rest is computed again, by the same operations, so gradients are the same.
        """
        for layer in self.model.language_model.model.layers:
            layer.forward = partial(checkpoint, layer.forward, use_reentrant=False, preserve_rng_state=False)

    def policy_parameters(self) -> list[nn.Parameter]:
        """LoRA matrices and action rows."""
        lora = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        return [*lora, *self.action_head.parameters()]

    def value_parameters(self) -> list[nn.Parameter]:
        """Value head."""
        return list(self.value_head.parameters())

    def _states(
        self, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor | None, proprio: Tensor | None
    ) -> Tensor:
        dtype = self.model.dtype
        with torch.autocast(pixel_values.device.type, dtype=dtype, enabled=dtype != torch.float32):
            states: Tensor = self.model(pixel_values, input_ids, attention_mask, proprio)
        return states.float()
