"""World models on frames: what a video model has to offer, what is imagined with it, and how wrong it is.

A step is a chunk of actions, after which a policy such as OpenVLA-OFT looks again. A model of frames is given the last
few frames and a chunk, and foretells the next frame, the reward of the chunk and the probability of success. Whatever
does so can take the place of `gipo.imagination.convolutional.ConvolutionalModel`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import conv2d, normalize

from gipo.errors import GipoError


@dataclass(frozen=True)
class Foretold:
    """A step of B branches, or all L of them; then a dimension L comes after B."""

    frames: Tensor  # uint8 [B, 3, H, W], the upper edge first
    rewards: Tensor  # float32 [B], sums over the chunk
    successes: Tensor  # float32 [B], probabilities that the chunk solves the task


class FrameModel(Protocol):
    """Foretells frames."""

    context: int
    """F, the number of frames that it is given, the latest one last."""

    def predict(self, frames: Tensor, actions: Tensor) -> Foretold:
        """The step after frames uint8 [B, F, 3, H, W], in which chunks float32 [B, n, D] are played."""


Policy = Callable[[Tensor], Tensor]
"""From frames uint8 [B, F, 3, H, W] to chunks of actions float32 [B, n, D]."""


def imagine(model: FrameModel, policy: Policy, frames: Tensor, steps: int) -> Foretold:
    """Let a policy play in the model, which is shown its own frames after the first ones (open loop).

    Args:
        model: of frames.
        policy: is asked at every step.
        frames: real ones to begin with, uint8 [B, F, 3, H, W].
        steps: L.

    Raises:
        GipoError: the model is given another number of frames than it wants, or foretells NaN or infinity.
    """
    if frames.shape[1] != model.context:
        raise GipoError(f"the world model takes {model.context} frames, got {frames.shape[1]}")
    found = []
    for step in range(1, steps + 1):
        foretold = model.predict(frames, policy(frames))
        if not (foretold.rewards.isfinite().all() and foretold.successes.isfinite().all()):
            raise GipoError(f"the world model foretells NaN or infinity in step {step} of a branch")
        found.append(foretold)
        frames = torch.cat([frames[:, 1:], foretold.frames[:, None]], dim=1)
    names = ("frames", "rewards", "successes")
    return Foretold(*(torch.stack([getattr(step, name) for step in found], 1) for name in names))


def psnr(frames: Tensor, reference: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of frames uint8 [..., 3, H, W], [...] in dB; infinite where they are equal."""
    squared = (frames.float() - reference.float()).square().mean((-3, -2, -1))
    return 10 * torch.log10(255.0**2 / squared)


class RandomFeatures:
    """LPIPS's distance (Zhang et al. 2018, arXiv 1801.03924, eq. 1) in a network that was never trained.

    The published one needs weights of networks that were trained on photographs, which the package does not bring. Its
    formula stays: features of each layer, normalised over channels; squared differences, means over positions, summed
    over layers. Their authors found such features a better judge than pixels, and a worse one than trained ones; its
    numbers are not those of LPIPS.
    """

    CHANNELS = (3, 32, 64, 128)

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self._weights = [
            torch.randn(after, before, 3, 3, generator=generator) * (2 / (9 * before)) ** 0.5
            for before, after in pairwise(self.CHANNELS)
        ]

    @torch.no_grad()
    def distance(self, frames: Tensor, reference: Tensor) -> Tensor:
        """Of frames uint8 [..., 3, H, W], float32 [...]; 0 where they are equal, at most 4 a layer."""
        shape = frames.shape[:-3]
        one, other = (each.reshape(-1, *each.shape[-3:]).float() / 127.5 - 1 for each in (frames, reference))
        total = torch.zeros(len(one))
        for weight in self._weights:
            one, other = (conv2d(each, weight, stride=2, padding=1).relu() for each in (one, other))
            total += (normalize(one) - normalize(other)).square().sum(1).mean((1, 2))
        return total.reshape(shape)
