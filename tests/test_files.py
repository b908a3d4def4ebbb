"""Files are whole or not there, and every failure names the path."""

import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gipo.errors import GipoError
from gipo.files import atomic_path, read_json, write_json


def test_a_success_replaces_the_old_file_and_leaves_nothing_else(tmp_path: Path):
    path = tmp_path / "new" / "table.csv"
    for text in ("old", "new"):
        with atomic_path(path) as tmp:
            assert tmp.parent == path.parent
            assert tmp.suffix == path.suffix
            tmp.write_text(text)
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_keeps_the_old_file_and_leaves_nothing_else(tmp_path: Path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_path(path) as tmp:
        tmp.write_text(f"half {1 / 0}")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    code = (
        "import os, pathlib, signal, sys\n"
        "from gipo.files import atomic_path\n"
        "with atomic_path(pathlib.Path(sys.argv[1])) as tmp:\n"
        "    tmp.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_a_full_disk_is_one_clear_error(tmp_path: Path):
    """A file size limit is a real refusal of the kernel, in the same place as a full disk."""
    path = tmp_path / "weights.pt"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        with pytest.raises(GipoError, match=r"weights\.pt"), atomic_path(path) as tmp:
            tmp.write_bytes(bytes(4096))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_parent_that_is_a_file_is_one_clear_error(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(GipoError, match=r"table\.csv"), atomic_path(tmp_path / "file" / "table.csv") as tmp:
        tmp.touch()


def test_a_body_that_writes_nothing_is_an_error(tmp_path: Path):
    with pytest.raises(GipoError, match=r"table\.csv"), atomic_path(tmp_path / "table.csv"):
        pass


def test_permissions_are_those_of_an_ordinary_file(tmp_path: Path):
    (tmp_path / "plain").touch()
    write_json(tmp_path / "ours.json", {})
    assert (tmp_path / "ours.json").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_json_round_trip_has_sorted_keys_and_refuses_nan(tmp_path: Path):
    path = tmp_path / "spec.json"
    write_json(path, {"b": [1, None], "a": 0.1})
    assert read_json(path) == {"a": 0.1, "b": [1, None]}
    assert path.read_text().index('"a"') < path.read_text().index('"b"')
    with pytest.raises(ValueError, match="nan"):
        write_json(path, {"a": float("nan")})


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff\xfe"])
def test_a_corrupt_json_file_is_named(tmp_path: Path, content: bytes):
    path = tmp_path / "spec.json"
    path.write_bytes(content)
    with pytest.raises(GipoError, match=r"spec\.json is corrupt"):
        read_json(path)


def test_a_missing_json_file_is_named(tmp_path: Path):
    with pytest.raises(GipoError, match=r"cannot read .*spec\.json"):
        read_json(tmp_path / "spec.json")
