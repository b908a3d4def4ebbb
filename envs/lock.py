"""Resolve pyproject.toml into one lock per environment: envs/{metaworld,libero,report,slurm,dev}.lock.

All extras are resolved together first, so that the environments agree on every version and can share a machine.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
EXTRAS = ("metaworld", "libero", "report", "slurm", "dev")
ALONE = {"libero": ("bddl==1.0.1", "hf-libero==0.1.4", "robosuite==1.4.0")}
"""Packages that ask for far more than simulation needs, some of it impossible together: theirs is in the extra."""
HEADER = "# Made by `make lock` from pyproject.toml.\n"


def resolve(extras: tuple[str, ...], *constraints: Path) -> str:
    """Pinned requirements of the package with ``extras``, as text."""
    command = [sys.executable, "-m", "piptools", "compile", "pyproject.toml", "--output-file", "-", "--quiet"]
    command += ["--no-header", "--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host", "--no-annotate"]
    command += ["--allow-unsafe", "--strip-extras", *(f"--extra={extra}" for extra in extras)]
    command += [f"--constraint={path}" for path in constraints]
    text = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    pins = [line for line in text.splitlines() if re.match(r"[\w.-]+==", line)]
    return HEADER + "".join(re.sub(r"\+cpu$", "", pin) + "\n" for pin in pins)


if __name__ == "__main__":
    everything = ROOT / "envs" / "all.tmp"
    everything.write_text(resolve(EXTRAS))
    for extra in EXTRAS:
        alone = "".join(f"{pin}\n" for pin in ALONE.get(extra, ()))
        (ROOT / "envs" / f"{extra}.lock").write_text(resolve((extra,), everything) + alone)
    everything.unlink()
