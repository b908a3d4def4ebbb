"""A short MetaWorld run from its first step to its results, with replay and learner on the GPU."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from gipo.engines import lockstep
from gipo.gpu.findings import Finding, gpu, passed, skipped
from gipo.gpu.updates import SPEC

UPDATES = 2000


def check() -> Iterator[Finding]:
    """A run of `UPDATES` updates of full size on a small replay."""
    if gpu() is None:
        yield skipped("a run on a GPU: PyTorch sees none")
        return
    spec = SPEC.model_validate(
        SPEC.model_dump()
        | {
            "replay": {"capacity": 8192, "lifetime": 0.874},
            "learner": {"updates": UPDATES, "warmup_updates": 0, "policy_start": 0},
            "evaluation": {"every": UPDATES, "episodes": 2},
        }
    )
    with tempfile.TemporaryDirectory() as directory:
        start = time.perf_counter()
        lockstep.train(spec, Path(directory), device="cuda", tell=lambda _: None)
        yield passed(f"a run of {UPDATES} updates of full size, to its results", time.perf_counter() - start, "s")
