"""Archives that are damaged, or made to do harm."""

import bz2
import gzip
import io
import lzma
import random
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gipo.envs.archives import members
from gipo.errors import GipoError

CONTENT = {"a/one.xml": b"<one/>" * 20_000, "two.png": bytes(range(256)) * 300, "empty": b""}
SIZES = {name: len(content) for name, content in CONTENT.items()}


def read(archive: Path, sizes: dict[str, int] = SIZES) -> dict[str, bytes]:
    return {path: b"".join(pieces) for path, pieces in members(archive, "/assets/", sizes)}


def tar(
    path: Path, *extra: tuple[tarfile.TarInfo, bytes], mode: str = "w", names: tuple[str, ...] = tuple(CONTENT)
) -> Path:
    with tarfile.open(path, mode) as file:  # type: ignore[call-overload]
        for member, content in extra:
            file.addfile(member, io.BytesIO(content))
        for name in names:
            member = tarfile.TarInfo(f"x/assets/{name}")
            member.size = len(CONTENT[name])
            file.addfile(member, io.BytesIO(CONTENT[name]))
    return path


def zipped(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in CONTENT.items():
            file.writestr(f"x/assets/{name}", content)
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, "x/assets/gone"
    return info


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_gives_what_is_asked_for(tmp_path: Path, mode: str):
    other = (member("x/assets/other", size=70_000), b"o" * 70_000)
    assert read(tar(tmp_path / "tar", other, mode=mode)) == CONTENT


def test_a_zip_gives_what_is_asked_for(tmp_path: Path):
    assert read(zipped(tmp_path / "zip")) == CONTENT
    assert read(zipped(tmp_path / "zip"), {"two.png": SIZES["two.png"]}) == {"two.png": CONTENT["two.png"]}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_what_is_no_file_is_named(tmp_path: Path, kind: bytes):
    with pytest.raises(GipoError, match=r"x/assets/two\.png is no regular file"):
        read(tar(tmp_path / "tar", (member("x/assets/two.png", kind), b"")))


def test_a_file_that_stands_twice_is_named(tmp_path: Path):
    with pytest.raises(GipoError, match=r"two\.png stands in it twice"):
        read(tar(tmp_path / "tar", names=("two.png", "two.png")))


@pytest.mark.parametrize("make", [tar, zipped])
def test_a_file_of_another_size_is_not_unpacked(tmp_path: Path, make: Callable[[Path], Path]):
    with pytest.raises(GipoError, match=r"two\.png has 76,800 bytes, expected 76,799"):
        read(make(tmp_path / "archive"), SIZES | {"two.png": 76_799})


@contextmanager
def little_memory() -> Iterator[None]:
    """No more than what xz needs for itself."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 12e6
    finally:
        tracemalloc.stop()


def bomb(path: Path, open_: Callable[[Path, str], io.BufferedIOBase], head: bytes) -> Path:
    with open_(path, "wb") as file:
        file.write(head)
        for _ in range(256):
            file.write(bytes(1 << 20))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("open_", [gzip.open, bz2.open, lzma.open])
@pytest.mark.parametrize("name", ["x/assets/other", "pax"])
def test_a_bomb_ends_before_it_is_big(tmp_path: Path, open_: Callable[[Path, str], io.BufferedIOBase], name: str):
    """A file of 8 TB that is passed over, or a header that says it is 600 MB long."""
    head = member(name, tarfile.XHDTYPE, 600 << 20) if name == "pax" else member(name, size=8 << 40)
    archive = bomb(tmp_path / "bomb", open_, head.tobuf(tarfile.GNU_FORMAT))
    assert archive.stat().st_size < 300_000
    with (
        little_memory(),
        pytest.raises(GipoError, match=r"unpacks to more than 1\d,\d{3},\d{3} bytes|a header of 629,145,600 bytes"),
    ):
        read(archive)


def test_a_zip_that_lies_about_a_size_is_not_unpacked(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x/assets/two.png", bytes(50_000_000))
    content = (tmp_path / "zip").read_bytes()
    (tmp_path / "zip").write_bytes(content.replace((50_000_000).to_bytes(4, "little"), (76_800).to_bytes(4, "little")))
    with little_memory(), pytest.raises(GipoError, match="corrupt: Bad CRC-32"):
        read(tmp_path / "zip")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz", "zip"])
def test_a_damaged_archive_is_one_line(tmp_path: Path, mode: str):
    path = tmp_path / "archive"
    whole = (zipped(path) if mode == "zip" else tar(path, mode=mode)).read_bytes()
    random_ = random.Random(mode)
    refused = 0
    for _ in range(60):
        content = bytearray(whole)
        if random_.random() < 0.5:
            del content[random_.randrange(len(content)) :]
        for _ in range(random_.randrange(1, 4)):
            if content:
                content[random_.randrange(len(content))] = random_.randrange(256)
        path.write_bytes(content)
        try:
            read(path)
        except GipoError:
            refused += 1
    assert refused > 20


def test_an_encrypted_zip_is_refused(tmp_path: Path):
    content = bytearray(zipped(tmp_path / "zip").read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "zip").write_bytes(content)
    with pytest.raises(GipoError, match=r"corrupt: .*encrypted"):
        read(tmp_path / "zip")


def test_a_file_without_a_name_is_passed_over(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "zip", "w") as file:
        file.writestr("x", b"")
        file.filelist[0].filename = ""
    assert read(tmp_path / "zip") == {}
