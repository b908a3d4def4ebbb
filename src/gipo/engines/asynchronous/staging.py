"""The transitions of the learner's next update, or a process's share of them."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from gipo.engines.asynchronous.ranks import Ranks
from gipo.replay import Batch
from gipo.runs.spec import LearnerSpec


class Staging:
    """Holds the transitions of the next update, always in the same memory: a captured CUDA graph reads them there."""

    def __init__(
        self,
        learner: LearnerSpec,
        observation_size: int,
        observation_dtype: torch.dtype,
        action_dimensions: int,
        device: torch.device,
        ranks: Ranks,
    ) -> None:
        self.device, self.observation_size, self.action_dimensions = device, observation_size, action_dimensions
        self.ranks = ranks
        self.shape = learner.accumulation, learner.batch_size
        """Of all processes together."""
        self.size = learner.accumulation * learner.batch_size
        own = self.size // ranks.size
        self.index = torch.arange(own, device=device).view(learner.accumulation, -1)

        def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(own, *shape, dtype=dtype, device=device)

        self.batch = Batch(
            observations=zeros(observation_size, dtype=observation_dtype),
            tokens=zeros(action_dimensions, dtype=torch.int64),
            log_probs=zeros(action_dimensions),
            advantages=zeros(),
            targets=zeros(),
            versions=zeros(dtype=torch.int64),
        )

    @property
    def bytes(self) -> int:
        """Size of the transitions of one update, of all processes together."""
        return self.ranks.size * sum(tensor.nbytes for tensor in self.batch.tensors().values())

    def fill(self, arrays: dict[str, npt.NDArray[Any]] | None) -> None:
        """Take the transitions of the next update, fields of `gipo.replay.Batch`; the first process brings all."""
        for name, tensor in self.batch.tensors().items():
            whole = None
            if arrays is not None:
                whole = torch.tensor(arrays[name]).view(*self.shape, *tensor.shape[1:]).to(self.device)
            self.ranks.deal(whole, tensor.view(*self.index.shape, *tensor.shape[1:]))

    def gather(self, index: Tensor) -> Batch:
        """The transitions at positions ``index``, int64 [B]."""
        return Batch(**{name: tensor.index_select(0, index) for name, tensor in self.batch.tensors().items()})
