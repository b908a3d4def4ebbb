"""What a partition can hold, against a sinfo with given answers."""

import os
from pathlib import Path

import pytest

from gipo.cluster import partitions
from gipo.cluster.partitions import Partition


@pytest.mark.parametrize(
    ("limit", "minutes"),
    [("infinite", float("inf")), ("30:00", 30), ("12:00:00", 720), ("2-00:00:00", 2880), ("1-12:30:00", 2190)],
)
def test_time_limits_are_read_as_slurm_writes_them(limit: str, minutes: float):
    assert partitions.minutes_of(limit) == minutes


def test_a_partition_of_two_kinds_of_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    sinfo = tmp_path / "sinfo"
    sinfo.write_text(
        "#!/bin/sh\necho 'gpu|up|infinite|gpu:h200:8(S:0-1)|2'\necho 'gpu|up|10:00:00|gpu:a100:4,tmp:1|3'\n"
    )
    sinfo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    partition = partitions.ask("gpu")
    assert (partition.nodes, partition.minutes, partition.gpus, partition.state) == (5, 600, 8, "up")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"runtime": 60, "gpu": 4}, None),
        ({"runtime": 61}, "asks for 61 minutes, and partition gpu has a time limit of 1:00:00"),
        ({"gpu": 8}, "asks for 8 GPUs on one node, and the nodes of partition gpu have 4"),
    ],
)
def test_what_can_never_start_is_named(asked: dict[str, int], words: str | None):
    assert partitions.complaint(asked, Partition("gpu", "up", "1:00:00", ("gpu:4",), 3)) == words
