"""Build one image of this checkout.

    python containers/build.py base base.sif [--from http://deb.debian.org/debian]
    python containers/build.py metaworld metaworld.sif --on base.sif [--torch cpu]

`snakemake images` calls this. Labels of an image are set here: the commit, and the SHA-256 of its lock. What pip is
told on this machine holds in the build too: package index, links, proxy, certificates. Only an index in a local
directory is left out: its files may lie anywhere.
"""

import argparse
import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parent.parent

TORCH_INDEX = {"cpu": "https://download.pytorch.org/whl/cpu", "pypi": ""}
"""Where torch comes from: PyTorch's builds for the CPU, or where pip looks by itself: on PyPI that is one for CUDA."""

SETTINGS = ("index-url", "extra-index-url", "find-links", "trusted-host", "proxy", "cert", "timeout", "retries")
"""Settings of pip that are handed on."""

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
"""Keys with which debootstrap checks what a mirror sends; without them it warns, and takes everything."""

BY_DIGEST = re.compile(r"[\w./:-]+@sha256:[0-9a-f]{64}")

LATER_WINS = ("global", "install", ":env:")

OUTSIDE = ("APPTAINER_BIND", "APPTAINER_BINDPATH", "APPTAINERENV_PYTHONPATH", "PYTHONPATH", "MUJOCO_GL")
"""A build must see neither this checkout's code nor its place, nor how this machine draws."""


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", help="a definition in containers/")
    parser.add_argument("out", type=Path, help="where to write it")
    parser.add_argument(
        "--from",
        dest="source",
        help="of the base, instead of what its definition says: docker://IMAGE@sha256:DIGEST, or a Debian mirror's URL",
    )
    parser.add_argument("--on", type=Path, help="of all others: the image below")
    parser.add_argument("--torch", choices=TORCH_INDEX, default="cpu", help="build of torch; pypi is the one for CUDA")
    options = parser.parse_args()
    if options.on:
        arguments = {"BASE": str(options.on.absolute()), "TORCH_INDEX": TORCH_INDEX[options.torch]}
    else:
        arguments = base_arguments(options.source)
    build(options.image, options.out.absolute(), arguments)


def base_arguments(source: str | None) -> dict[str, str]:
    """Build arguments of base.def; SystemExit where nobody could tell what comes from there."""
    if source is None:
        return {}
    kind, _, place = source.partition("://")
    if kind == "docker":
        if not BY_DIGEST.fullmatch(place):
            sys.exit(f"error: {source[:200]!r} may be another image tomorrow: docker://IMAGE@sha256:DIGEST is needed")
        return {"BOOTSTRAP": "docker", "FROM": place}
    if not KEYRING.exists():
        sys.exit(
            f"error: {KEYRING} is missing, without which debootstrap checks no signature: install the package "
            "debian-archive-keyring"
        )
    return {"BOOTSTRAP": "debootstrap", "MIRROR": source}


def build(image: str, out: Path, arguments: dict[str, str]) -> None:
    """Write the image to ``out``, whole or not at all."""
    unfinished = out.with_name(f".{out.name}.{os.getpid()}")
    arguments = arguments | {"COMMIT": commit(ROOT)}
    lock = ROOT / "envs" / f"{image}.lock"
    if lock.exists():
        arguments["LOCK_SHA256"] = hashlib.sha256(lock.read_bytes()).hexdigest()
    command = ["apptainer", "build", "--force"]  # labels of the image below give way too
    command += ["--warn-unused-build-args"]  # an image on metaworld's has that one's torch
    for name, value in arguments.items():
        command += ["--build-arg", f"{name}={value}"]
    command += [str(unfinished), f"containers/{image}.def"]
    environment = {name: value for name, value in os.environ.items() if name not in OUTSIDE}
    with tempfile.TemporaryDirectory(prefix="gipo-pip-", dir="/tmp") as stage:  # %post sees /tmp
        variables = pip_variables(pip_settings(), Path(stage))
        environment |= {f"APPTAINERENV_{name}": value for name, value in variables.items()}
        try:
            subprocess.run(command, cwd=ROOT, env=environment, check=True)
            unfinished.rename(out)
        finally:
            unfinished.unlink(missing_ok=True)


def commit(checkout: Path) -> str:
    """Commit of the checkout, with ``-dirty`` where its files differ; ``unknown`` where git does not know."""
    command = ["git", "-c", "safe.directory=*", "-C", str(checkout)]
    command += ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    found = subprocess.run(command, env=environment, capture_output=True, text=True)
    return found.stdout.strip() or "unknown"


def pip_settings() -> dict[str, str]:
    """What pip is told on this machine, of `SETTINGS`: by its files and by the environment."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
    settings: dict[str, str] = {}
    for level in LATER_WINS:
        for line in listed.splitlines():
            key, _, value = line.partition("=")
            section, _, name = key.rpartition(".")
            if section == level and name in SETTINGS:
                settings[name] = ast.literal_eval(value)
    return settings


def pip_variables(settings: dict[str, str], stage: Path) -> dict[str, str]:
    """The same as environment variables, with local files and directories copied to `stage`."""
    variables = {}
    for name, value in settings.items():
        places = [place for word in value.split() if (place := _place(word, name, stage))]
        if places:
            variables["PIP_" + name.upper().replace("-", "_")] = " ".join(places)
    return variables


def _place(word: str, name: str, stage: Path) -> str | None:
    """One word of a setting as it is called from inside; None for an index in a local directory."""
    path = Path(unquote(urlsplit(word).path) if word.startswith("file:") else word)
    if not path.is_absolute():
        return word
    if name.endswith("index-url") or not path.exists():
        return None
    copy = stage / f"{len(list(stage.iterdir()))}-{path.name}"
    if path.is_dir():
        shutil.copytree(path, copy)
    else:
        shutil.copy(path, copy)
    return str(copy)


if __name__ == "__main__":
    main()
