"""Where a result came from: the code, the libraries and the machine that made it, and what it cost."""

import hashlib
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from gipo.runs.code import code_digest

CHECKOUT = Path(__file__).parents[3]
"""Root of the checkout that this package is run from; some other directory for an installed copy."""

LIBRARIES = (
    *("gymnasium", "hf-libero", "metaworld", "mujoco", "numpy", "pandas", "peft", "pyarrow", "ray", "robosuite"),
    *("scipy", "torch", "transformers"),
)


def origin(*modules: str) -> dict[str, Any]:
    """Code and machine, to be taken when a run starts: the sources may be edited while it trains.

    Outside a git checkout, or without git, `git_commit` and `git_dirty` are None; without lock files
    `lock_digest` is None.

    Args:
        modules: The modules whose behaviour made the result, see `gipo.runs.code.code_digest`.
    """
    commit, dirty = _git(CHECKOUT)
    return {
        "git_commit": commit,
        "git_dirty": dirty,
        "code_digest": code_digest(*modules),
        "lock_digest": _lock_digest(CHECKOUT),
        "host": platform.node(),
        "cpu": _cpu(),
        "cores": _cores(),
        "python": platform.python_version(),
        "libraries": _versions(),
    }


def provenance(
    origin: dict[str, Any], *, device: str, wall_seconds: float, env_steps: int, updates: int, interruptions: int
) -> dict[str, Any]:
    """Content of provenance.json for a run that ends now.

    Args:
        origin: What `origin` returned when the run started.
        device: What the learner ran on: ``cpu``, or the name of the GPU.
        wall_seconds: Time spent, over all attempts.
        env_steps: Env steps collected for training.
        updates: Learner updates.
        interruptions: How often the run was resumed.
    """
    return origin | {
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": device,
        "wall_seconds": wall_seconds,
        "env_steps": env_steps,
        "updates": updates,
        "env_steps_per_second": env_steps / wall_seconds,
        "updates_per_second": updates / wall_seconds,
        "interruptions": interruptions,
    }


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


def _cpu() -> str:
    """Model name of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


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
