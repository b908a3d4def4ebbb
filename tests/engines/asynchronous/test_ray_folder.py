"""Folders in which Ray's sockets have room, against sockets of the system."""

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gipo.engines.asynchronous.ray_folder import LONGEST_NAME, LONGEST_PATH, ray_folder
from gipo.errors import GipoError

ROOM = LONGEST_PATH - len(LONGEST_NAME) - 1

START = """
import ray
from asynchronous_study import make_spec
from gipo.engines.asynchronous.cluster import cluster
with cluster(make_spec()):
    print(ray.get(ray.remote(lambda: 42).remote()))
"""


def folder_of(length: int) -> Path:
    """A new folder whose path has as many bytes."""
    start = tempfile.mkdtemp(dir="/tmp", prefix="g")
    return Path(start, "x" * (length - len(start) - 1))


def test_the_longest_socket_has_room_in_the_longest_folder(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RAY_TMPDIR", str(folder_of(ROOM)))
    path = ray_folder().parent / LONGEST_NAME
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        with pytest.raises(OSError, match="too long"), socket.socket(socket.AF_UNIX) as other:
            other.bind(f"{path}x")


def test_a_named_folder_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RAY_TMPDIR", str(folder_of(ROOM + 1)))
    with pytest.raises(GipoError, match=rf"set RAY_TMPDIR to a path of {ROOM} bytes at most"):
        ray_folder()


def test_a_long_temporary_directory_gives_way_to_a_short_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(folder_of(ROOM)))
    assert ray_folder() == Path(tempfile.gettempdir(), "ray")
    monkeypatch.setattr(tempfile, "tempdir", str(folder_of(ROOM + 1)))
    assert ray_folder() == Path("/tmp/ray")


@pytest.mark.slow
def test_ray_starts_where_home_cannot_be_written_and_the_temporary_directory_is_long():
    pytest.importorskip("ray")
    long = folder_of(90)
    long.mkdir()
    packages = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"TMPDIR": str(long), "HOME": "/proc", "PYTHONPATH": packages}
    environment.pop("RAY_TMPDIR", None)
    done = subprocess.run([sys.executable, "-c", START], env=environment, capture_output=True, text=True)
    assert done.stdout == "42\n", done.stderr
