"""Files are whole or not there, and every failure names the path."""

import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gipo.errors import GipoError
from gipo.files import atomic_path, clear_temporary, is_temporary, read_json, write_json
from gipo.processes import Mark


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
    (left,) = [other for other in tmp_path.iterdir() if other != path]
    assert clear_temporary(tmp_path) == [left]
    assert list(tmp_path.iterdir()) == [path]


def test_a_temporary_file_of_a_living_process_is_left_alone(tmp_path: Path):
    with atomic_path(tmp_path / "a" / "table.tar.gz") as tmp:
        tmp.write_text("half")
        assert is_temporary(tmp.name)
        assert clear_temporary(tmp_path) == clear_temporary(tmp_path, alone=True) == []
    assert (tmp_path / "a" / "table.tar.gz").read_text() == "half"


def test_the_number_of_a_dead_process_may_be_anothers(tmp_path: Path):
    """Numbers are used again: when a process started tells it from the next of its number."""
    left = tmp_path / f".table.{replace(Mark.own(), started='1')}.csv"
    left.touch()
    assert clear_temporary(tmp_path) == [left]


def test_a_temporary_file_of_another_machine_is_removed_when_it_is_old_or_nobody_else_works_there(tmp_path: Path):
    left = tmp_path / f".table.{replace(Mark.own(), machine='0' * 8)}.csv"
    left.touch()
    assert clear_temporary(tmp_path) == []
    assert clear_temporary(tmp_path, alone=True) == [left]
    left.touch()
    os.utime(left, (0, 0))
    assert clear_temporary(tmp_path) == [left]


@pytest.mark.parametrize("name", ["table.csv", ".table.csv", ".table.12.csv", "policy.0123abcd-1-1.pt", ".hidden"])
def test_a_file_of_somebody_elses_is_no_temporary_one(tmp_path: Path, name: str):
    (tmp_path / name).touch()
    assert not is_temporary(name)
    assert clear_temporary(tmp_path, alone=True) == []


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


def test_a_folder_in_the_place_of_a_file_is_one_clear_error(tmp_path: Path):
    (tmp_path / "a.json").mkdir()
    with pytest.raises(GipoError, match=r"a\.json: a folder lies there; move it away or delete it"):
        write_json(tmp_path / "a.json", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_the_journal_of_a_temporary_database_is_temporary(tmp_path: Path):
    with atomic_path(tmp_path / "store.db") as path:
        path.touch()
        assert is_temporary(path.name)
        assert is_temporary(f"{path.name}-journal")


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
