"""How long it takes to account for every byte of a study of published size.

    python benchmarks/verify_speed.py [out.csv]

The study is the paper's on MetaWorld, 1,080 runs, with made-up numbers: every file has its published length, a policy
that of the paper's network. `gipo verify` reads all of it, kept copies too; the workflow at its start reads what was
changed. Shown is the shortest of three looks; files that fit into memory are read from there. It takes 9 GB of disk for
some minutes.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from gipo.models.mlp import make_model
from gipo.recovery import recover
from gipo.scale import Scale, config
from gipo.verify import verify
from timing import publish
from whole_study import write_whole

OBSERVATION, ACTION = 39, 4  # of MetaWorld


def policy_bytes(scale: Scale) -> int:
    """Bytes of the policy of a run."""
    model = make_model(next(iter(scale.runs.values())), OBSERVATION, ACTION)
    content = io.BytesIO()
    torch.save(model.state_dict(), content)
    return len(content.getvalue())


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    """Write the study and look at it both ways."""
    scale = Scale.load(config("paper"))
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder, "results")
        write_whole(scale, results, policy_bytes(scale))
        study = results / scale.name
        verdict = verify(scale, study)
        assert not verdict.problems
        looks: dict[str, Callable[[], object]] = {
            "gipo verify": lambda: verify(scale, study),
            "start of the workflow": lambda: recover(scale, study, print, dry=True),
        }
        rows: list[dict[str, float | str]] = [
            {
                "look": name,
                "runs": verdict.runs,
                "files": verdict.files,
                "gigabytes": verdict.size / 1e9,
                "seconds": min(seconds(look) for _ in range(3)),
            }
            for name, look in looks.items()
        ]
    publish(rows)


if __name__ == "__main__":
    main()
