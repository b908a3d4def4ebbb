"""Observations as one row of bytes, so that images, proprioception and prompt travel and are stored as one array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gipo.models.openvla_oft.images import SIZE, Pixels
from gipo.models.openvla_oft.tokens import PROPRIO

IMAGE_BYTES = SIZE * SIZE * 3
PROPRIO_BYTES = PROPRIO * 4


@dataclass(frozen=True)
class Layout:
    """An observation as one row of bytes: images, normalised proprioception (float32), number of the prompt."""

    images: int

    @property
    def size(self) -> int:
        """Bytes of a row, O."""
        return self.images * IMAGE_BYTES + PROPRIO_BYTES + 1

    def pack(self, images: Sequence[Pixels], proprio: npt.NDArray[np.float64], prompt: int) -> npt.NDArray[np.uint8]:
        """One row, uint8 [O].

        Args:
            images: uint8 [224, 224, 3] each, see `gipo.models.openvla_oft.images.preprocess`.
            proprio: normalised, [8].
            prompt: number of the prompt, below 256.
        """
        parts = [image.reshape(-1) for image in images]
        return np.concatenate([*parts, proprio.astype(np.float32).view(np.uint8), np.array([prompt], np.uint8)])

    def unpack(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images uint8 [B, n, 224, 224, 3], proprioception float32 [B, 8] and prompts int64 [B] of rows [B, O]."""
        images, proprio, prompt = rows.split([self.images * IMAGE_BYTES, PROPRIO_BYTES, 1], dim=1)
        return (
            images.view(-1, self.images, SIZE, SIZE, 3),
            proprio.clone(memory_format=torch.contiguous_format).view(torch.float32),  # one row counts as contiguous
            prompt.squeeze(1).long(),
        )
