"""The processes of the learner: the first one leads, the others do the same to their copies of the model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

CPU = torch.device("cpu")
PATIENCE = timedelta(days=365)
"""The leader may wait for transitions as long as it likes; whoever hangs in its own work is found by its heartbeat."""


@dataclass(frozen=True)
class Ranks:
    """One process's place among those of the learner."""

    rank: int
    size: int
    meeting: Path
    """File by which they find each other, another one for every attempt."""

    def join(self) -> None:
        """Wait for all the others."""
        if self.size > 1:
            backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
            address = f"file://{self.meeting}"
            dist.init_process_group(
                backend, init_method=address, rank=self.rank, world_size=self.size, timeout=PATIENCE
            )

    def tell(self, order: str) -> None:
        """Say, as the first one, what all do next."""
        if self.size > 1:
            dist.broadcast_object_list([order], device=CPU)

    def hear(self) -> str:
        """Wait for the first one's order."""
        orders = [""]
        dist.broadcast_object_list(orders, device=CPU)
        return orders[0]

    def deal(self, whole: Tensor | None, share: Tensor) -> None:
        """Give every process its columns [A, B, ...] of ``whole`` [A, size * B, ...], which the first one has."""
        shares = None if whole is None else [part.contiguous() for part in whole.chunk(self.size, dim=1)]
        if self.size > 1:
            dist.scatter(share, shares)
        elif shares:
            share.copy_(shares[0])
