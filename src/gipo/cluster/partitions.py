"""Time and GPUs of a SLURM partition, and whether it can hold a job."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Partition:
    """A partition as sinfo tells."""

    name: str
    state: str
    """``up``, or why it takes no jobs."""
    limit: str
    """Time limit as SLURM writes it."""
    devices: tuple[str, ...]
    """Generic resources of each kind of its nodes, e.g. ``gpu:h200:8(S:0-1)``."""
    nodes: int

    @property
    def minutes(self) -> float:
        """Time limit, infinite where there is none."""
        return minutes_of(self.limit)

    @property
    def gpus(self) -> int:
        """GPUs of the node that has the most."""
        counts = [re.findall(r"\bgpu(?::[^:,(]+)?:(\d+)", kind) for kind in self.devices]
        return max((sum(map(int, count)) for count in counts), default=0)


def ask(name: str) -> Partition | None:
    """A partition; None where the cluster has none of that name."""
    rows = [line.split("|") for line in _sinfo("-p", name, "-o", "%R|%a|%l|%G|%D").split()]
    if not rows:
        return None
    state = next((row[1] for row in rows if row[1] != "up"), "up")
    limit = min((row[2] for row in rows), key=minutes_of)
    return Partition(name, state, limit, tuple(sorted({row[3] for row in rows})), sum(int(row[4]) for row in rows))


def known() -> list[str]:
    """Names of all partitions."""
    return sorted(set(_sinfo("-o", "%R").split()))


def complaints(jobs: Iterable[Any]) -> Iterator[str]:
    """Why jobs would wait in the queue for ever, or be refused.

    Args:
        jobs: Snakemake's, or groups of them.
    """
    there: dict[str, Partition | None] = {}
    for job in jobs:
        name = job.resources.slurm_partition
        if name not in there:
            there[name] = ask(name)
        partition = there[name]
        words = complaint(job.resources, partition) if partition else f"no partition {name!r}"
        if words:
            yield f"{f'the group {job.groupid}' if job.is_group() else f'a job of {job.name}'}: {words}"


def complaint(asked: Mapping[str, Any], partition: Partition) -> str | None:
    """Why a partition can never start a job; None where it can.

    Args:
        asked: resources of the job, as Snakemake names them.
        partition: where it is to run.
    """
    minutes, gpus = asked.get("runtime") or 0, asked.get("gpu") or 0
    if minutes > partition.minutes:
        return f"asks for {minutes:,} minutes, and partition {partition.name} has a time limit of {partition.limit}"
    if gpus > partition.gpus:
        return f"asks for {gpus} GPUs on one node, and the nodes of partition {partition.name} have {partition.gpus}"
    return None


def minutes_of(limit: str) -> float:
    """A time limit as SLURM writes it, ``[days-]hours:minutes:seconds`` or ``infinite``, in minutes."""
    if limit == "infinite":
        return float("inf")
    days, _, rest = limit.rpartition("-")
    seconds = 0
    for part in rest.split(":"):
        seconds = 60 * seconds + int(part)
    return 1440 * int(days or 0) + seconds / 60


def _sinfo(*asked: str) -> str:
    return subprocess.run(["sinfo", "-h", *asked], capture_output=True, text=True).stdout
