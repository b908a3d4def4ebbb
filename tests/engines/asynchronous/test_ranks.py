"""The learner's processes among themselves."""

import time
from datetime import timedelta
from pathlib import Path

import pytest
from torch.distributed import distributed_c10d
from torch.multiprocessing.spawn import spawn

from gipo.engines.asynchronous.ranks import Ranks


def lead_or_follow(rank: int, directory: Path) -> None:
    short = timedelta(seconds=3)
    distributed_c10d._get_default_timeout = lambda _: short  # half an hour, where nobody says otherwise
    ranks = Ranks(rank, 2, directory / "meeting")
    ranks.join()
    if rank == 0:
        time.sleep(6)
        ranks.tell("update")
    else:
        (directory / "heard").write_text(ranks.hear())


@pytest.mark.slow
def test_a_leader_may_take_its_time_before_an_order(tmp_path: Path):
    spawn(lead_or_follow, (tmp_path,), nprocs=2)
    assert (tmp_path / "heard").read_text() == "update"
