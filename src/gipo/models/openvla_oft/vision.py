"""The two vision transformers, DINOv2 with registers and SigLIP, as far as OpenVLA reads them.

Module names are those of the published tensors. timm is not used: it needs torchvision, whose wheels do not run beside
the CPU build of torch, and of its transformers only what stands here takes part.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from gipo.models.openvla_oft.config import TowerSize

PATCH = 14
PATCHES = 256
"""Patches of an image, 16 x 16."""
CHANNELS = 6
"""Channels of an image: three as DINOv2 wants them, then three as SigLIP does."""
_EPS = 1e-6


class LayerScale(nn.Module):
    """One factor per channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale_factor = nn.Parameter(torch.ones(width))

    def forward(self, features: Tensor) -> Tensor:
        """Same shape as ``features``, [..., width]."""
        return features * self.scale_factor


class Attention(nn.Module):
    """Self-attention over all tokens."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Same shape as ``tokens``, [B, N, width]."""
        query, key, value = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    """Two layers with the exact GELU between, in SigLIP too."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, features: Tensor) -> Tensor:
        """Same shape as ``features``, [..., width]."""
        return self.fc2(gelu(self.fc1(features)))


class Block(nn.Module):
    """Transformer block with the norms in front."""

    def __init__(self, size: TowerSize) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(size.width, eps=_EPS)
        self.attn = Attention(size.width, size.heads)
        self.ls1 = LayerScale(size.width) if size.layer_scale else nn.Identity()
        self.norm2 = nn.LayerNorm(size.width, eps=_EPS)
        self.mlp = MLP(size.width, size.mlp_width)
        self.ls2 = LayerScale(size.width) if size.layer_scale else nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:
        """Same shape as ``tokens``, [B, N, width]."""
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens)))
        return tokens + self.ls2(self.mlp(self.norm2(tokens)))


class PatchEmbed(nn.Module):
    """Patches to tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, kernel_size=PATCH, stride=PATCH)

    def forward(self, images: Tensor) -> Tensor:
        """Tokens [B, 256, width] of images [B, 3, 224, 224], row by row."""
        return self.proj(images).flatten(2).transpose(1, 2)


class Tower(nn.Module):
    """A vision transformer up to its second-to-last block, whose patch tokens are the features."""

    def __init__(self, size: TowerSize) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(size.width)
        self.pos_embed = nn.Parameter(torch.zeros(1, PATCHES, size.width))
        self.registers = size.registers
        if size.registers:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, size.width))
            self.reg_token = nn.Parameter(torch.zeros(1, size.registers, size.width))
        self.blocks = nn.Sequential(*(Block(size) for _ in range(size.depth - 1)))

    def forward(self, images: Tensor) -> Tensor:
        """Features [B, 256, width] of normalised images [B, 3, 224, 224]."""
        tokens = self.patch_embed(images) + self.pos_embed
        if self.registers:
            prefix = torch.cat([self.cls_token, self.reg_token], dim=1)
            tokens = torch.cat([prefix.expand(len(tokens), -1, -1), tokens], dim=1)
        return self.blocks(tokens)[:, -PATCHES:]


class VisionBackbone(nn.Module):
    """Both towers side by side."""

    def __init__(self, dino: TowerSize, siglip: TowerSize) -> None:
        super().__init__()
        self.featurizer = Tower(dino)
        self.fused_featurizer = Tower(siglip)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Features of all patches, DINOv2's channels first.

        Args:
            pixel_values: n images one after the other, [B, 6 n, 224, 224], see `pixel_values`.

        Returns:
            [B, 256 n, width of DINOv2 + width of SigLIP].
        """
        dino, siglip = pixel_values.unflatten(1, (-1, 2, 3)).flatten(0, 1).unbind(1)
        features = torch.cat([self.featurizer(dino), self.fused_featurizer(siglip)], dim=-1)
        return features.unflatten(0, (len(pixel_values), -1)).flatten(1, 2)


def pixel_values(images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Input of `VisionBackbone` made of images.

    Args:
        images: n images a sample, uint8 [B, n, 224, 224, 3], see `gipo.models.openvla_oft.images.preprocess`.
        dtype: of the result; normalised in float32 whatever it is.

    Returns:
        [B, 6 n, 224, 224], on the device of ``images``.
    """
    scaled = images.permute(0, 1, 4, 2, 3).to(torch.float32, memory_format=torch.contiguous_format) / 255
    towers = [
        (scaled - scaled.new_tensor(mean).view(3, 1, 1)) / scaled.new_tensor(std).view(3, 1, 1)
        for mean, std in (((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))
    ]
    return torch.stack(towers, dim=2).flatten(1, 3).to(dtype)
