"""GPUs of this machine: how many there are, and which one a training run takes."""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gipo.errors import GipoError

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""Environment variable that says which GPUs a process sees."""


def visible() -> list[str]:
    """Names of the GPUs that may be used here, as `VISIBLE` has them; without it, the numbers of all there are."""
    if VISIBLE in os.environ:
        names = [name.strip() for name in os.environ[VISIBLE].split(",")]
        return [name for name in names if name not in ("", "-1")]
    try:
        rows = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return []
    return [str(number) for number in range(sum(row.startswith("GPU ") for row in rows))]


def limit(workflow: Any) -> None:
    """Let the jobs of this machine have no more GPUs at once than there are; ``--resources gpu=2`` allows fewer.

    Args:
        workflow: Snakemake's, while it reads the Snakefile on the machine where jobs run.
    """
    if "gpu" not in workflow.global_resources:
        workflow.register_resource("gpu", len(visible()))


@contextmanager
def claimed(count: int) -> Iterator[None]:
    """Take the GPUs on which the fewest runs are, and show this process and its children no others meanwhile.

    Runs on one machine, or in one SLURM job, each hold a file with the names of their GPUs locked, so that the claim of
    a run that was killed ends with it.

    Args:
        count: how many GPUs.

    Raises:
        GipoError: fewer are visible.
    """
    names = visible()
    if count > len(names):
        needs = f"the run needs {count} GPU{'s' * (count > 1)}"
        raise GipoError(f"{needs}, and {len(names)} are here, by {VISIBLE} or else by nvidia-smi")
    folder = Path(tempfile.gettempdir(), f"gipo-gpus-{os.getuid()}-{os.environ.get('SLURM_JOB_ID', 'here')}")
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / "choosing").open("w") as choosing:
        fcntl.flock(choosing, fcntl.LOCK_EX)
        used = Counter(name for other in folder.glob("*.claim") for name in _held(other))
        chosen = sorted(names, key=lambda name: used[name])[:count]
        own = folder / f"{uuid.uuid4().hex}.claim"
        claim = own.open("x")
        fcntl.flock(claim, fcntl.LOCK_EX)
        claim.write(" ".join(chosen))
        claim.flush()
    before = os.environ.get(VISIBLE)
    os.environ[VISIBLE] = ",".join(chosen)
    try:
        yield
    finally:
        claim.close()
        own.unlink(missing_ok=True)
        os.environ.pop(VISIBLE)
        if before is not None:
            os.environ[VISIBLE] = before


def _held(claim: Path) -> list[str]:
    """GPUs of a run; none where it is gone, and its file with it."""
    try:
        with claim.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:  # it has just ended
        return []
    except BlockingIOError:
        return claim.read_text().split()
    claim.unlink(missing_ok=True)
    return []
