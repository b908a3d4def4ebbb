"""Where a result came from: the code and the machine that made it, and what it cost."""

import hashlib
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from gipo.config import Flag, NonNegativeFloat, NonNegativeInt, PositiveInt, Section
from gipo.manifest import Sha256

CHECKOUT = Path(__file__).parents[3]
"""Root of the checkout that this package is run from; some other directory for an installed copy."""

LIBRARIES = (
    *("gymnasium", "hf-libero", "metaworld", "mujoco", "numpy", "pandas", "peft", "pyarrow", "ray", "robosuite"),
    *("scipy", "torch", "transformers"),
)


def _time(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("has no time zone")
    return text


Time = Annotated[str, AfterValidator(_time)]
"""A moment in ISO format with its time zone."""


class Origin(Section):
    """The code that makes a result."""

    git_commit: str | None
    """None outside a git checkout, or without git."""
    git_dirty: Flag | None
    """Whether files differ from the commit."""
    code_digest: Sha256
    """Of the modules whose behaviour makes the result, see `gipo.runs.code.code_digest`."""
    lock_digest: Sha256 | None
    """Of the lock files; None where there are none."""


class Provenance(Origin):
    """Content of provenance.json: the code that made a run, and what it cost."""

    finished_at: Time
    wall_seconds: NonNegativeFloat
    """Time spent, over all attempts, as far as their checkpoints tell."""
    env_steps: Annotated[int, Field(ge=0, le=2**53, strict=True)]
    """Env steps collected for training."""
    updates: PositiveInt
    """Learner updates."""
    env_steps_per_second: NonNegativeFloat
    updates_per_second: NonNegativeFloat
    interruptions: NonNegativeInt
    """How often the run was resumed."""


def origin(code_digest: str) -> Origin:
    """The code of this process, to be asked when a run starts: the sources may be edited while it trains."""
    commit, dirty = _git(CHECKOUT)
    return Origin(git_commit=commit, git_dirty=dirty, code_digest=code_digest, lock_digest=_lock_digest(CHECKOUT))


def machine() -> dict[str, Any]:
    """The machine of this process: host, cpu, cores, python, and the versions of `LIBRARIES`."""
    return {
        "host": platform.node(),
        "cpu": _cpu(),
        "cores": _cores(),
        "python": platform.python_version(),
        "libraries": _versions(),
    }


def now() -> str:
    """This moment, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _git(checkout: Path) -> tuple[str | None, bool | None]:
    """Commit of `checkout` and whether its files differ from it; (None, None) where git does not know.

    A checkout that belongs to another user is as good as one's own. Variables of git's, such as ``GIT_DIR``, are not
    handed on: they may mean another repository.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

    def git(*arguments: str) -> str:
        command = ["git", "--no-optional-locks", "-c", "safe.directory=*", "-C", str(checkout), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != checkout.resolve():
            return None, None  # an installed copy that lies inside another repository
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain"))
    except (OSError, subprocess.CalledProcessError):
        return None, None


def _lock_digest(checkout: Path) -> str | None:
    """SHA-256 over the names and contents of envs/*.lock."""
    locks = sorted(checkout.glob("envs/*.lock"))
    digest = hashlib.sha256()
    for lock in locks:
        digest.update(f"{lock.name} {hashlib.sha256(lock.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest() if locks else None


def processor(key: str) -> str:
    """An entry of the first processor in the system's list; empty where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key), "")


def _cpu() -> str:
    """Model name of the processor, as far as the system tells."""
    return processor("model name") or platform.processor() or platform.machine()


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _versions() -> dict[str, str]:
    """Versions of those of `LIBRARIES` that are installed."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
