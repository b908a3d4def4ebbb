"""Manifests: the files that belong together, with the digest of each, and a digest of the manifest itself.

A manifest is written after the files that it names. Whoever reads one of them reads its bytes once, checks these, and
uses no others: what was cut, changed, swapped or left by somebody else is refused by name.
"""

from __future__ import annotations

import csv
import hashlib
import io
from pathlib import Path
from typing import Annotated, Self

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, ValidationError

from gipo.config import Section, explain
from gipo.errors import GipoError, lacks_memory
from gipo.files import read_json, write_json

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^\w[\w.-]*(/\w[\w.-]*)*$", max_length=300)]
"""A path below the manifest's folder, without ``..``."""


CHANGED = "was changed: its digest is not that of its manifest"
"""The fault of a file of the right size and another content."""


class FileFacts(Section):
    """Size, digest and rows of a file."""

    sha256: Sha256
    size: Annotated[int, Field(ge=0, strict=True)]
    """Bytes."""
    rows: Annotated[int, Field(ge=0, strict=True)] | None = None
    """Rows of a table; None for other files."""

    def problem(self, content: bytes) -> str:
        """The fault in the content of the file, after its name; empty where nothing is."""
        if len(content) != self.size:
            return f"has {len(content):,} bytes, its manifest says {self.size:,}"
        if hashlib.sha256(content).hexdigest() != self.sha256:
            return CHANGED
        return ""

    def damage(self, path: Path) -> str:
        """The fault in the file at `path`, after its name; empty where nothing is. It is not held in memory."""
        try:
            size = path.stat().st_size
            if not path.is_file():
                return "is no file"
            if size != self.size:
                return f"has {size:,} bytes, its manifest says {self.size:,}"
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return "is missing"
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        return "" if found == self.sha256 else CHANGED

    @classmethod
    def of(cls, content: bytes, name: str) -> FileFacts:
        """Facts of a file with this content; the ending of its name tells whether it is a table.

        Raises:
            GipoError: it is a damaged table.
        """
        digest = hashlib.sha256(content).hexdigest()
        try:
            return cls(sha256=digest, size=len(content), rows=_rows(content, name))
        except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException, ValidationError) as error:
            if lacks_memory(error):
                raise
            raise GipoError(f"{name} is a damaged table: {error}") from error


class Manifest(Section):
    """Files of one folder. A subclass adds what made them."""

    files: dict[FileName, FileFacts]

    @classmethod
    def facts(cls, folder: Path, names: list[str]) -> dict[str, FileFacts]:
        """Facts of files as they lie in `folder` now.

        Raises:
            GipoError: one cannot be read, or is a damaged table.
        """
        return {name: FileFacts.of(_bytes(folder / name), str(folder / name)) for name in names}

    def write(self, path: Path) -> None:
        """Write it with a digest of its own content, atomically."""
        content = self.model_dump(mode="json")
        write_json(path, content | {"sha256": self.digest()})

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote.

        Raises:
            GipoError: it is missing, damaged, or no manifest of this kind.
        """
        content = read_json(path)
        if not isinstance(content, dict):
            raise GipoError(f"{path} is damaged: expected a manifest")
        own = content.pop("sha256", None)
        try:
            manifest = cls.model_validate(content)
        except ValidationError as error:
            raise GipoError(f"{path} is damaged: {explain(error)}") from error
        if manifest.digest() != own:
            raise GipoError(f"{path} is damaged: its digest is not that of its content")
        return manifest

    def read_bytes(self, folder: Path, name: str) -> bytes:
        """Content of one of the files, checked.

        Raises:
            GipoError: it is none of them, it is missing, or it is not the file that the manifest names.
        """
        path = folder / name
        if (expected := self.files.get(name)) is None:
            raise GipoError(f"{path} stands in no manifest")
        content = _bytes(path)
        if problem := expected.problem(content):
            raise GipoError(f"{path} {problem}")
        return content


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise GipoError(f"cannot read {path}: {error.strerror}") from error


def _rows(content: bytes, name: str) -> int | None:
    """Rows of a table in a file."""
    match Path(name).suffix:
        case ".parquet":
            rows: int = pq.ParquetFile(io.BytesIO(content)).metadata.num_rows
            return rows
        case ".csv":
            return sum(1 for _ in csv.reader(io.StringIO(content.decode("utf-8")))) - 1
    return None
