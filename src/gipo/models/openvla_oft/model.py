"""OpenVLA-OFT with discrete action tokens: images, prompt and proprioception to the 56 read-out positions.

The sequence is ``BOS | 256 n patches | proprioception | rest of the prompt | 56 slots | stop | padding``. The slots'
embeddings are zero, every token attends to every token that is no padding, and slot i is read one position before its
own. Its numbers are compared with those of the authors' code by `gipo parity`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear, pad
from transformers import LlamaForCausalLM

from gipo.models.openvla_oft.config import ModelConfig
from gipo.models.openvla_oft.tokens import END_ID, FIRST_ID, PAD_ID, PROPRIO, SLOTS
from gipo.models.openvla_oft.vision import VisionBackbone

STOP_ID = 2


class Projector(nn.Module):
    """Patch features to embeddings of the language model."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, hidden)
        self.fc3 = nn.Linear(hidden, hidden)

    def forward(self, features: Tensor) -> Tensor:
        """[..., width] to [..., hidden]."""
        return self.fc3(gelu(self.fc2(gelu(self.fc1(features)))))


class ProprioProjector(nn.Module):
    """Proprioception to one embedding of the language model."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(PROPRIO, hidden)
        self.fc2 = nn.Linear(hidden, hidden)

    def forward(self, proprio: Tensor) -> Tensor:
        """[..., 8] to [..., hidden]."""
        return self.fc2(gelu(self.fc1(proprio)))


@dataclass(frozen=True)
class Sequence:
    """Input of the language model."""

    embeddings: Tensor
    """[B, S, hidden]."""
    mask: Tensor | None
    """True where a token is no padding, [B, S]; None: nowhere is any."""
    first: int | Tensor
    """Position at which slot 0 is read, the same for all samples or [B, 1]."""


class OpenVLAOFT(nn.Module):
    """The published model; tensors have the names of its files, with the proprioception's added.

    Args:
        config: sizes.
        proprio: with a projector of proprioception.
    """

    def __init__(self, config: ModelConfig, proprio: bool) -> None:
        super().__init__()
        hidden = config.text.hidden_size
        self.vision_backbone = VisionBackbone(config.dino, config.siglip)
        self.projector = Projector(config.dino.width + config.siglip.width, hidden)
        config.text._attn_implementation = "sdpa"
        config.text.is_causal = False
        self.language_model = LlamaForCausalLM(config.text)
        self.proprio_projector = ProprioProjector(hidden) if proprio else None

    @property
    def hidden_size(self) -> int:
        """Width of the language model."""
        return int(self.language_model.config.hidden_size)

    @property
    def dtype(self) -> torch.dtype:
        """Type of weights and activations."""
        return self.language_model.lm_head.weight.dtype

    def forward(
        self,
        pixel_values: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        proprio: Tensor | None = None,
    ) -> Tensor:
        """Hidden states at the 56 read-out positions, after the final norm.

        Args:
            pixel_values: n images one after the other, [B, 6 n, 224, 224].
            input_ids: prompts from BOS to 29871, padded on the right, int64 [B, L].
            attention_mask: True where ``input_ids`` are no padding, bool [B, L]; None, the faster: nowhere is any.
            proprio: normalised proprioception, [B, 8]; None: its token is left out.

        Returns:
            [B, 56, hidden].
        """
        sequence = self.embed(pixel_values, input_ids, attention_mask, proprio)
        return read(self.transform(sequence), sequence.first, SLOTS)

    def embed(
        self,
        pixel_values: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        proprio: Tensor | None = None,
    ) -> Sequence:
        """The sequence for arguments as in `forward`."""
        inserted = self.projector(self.vision_backbone(pixel_values.to(self.dtype)))
        if proprio is not None:
            token = self.proprio_features(proprio)
            inserted = torch.cat([inserted, token[:, None]], dim=1)
        count = inserted.shape[1]
        length: int | Tensor = input_ids.shape[1]
        if attention_mask is not None:
            length = attention_mask.sum(dim=1, keepdim=True)
        columns = torch.arange(input_ids.shape[1] + SLOTS + 1, device=input_ids.device)
        slot = (columns - length).expand(len(input_ids), -1)
        ids = pad(input_ids, (0, SLOTS + 1), value=PAD_ID).masked_fill(slot == SLOTS, STOP_ID)
        text = self.language_model.model.embed_tokens(ids)
        text = text.masked_fill(((slot >= 0) & (slot < SLOTS))[..., None], 0)
        mask = None
        if attention_mask is not None:
            known = slot <= SLOTS
            mask = torch.cat([known.new_ones(len(known), count), known], dim=1)
        return Sequence(torch.cat([text[:, :1], inserted, text[:, 1:]], dim=1), mask, count + length - 1)

    def proprio_features(self, proprio: Tensor) -> Tensor:
        """Embedding [B, hidden] of normalised proprioception [B, 8]."""
        if self.proprio_projector is None:
            raise ValueError("this model was loaded without a projector of proprioception")
        features: Tensor = self.proprio_projector(proprio.to(self.dtype))
        return features

    def transform(self, sequence: Sequence) -> Tensor:
        """Hidden states of the whole sequence, [B, S, hidden], after the final norm.

        A mask says itself who attends to whom. Without one, attention falls back on its flag ``is_causal``.
        """
        mask = sequence.mask
        if mask is not None:
            mask = mask[:, None, None].expand(-1, -1, mask.shape[1], -1)
        hidden: Tensor = self.language_model.model(
            inputs_embeds=sequence.embeddings, attention_mask=mask, use_cache=False, is_causal=False
        ).last_hidden_state
        return hidden

    def action_weight(self) -> Tensor:
        """Rows of the output matrix that belong to the 256 action ids, [256, hidden]."""
        return self.language_model.lm_head.weight[FIRST_ID:END_ID]

    def action_logits(self, hidden: Tensor) -> Tensor:
        """Logits of the 256 action ids, [..., 256], of hidden states [..., hidden]."""
        return linear(hidden, self.action_weight())

    def vocabulary_logits(self, hidden: Tensor) -> Tensor:
        """Logits of the whole vocabulary, [..., 32064], over which the authors take their arg-max."""
        logits: Tensor = self.language_model.lm_head(hidden)
        return logits


def read(hidden: Tensor, first: int | Tensor, count: int) -> Tensor:
    """``count`` positions of ``hidden`` [B, S, hidden] from ``first`` (one number, or [B, 1]) on."""
    if isinstance(first, int):
        return hidden[:, first : first + count]
    positions = first + torch.arange(count, device=hidden.device)
    return hidden.gather(1, positions[..., None].expand(-1, -1, hidden.shape[2]))
