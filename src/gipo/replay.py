"""Policy lag: the versioned replay, and the regime as its lifetime.

With uniform sampling from a FIFO replay that is replaced once in L learner updates, the version gap of a sample (the
learner's update now minus the update of the policy that collected it) is uniform on [0, L] [R].
So a regime is one number, and it does not depend on how fast anyone's hardware is.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gipo.errors import GipoError


@dataclass(frozen=True)
class Pace:
    """Learner updates that the env steps collected so far pay for.

    Args:
        capacity: replay capacity in transitions.
        lifetime: L, learner updates in which the replay is replaced once.
        warmup_steps: env steps collected before the first update.
    """

    capacity: int
    lifetime: float
    warmup_steps: int

    @property
    def env_steps_per_update(self) -> float:
        """Transitions collected per learner update, ``capacity / L``."""
        return self.capacity / self.lifetime

    def updates_due(self, env_steps: int) -> int:
        """Learner updates due once ``env_steps`` transitions are in."""
        return max(0, int((env_steps - self.warmup_steps) * self.lifetime / self.capacity))


@dataclass
class Segments:
    """Consecutive transitions of S environments over T steps, all by one policy version; D action dimensions.

    ``final_observation`` follows the last step; ``cut_observation`` is the last state of an episode that the time limit
    ended inside the segment, zeros where none did.
    """

    observations: Tensor  # float32 [S, T, O]
    tokens: Tensor  # uint8 [S, T, D]
    log_probs: Tensor  # float32 [S, T, D], log mu of the taken tokens
    rewards: Tensor  # float32 [S, T], unscaled
    terminated: Tensor  # bool [S, T]
    truncated: Tensor  # bool [S, T]
    final_observation: Tensor  # float32 [S, O]
    cut_observation: Tensor  # float32 [S, O]
    logits: Tensor | None = None  # float32 [S, T, D, K], of mu, where the run needs them
    lengths: Tensor | None = None  # int64 [S], steps that are there, where segments end with their episodes
    successes: Tensor | None = None  # bool [S, T], whether the task was solved after the step, where the run needs them

    def to(self, device: torch.device) -> Segments:
        """The same on another device."""
        return Segments(**{name: tensor.to(device) for name, tensor in self.tensors().items()})

    def tensors(self) -> dict[str, Tensor]:
        """The fields that are there."""
        return _tensors(self)


@dataclass(frozen=True)
class Batch:
    """Sampled transitions."""

    observations: Tensor  # float32 [B, O]
    tokens: Tensor  # int64 [B, D]
    log_probs: Tensor  # float32 [B, D], log mu
    advantages: Tensor  # float32 [B], not normalised
    targets: Tensor  # float32 [B]
    versions: Tensor  # int64 [B], learner update of the policy that collected the step
    logits: Tensor | None = None  # float32 [B, D, K], of mu, where the run keeps them

    def tensors(self) -> dict[str, Tensor]:
        """The fields that are there."""
        return _tensors(self)


def _tensors(of: Segments | Batch) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in vars(of).items() if tensor is not None}


class Replay:
    """Preallocated FIFO store of segments with uniform sampling of single transitions.

    Args:
        capacity: transitions; a multiple of ``segment_length``.
        segment_length: T, steps per segment.
        observation_size: O.
        action_dimensions: D.
        device: where the store lives.
        observation_dtype: of one number of an observation.
        directory: where the store is mapped to files, which outlive this object and hold what the last one stored;
            None: it lives in memory.
        bins: K, tokens per action dimension, where the behaviour's logits are kept; None: they are not.
        cut: whether segments end with their episodes, so that some are shorter than T.
        successes: whether successes are kept.

    Raises:
        GipoError: the capacity is no multiple of the segment length, or there is no space for the files.
    """

    REFRESHED_AT_ONCE = 512
    """Segments; the logits of all would not fit into memory at the paper's size."""

    def __init__(
        self,
        capacity: int,
        segment_length: int,
        observation_size: int,
        action_dimensions: int,
        device: torch.device | str = "cpu",
        observation_dtype: torch.dtype = torch.float32,
        directory: Path | None = None,
        bins: int | None = None,
        cut: bool = False,
        successes: bool = False,
    ) -> None:
        if capacity <= 0 or capacity % segment_length:
            raise GipoError(f"replay capacity = {capacity}, expected a multiple of the segment length {segment_length}")
        self.device = torch.device(device)
        self.observation_size, self.action_dimensions = observation_size, action_dimensions
        slots, steps = capacity // segment_length, segment_length

        def zeros(name: str, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            if directory:
                return map_file(directory / name, shape, dtype)
            return torch.zeros(shape, dtype=dtype, device=self.device)

        self.segments = Segments(
            observations=zeros("observations", slots, steps, observation_size, dtype=observation_dtype),
            tokens=zeros("tokens", slots, steps, action_dimensions, dtype=torch.uint8),
            log_probs=zeros("log_probs", slots, steps, action_dimensions),
            rewards=zeros("rewards", slots, steps),
            terminated=zeros("terminated", slots, steps, dtype=torch.bool),
            truncated=zeros("truncated", slots, steps, dtype=torch.bool),
            final_observation=zeros("final_observation", slots, observation_size, dtype=observation_dtype),
            cut_observation=zeros("cut_observation", slots, observation_size, dtype=observation_dtype),
            logits=zeros("logits", slots, steps, action_dimensions, bins) if bins else None,
            lengths=zeros("lengths", slots, dtype=torch.int64) if cut else None,
            successes=zeros("successes", slots, steps, dtype=torch.bool) if successes else None,
        )
        self.advantages = zeros("advantages", slots, steps)
        self.targets = zeros("targets", slots, steps)
        self.versions = zeros("versions", slots, steps, dtype=torch.int64)
        self._counts = map_file(directory / "counts", (2,), torch.int64) if directory else torch.zeros(2).long()

    @property
    def appended(self) -> int:
        """Segments appended so far, including those already overwritten."""
        return int(self._counts[0])

    @appended.setter
    def appended(self, segments: int) -> None:
        self._counts.fill_(segments)

    @property
    def intact(self) -> range:
        """Numbers of the segments in store, oldest first; segment n lies in slot n modulo the slots.

        Without those that an append was overwriting when its process died.
        """
        return range(max(0, int(self._counts[1]) - self.slots), self.appended)

    @property
    def slots(self) -> int:
        """Capacity in segments."""
        return self.versions.shape[0]

    @property
    def filled(self) -> int:
        """Segments in store."""
        return min(self.appended, self.slots)

    def __len__(self) -> int:
        """Transitions in store."""
        if self.segments.lengths is None:
            return self.filled * self.versions.shape[1]
        return int(self.segments.lengths[: self.filled].sum())

    @property
    def lengths(self) -> Tensor:
        """Steps of each segment in store, int64 [filled]."""
        if self.segments.lengths is None:
            return torch.full((self.filled,), self.versions.shape[1], device=self.device)
        return self.segments.lengths[: self.filled]

    def positions(self, numbers: Tensor) -> Tensor:
        """Flat positions of transitions that are numbered from 0 to len(self) - 1 slot by slot, of the same shape."""
        if self.segments.lengths is None:
            return numbers
        steps = torch.arange(self.versions.shape[1], device=self.device)
        return (steps < self.lengths[:, None]).flatten().nonzero().squeeze(1)[numbers]

    def append(self, segments: Segments, advantages: Tensor, targets: Tensor, version: int | Tensor) -> None:
        """Store segments collected by policy ``version``, over the oldest ones where the store is full.

        Args:
            segments: S new segments on the replay's device, S at most the number of slots.
            advantages: [S, T].
            targets: value targets, [S, T].
            version: learner updates that the collecting policy had seen, one number or [S, T].
        """
        count = advantages.shape[0]
        self._counts[1] = self.appended + count
        slots = torch.arange(self.appended, self.appended + count, device=self.device) % self.slots
        new = segments.tensors()
        for name, store in self.segments.tensors().items():
            store[slots] = new[name]
        self.advantages[slots] = advantages
        self.targets[slots] = targets
        self.versions[slots] = version
        self.appended += count

    def refresh(self, compute: Callable[[Segments], tuple[Tensor, Tensor]]) -> None:
        """Recompute advantages and targets of all that is stored, by ``compute``, [S, T] each, so many at a time."""
        for first in range(0, self.filled, self.REFRESHED_AT_ONCE):
            part = slice(first, min(first + self.REFRESHED_AT_ONCE, self.filled))
            stored = Segments(**{name: store[part] for name, store in self.segments.tensors().items()})
            self.advantages[part], self.targets[part] = compute(stored)

    def gather(self, index: Tensor) -> Batch:
        """The transitions at flat positions ``index``, int64 [B]; position p is step p modulo T of slot p // T."""

        def rows(store: Tensor) -> Tensor:
            return store.flatten(0, 1).index_select(0, index)

        return Batch(
            observations=rows(self.segments.observations),
            tokens=rows(self.segments.tokens).long(),
            log_probs=rows(self.segments.log_probs),
            advantages=rows(self.advantages),
            targets=rows(self.targets),
            versions=rows(self.versions),
            logits=None if self.segments.logits is None else rows(self.segments.logits),
        )

    def gather_segments(self, slots: Tensor) -> Segments:
        """The segments in slots in [0, filled), int64 [S]."""
        return Segments(**{name: store.index_select(0, slots) for name, store in self.segments.tensors().items()})

    def state(self) -> dict[str, Tensor | int]:
        """The filled part, for a checkpoint."""
        stores = self.segments.tensors()
        stores |= {"advantages": self.advantages, "targets": self.targets, "versions": self.versions}
        return {"appended": self.appended} | {name: store[: self.filled].clone() for name, store in stores.items()}

    def load_state(self, state: dict[str, Tensor | int]) -> None:
        """Restore what `state` returned."""
        self.appended = int(state["appended"])
        for name, store in self.segments.tensors().items():
            store[: self.filled] = state[name]
        self.advantages[: self.filled] = state["advantages"]
        self.targets[: self.filled] = state["targets"]
        self.versions[: self.filled] = state["versions"]


def map_file(path: Path, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor whose memory is a file: zeros if it is new, else what was written through the last mapping.

    Raises:
        GipoError: no space, or no permission; the space is taken now, as a full disk would later kill the process.
    """
    count = math.prod(shape)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, count * dtype.itemsize))
    except OSError as error:
        size = count * dtype.itemsize / 2**30
        raise GipoError(f"cannot reserve {size:.3g} GiB for {path}: {error.strerror}") from error
    return torch.from_file(str(path), shared=True, size=count, dtype=dtype).view(shape)
