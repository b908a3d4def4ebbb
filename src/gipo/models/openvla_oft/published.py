"""Pretrained models in their directories: fetched from the Hugging Face hub, or tiny and random; and their checksums.

The hub could not be reached where this was written, so no checksum of a published file stands in this repository. What
is fetched is what a commit names; every file is compared with the hub's own checksum of it at that commit, and the
SHA-256 of all of them are left beside them, which are compared again before every training run.
"""

from __future__ import annotations

import hashlib
import re
from fnmatch import fnmatchcase
from pathlib import Path

from gipo.errors import GipoError
from gipo.files import atomic_path
from gipo.runs.spec import TINY, OpenVLASpec

SUMS = "SHA256SUMS"
"""File of the checksums, as ``sha256sum --check`` reads it."""

NEEDED = (
    *("config.json", "dataset_statistics.json", "tokenizer.json"),
    *("model.safetensors", "model-*.safetensors", "model.safetensors.index.json"),
    *("proprio_projector.safetensors", "proprio_projector--*_checkpoint.pt"),
)
"""Files that `gipo.models.openvla_oft` may read; a repository holds more."""

COMMIT = re.compile("[0-9a-f]{40}")
DIGEST = re.compile("[0-9a-f]{64}")


def fetch(pretrained: Path, model: OpenVLASpec) -> None:
    """Bring a model, or make it if it is `TINY`, and write its checksums; what is there already is not fetched.

    Raises:
        GipoError: the revision is no commit, the hub cannot be reached or has no such model, or a file differs
            from the hub's checksum; the message has the command for a machine that reaches the hub.
    """
    directory = model.directory(pretrained)
    if model.is_tiny:
        from gipo.models.openvla_oft.tiny import write_tiny  # imports torch, which the workflow does without

        seed = re.fullmatch(r"seed-(\d{1,18})", model.revision)
        if not seed:
            raise GipoError(f"revision of {TINY} is {model.revision!r}, expected seed-<n>")
        write_tiny(directory, int(seed[1]))
    else:
        if not COMMIT.fullmatch(model.revision):
            raise GipoError(
                f"revision of {model.repository} is {model.revision!r}, which may move; expected a commit: "
                f"git ls-remote https://huggingface.co/{model.repository} {model.revision}"
            )
        _download(directory, model)
    lines = [f"{_sha256(path)}  {path.name}" for path in _files(directory)]
    with atomic_path(directory / SUMS) as path:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def check(pretrained: Path, model: OpenVLASpec) -> None:
    """Compare a model with the checksums beside it.

    Raises:
        GipoError: it is not there, and how to get it; or a file is missing or another one.
    """
    directory = model.directory(pretrained)
    try:
        lines = _sums(directory)
    except OSError as error:
        raise GipoError(
            f"no pretrained model {model.repository} at {model.revision} in {pretrained}: "
            f"run `{_command(pretrained, model)}`"
        ) from error
    if others := sorted({path.name for path in _files(directory)} - set(lines)):
        raise GipoError(f"{directory / others[0]} is none of the files that {SUMS} names: remove it")
    for name, digest in lines.items():
        path = directory / name
        if not path.is_file():
            raise GipoError(f"{path} is missing, which {SUMS} names: run `{_command(pretrained, model)}`")
        if (found := _sha256(path)) != digest:
            raise GipoError(f"{path} has SHA-256 {found}, expected {digest}")


def _sums(directory: Path) -> dict[str, str]:
    """Checksums by the names of the files beside them.

    Raises:
        GipoError: the file names none, or something else than files of a model.
        OSError: it cannot be read.
    """
    path = directory / SUMS
    found = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        if not DIGEST.fullmatch(digest) or not any(fnmatchcase(name, pattern) for pattern in NEEDED) or "/" in name:
            raise GipoError(f"{path} is corrupt: {line!r} is no checksum of a model's file")
        found[name] = digest
    if "config.json" not in found:
        raise GipoError(f"{path} is corrupt: it has no checksum of config.json")
    return found


def _command(pretrained: Path, model: OpenVLASpec) -> str:
    return f"gipo pretrained {model.repository} {model.revision} {pretrained}"


def _download(directory: Path, model: OpenVLASpec) -> None:
    from huggingface_hub import HfApi, snapshot_download

    name = {"repo_id": model.repository, "revision": model.revision}
    try:
        snapshot_download(**name, local_dir=directory, allow_patterns=list(NEEDED))
        published = HfApi().model_info(**name, files_metadata=True).siblings or []
    except Exception as error:  # what it raises depends on its version and on where the network ends
        said = str(error).strip().splitlines() or [type(error).__name__]
        pretrained = directory.parents[len(Path(model.repository).parts)]
        raise GipoError(
            f"cannot fetch {model.repository} at {model.revision}: {said[0]}. Where the hub can be reached, run "
            f"`{_command(pretrained, model)}` and copy {directory} from there"
        ) from error
    by_name = {file.rfilename: file for file in published}
    for path in _files(directory):
        file = by_name.get(path.name)
        if file is None:
            raise GipoError(f"{path} is no file of {model.repository} at {model.revision}: remove it")
        expected = file.lfs.sha256 if file.lfs else file.blob_id
        found = _sha256(path) if file.lfs else _git_blob(path)
        if found != expected:
            raise GipoError(f"{path} has checksum {found}, the hub has {expected}: remove the file and fetch again")


def _files(directory: Path) -> list[Path]:
    return sorted({path for pattern in NEEDED for path in directory.glob(pattern)})


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _git_blob(path: Path) -> str:
    """Name of a file's content in git, which the hub gives for files that are not large."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
