"""Resolve pyproject.toml into one lock per environment, with the SHA-256 of every file of every release.

`make lock` writes envs/{metaworld,libero,report,slurm,dev,build,torch,cuda}.lock anew.

All extras are resolved together first, so that the environments agree on every version and can share a machine. A lock
has the files of all platforms and Pythons that the index has, and those that pip finds on this machine, such as another
build of torch. cuda.lock is what the index's torch asks for on Linux and other builds do not: pip is given it as
constraints, so that it is installed where it is needed only. torch.lock is torch alone, so that a build of it that lies
on a machine comes before the index's. build.lock is what packages are installed and built with.
"""

import json
import os
import re
import subprocess
import sys
from functools import cache
from hashlib import sha256
from pathlib import Path
from subprocess import PIPE
from typing import Any

ROOT = Path(__file__).parent.parent
EXTRAS = ("metaworld", "libero", "report", "slurm", "dev")
ALONE = {"libero": ("bddl==1.0.1", "hf-libero==0.1.4", "robosuite==1.4.0")}
"""Packages that ask for far more than simulation needs, some of it impossible together: theirs is in the extra."""
BUILD = ("pip", "setuptools")
INDEX_ALONE = {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": ""}
"""Environment in which pip has no files beside those of its index."""
HEADER = "# Made by `make lock` from pyproject.toml.\n"

Pins = list[str]


def resolve(extras: tuple[str, ...], *constraints: Path) -> Pins:
    """Pinned requirements of the package with ``extras``."""
    command = [sys.executable, "-m", "piptools", "compile", "pyproject.toml", "--output-file", "-", "--quiet"]
    command += ["--no-header", "--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host", "--no-annotate"]
    command += ["--allow-unsafe", "--strip-extras", *(f"--extra={extra}" for extra in extras)]
    command += [f"--constraint={path}" for path in constraints]
    text = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [re.sub(r"\+cpu$", "", pin) for pin in text.splitlines() if re.match(r"[\w.-]+==", pin)]


def cuda(torch: str, known: set[str]) -> Pins:
    """Packages that the index's torch asks for beyond those that are known; little is downloaded for that."""
    command = [sys.executable, "-m", "pip", "--quiet", "--use-feature=fast-deps", "install", "--dry-run"]
    command += ["--ignore-installed", "--only-binary=:all:", "--report=-", torch]
    done = subprocess.run(command, env=os.environ | INDEX_ALONE, check=True, stdout=PIPE, text=True)
    found = json.loads(done.stdout)["install"]
    pins = {normal(one["metadata"]["name"]): one["metadata"]["version"] for one in found}
    return [f"{name}=={version}" for name, version in sorted(pins.items()) if name not in known]


def write(name: str, pins: Pins) -> None:
    """Write a lock, with the hashes of all files of each release."""
    text = HEADER
    for pin in pins:
        hashes = set().union(*(release_hashes(pin, at) for at in ("machine", "index")))
        if not hashes:
            sys.exit(f"error: {pin} has no files")
        text += " \\\n    ".join([pin, *(f"--hash={value}" for value in sorted(hashes))]) + "\n"
    (ROOT / "envs" / f"{name}.lock").write_text(text)


@cache
def release_hashes(pin: str, at: str) -> set[str]:
    """Hashes of the files of a release, as its index tells them; files on this machine are hashed."""
    name, _, version = pin.partition("==")
    repository = opened(at)
    with repository.allow_all_wheels():
        found = [one.link for one in repository.find_all_candidates(name) if one.version.public == version]
    if missing := [link.filename for link in found if not link.is_file and link.hash_name != "sha256"]:
        sys.exit(f"error: the index has no SHA-256 of {missing[0]}")
    return {f"sha256:{link.hash or sha256(Path(link.file_path).read_bytes()).hexdigest()}" for link in found}


@cache
def opened(at: str) -> Any:
    """The index, with or without what pip's files say of this machine."""
    from piptools.repositories import PyPIRepository

    before = dict(os.environ)
    os.environ.update(INDEX_ALONE if at == "index" else {})
    try:
        return PyPIRepository([], cache_dir=str(Path.home() / ".cache" / f"pip-tools-{at}"))
    finally:
        os.environ.clear()
        os.environ.update(before)


def normal(name: str) -> str:
    """Name of a package as an index compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    """Resolve, hash and write."""
    everything = ROOT / "envs" / "all.tmp"
    pins = resolve(EXTRAS)
    everything.write_text("\n".join(pins))
    try:
        for extra in EXTRAS:
            write(extra, resolve((extra,), everything) + list(ALONE.get(extra, ())))
    finally:
        everything.unlink()
    versions = {normal(pin.partition("==")[0]): pin for pin in pins}
    write("build", [versions[name] for name in BUILD])
    write("torch", [versions["torch"]])
    write("cuda", cuda(versions["torch"], set(versions)))


if __name__ == "__main__":
    main()
