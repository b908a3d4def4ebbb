"""Archives from elsewhere, read as a stream: nothing is held in memory, and a bomb ends before it is big."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

from gipo.errors import GipoError

PIECE = 1 << 16
"""Bytes that are read at once."""
MOST_READ = 1 << 20
"""Bytes that a reader may ask for at once: a tar says itself how long its headers are, which tarfile reads whole."""
MOST_RATIO = 50
"""Bytes unpacked for each byte of a compressed tar, at most; LIBERO's assets have 2."""
AT_LEAST = 1 << 24
"""Bytes that may be unpacked whatever the ratio."""
MOST_MEMBERS = 20_000
"""Files in an archive, at most."""


def members(archive: Path, prefix: str, sizes: dict[str, int]) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Files of a tar or zip, each with its content in pieces, which must be taken before the next file.

    Args:
        archive: a zip, or a tar that may be compressed by gzip, bzip2 or xz.
        prefix: what a name is to have before the path, after any other beginning.
        sizes: bytes of each file that is wanted, by its path; others are passed over.

    Raises:
        GipoError: the archive cannot be read or is damaged, a wanted file is none (a link, say), has another size or
            stands in it twice, or the archive unpacks to far more than it should.
    """
    found: set[str] = set()
    with _damage_of(archive):
        for name, size, is_file, opened in _zipped(archive) if zipfile.is_zipfile(archive) else _tarred(archive):
            path = name.partition(prefix)[2]
            if path not in sizes:
                continue
            if not is_file:
                raise GipoError(f"{archive}: {name} is no regular file")
            if path in found:
                raise GipoError(f"{archive}: {path} stands in it twice")
            if size != sizes[path]:
                raise GipoError(f"{archive}: {name} has {size:,} bytes, expected {sizes[path]:,}")
            found.add(path)
            with opened() as stream:
                yield path, _pieces(stream, size, archive, name)


@contextmanager
def _damage_of(archive: Path) -> Iterator[None]:
    """Make one line of what the libraries raise of an archive that is damaged, encrypted, or none."""
    try:
        yield
    except _DAMAGE as error:
        raise GipoError(f"{archive} is no tar or wheel, or corrupt: {error}") from error


_OF_FORMATS = (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error)
_DAMAGE = (*_OF_FORMATS, EOFError, OSError, ValueError, RuntimeError)
_Member = tuple[str, int, bool, Callable[[], Any]]
"""Name, bytes, whether it is a regular file, and what opens it."""


def _zipped(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as wheel:
        for number, info in enumerate(wheel.infolist()):
            _check_number(number, archive)
            yield info.filename, info.file_size, not info.filename.endswith("/"), partial(wheel.open, info)


def _tarred(archive: Path) -> Iterator[_Member]:
    with closing(_Unpacked(archive)) as stream:
        file: Any = stream
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for number, member in enumerate(tar):
                _check_number(number, archive)
                yield member.name, member.size, member.isreg(), partial(tar.extractfile, member)


def _check_number(number: int, archive: Path) -> None:
    if number == MOST_MEMBERS:
        raise GipoError(f"{archive} has more than {MOST_MEMBERS:,} files: this is no archive of assets")


def _pieces(stream: IO[bytes], size: int, archive: Path, name: str) -> Iterator[bytes]:
    """Content of a file, which has exactly that size."""
    left = size
    with _damage_of(archive):
        while left:
            if not (piece := stream.read(min(left, PIECE))):
                raise EOFError(f"{name} ends before its {size:,} bytes")
            left -= len(piece)
            yield piece
        if stream.read(1):
            raise ValueError(f"{name} has more than its {size:,} bytes")


class _Unpacked:
    """The tar in a file that may be compressed: read forward only, in bounded pieces, up to a bounded size."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            start = file.read(6)
        module = next((module for magic, module in _COMPRESSED.items() if start.startswith(magic)), None)
        size = path.stat().st_size
        self._path, self._position = path, 0
        self._most = max(AT_LEAST, MOST_RATIO * size) if module else size
        self._file: IO[bytes] = module.open(path) if module else path.open("rb")

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        if position < self._position:
            raise tarfile.ReadError("it goes back")
        while left := position - self._position:
            if not self.read(min(left, PIECE)):
                return

    def read(self, size: int) -> bytes:
        if not 0 <= size <= MOST_READ:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        found = self._file.read(size)
        self._position += len(found)
        if self._position > self._most:
            raise GipoError(f"{self._path} unpacks to more than {self._most:,} bytes: this is no archive of assets")
        return found

    def close(self) -> None:
        self._file.close()


_COMPRESSED: dict[bytes, Any] = {b"\x1f\x8b": gzip, b"BZh": bz2, b"\xfd7zXZ\0": lzma}
"""Modules by how a file begins."""
