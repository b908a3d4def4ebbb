"""All GPUs of the machine together, by the collectives of a learner on several of them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from gipo.engines.asynchronous.ranks import Ranks
from gipo.files import read_json, write_json
from gipo.gpu.findings import Finding, failed, gpu, passed, skipped

NUMBERS = 2**26
"""Of a sum over all GPUs, float32: 256 MiB."""
CALLS = 50
"""Sums that are timed."""


def check() -> Iterator[Finding]:
    """A sum over all of them is right; how fast."""
    if gpu() is None:
        yield skipped("collectives: PyTorch sees no GPU")
        return
    count = torch.cuda.device_count()
    if count == 1:
        yield skipped("collectives: there is only one GPU")
        return
    with tempfile.TemporaryDirectory() as directory:
        spawn(_sum, (count, Path(directory)), nprocs=count)
        found = read_json(Path(directory, "found.json"))
    if found["sum"] != count * (count + 1) / 2:
        yield failed(f"NCCL's sum over {count} GPUs is wrong, {found['sum']}: try NCCL_P2P_DISABLE=1")
        return
    moved = 2 * (count - 1) / count * 4 * NUMBERS
    yield passed(f"NCCL sum of 256 MiB over {count} GPUs, bus bandwidth", moved / found["seconds"] / 1e9, "GB/s")


def _sum(rank: int, count: int, directory: Path) -> None:
    torch.cuda.set_device(rank)
    Ranks(rank, count, directory / "meeting").join()
    numbers = torch.full((NUMBERS,), rank + 1.0, device="cuda")
    dist.all_reduce(numbers)
    total = float(numbers[0])
    numbers.zero_()
    start = time.perf_counter()
    for _ in range(CALLS):  # as many in every process
        dist.all_reduce(numbers)
    torch.cuda.synchronize()
    if rank == 0:
        write_json(directory / "found.json", {"sum": total, "seconds": (time.perf_counter() - start) / CALLS})
    dist.destroy_process_group()
