"""A small convolutional world model on frames, the proof that `gipo.imagination.frames` can be filled.

A U-net: the frames go down to an eighth of their size, the chunk of actions is added to every position there, and the
change of the last frame comes up again. Reward and success are read at the bottom. Where the future is uncertain it
foretells the mean, which is blurred; what draws a possible future, as DIAMOND does, would be trained at length.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from gipo.errors import GipoError
from gipo.imagination.frames import Foretold

LEARNING_RATE = 1e-3
"""Of Adam at its peak, after which it falls to 0 along a line [R]."""
BATCH = 32
"""Transitions of an optimiser step [R]."""
OUTCOME = 0.1
"""Weight of the losses of reward and success beside the frame's [R]."""
DOWN = 8
"""Factor from a frame's side to that of the smallest layer."""


@dataclass(frozen=True)
class Clips:
    """N transitions between frames."""

    frames: Tensor  # uint8 [N, F, 3, H, W], the latest one last
    actions: Tensor  # float32 [N, n, D]
    successors: Tensor  # uint8 [N, 3, H, W]
    drawn: Tensor  # bool [N], whether the successor was: a simulator that ends at a success draws no more
    rewards: Tensor  # float32 [N]
    successes: Tensor  # float32 [N], 0 or 1

    def __len__(self) -> int:
        """N."""
        return len(self.rewards)

    def take(self, index: Tensor) -> Clips:
        """Those at ``index``."""
        return Clips(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


class Network(nn.Module):
    """Change of the last frame [B, 3, H, W], and reward and logit of success [B, 2].

    Args:
        context: F.
        action_size: numbers of a chunk, n times D.
        width: channels of the first layer; each further one has twice as many.
    """

    def __init__(self, context: int, action_size: int, width: int) -> None:
        super().__init__()
        sizes = [3 * context, width, 2 * width, 4 * width]
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 4, 2, 1), nn.GroupNorm(8, after), nn.SiLU())
            for before, after in pairwise(sizes)
        )
        self.actions = nn.Sequential(nn.Linear(action_size, 4 * width), nn.SiLU(), nn.Linear(4 * width, 4 * width))
        self.bottom = nn.Sequential(
            nn.Conv2d(4 * width, 4 * width, 3, 1, 1), nn.GroupNorm(8, 4 * width), nn.SiLU(),
            nn.Conv2d(4 * width, 4 * width, 3, 1, 1), nn.GroupNorm(8, 4 * width), nn.SiLU(),
        )  # fmt: skip
        self.outcome = nn.Linear(4 * width, 2)
        self.up = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(2 * before, after, 4, 2, 1), nn.GroupNorm(8, after), nn.SiLU())
            for before, after in zip(sizes[:1:-1], sizes[-2:0:-1], strict=False)
        )
        self.last = nn.ConvTranspose2d(2 * width, 3, 4, 2, 1)

    def forward(self, frames: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Of frames float32 [B, F, 3, H, W] in [-1, 1] and chunks [B, n, D]."""
        x, kept = frames.flatten(1, 2), []
        for layer in self.down:
            x = layer(x)
            kept.append(x)
        x = x + self.bottom(x + self.actions(actions.flatten(1))[..., None, None])
        outcome = self.outcome(x.mean((2, 3)))
        for layer in (*self.up, self.last):
            x = layer(torch.cat([x, kept.pop()], dim=1))
        return x, outcome


class ConvolutionalModel:
    """A `gipo.imagination.frames.FrameModel`, on the CPU.

    Args:
        context: F.
        action_size: numbers of a chunk.
        seed: of the first weights and of the batches.
        width: channels of the first layer.

    Raises:
        GipoError: ``predict`` and ``fit`` refuse frames whose sides are no multiple of `DOWN`.
    """

    def __init__(self, context: int, action_size: int, seed: int, width: int = 32) -> None:
        self.context = context
        self._generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = Network(context, action_size, width)

    @torch.no_grad()
    def predict(self, frames: Tensor, actions: Tensor) -> Foretold:
        """See `gipo.imagination.frames.FrameModel.predict`."""
        scaled = _scaled(frames)
        changes, outcome = self.network(scaled, actions)
        foretold = ((scaled[:, -1] + changes + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return Foretold(foretold, outcome[:, 0], outcome[:, 1].sigmoid())

    def losses(self, clips: Clips) -> dict[str, Tensor]:
        """Squared errors of the frame and of the reward, and cross-entropy of the success, each a mean.

        Frames count from -1 to 1. One that was not drawn counts nothing.
        """
        scaled = _scaled(clips.frames)
        changes, outcome = self.network(scaled, clips.actions)
        squared = (scaled[:, -1] + changes - _scaled(clips.successors)).square().mean((1, 2, 3))
        return {
            "frame": (squared * clips.drawn).sum() / clips.drawn.sum().clamp(min=1),
            "reward": mse_loss(outcome[:, 0], clips.rewards),
            "success": binary_cross_entropy_with_logits(outcome[:, 1], clips.successes),
        }

    def fit(self, clips: Clips, steps: int) -> None:
        """Learn from transitions.

        Raises:
            GipoError: there is none, or a loss is NaN or infinite.
        """
        if not len(clips):
            raise GipoError("the world model has no transition to learn from")
        optimizer = torch.optim.Adam(self.network.parameters(), lr=LEARNING_RATE, fused=True)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
        for step in range(1, steps + 1):
            losses = self.losses(clips.take(torch.randint(len(clips), (BATCH,), generator=self._generator)))
            total = losses["frame"] + OUTCOME * (losses["reward"] + losses["success"])
            if not total.isfinite():
                raise GipoError(f"the world model's loss is {total.item()} in step {step} of its fit")
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            schedule.step()

    def state(self) -> dict[str, Any]:
        """Weights and generator, for a checkpoint; between two fits there is nothing else."""
        return {"network": self.network.state_dict(), "generator": self._generator.get_state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.network.load_state_dict(state["network"])
        self._generator.set_state(state["generator"])


def _scaled(frames: Tensor) -> Tensor:
    """Frames uint8 [..., H, W] as float32 in [-1, 1]."""
    if any(side % DOWN for side in frames.shape[-2:]):
        raise GipoError(f"frames of {list(frames.shape[-2:])} pixels: the sides have to be multiples of {DOWN}")
    return frames.float() / 127.5 - 1
