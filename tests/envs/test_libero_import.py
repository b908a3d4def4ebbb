"""Which OpenGL is used; what needs LIBERO itself is in test_libero.py."""

import os
import subprocess
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from gipo.envs import libero_import
from gipo.envs.libero_import import package, renderer
from gipo.errors import GipoError

VARIABLES = ("MUJOCO_GL", "PYOPENGL_PLATFORM", "CUDA_VISIBLE_DEVICES", "MUJOCO_EGL_DEVICE_ID")


@pytest.fixture(autouse=True)
def _undecided(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No choice made yet; the one of this process comes back afterwards."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # so that it is put back even if the test sets it
        monkeypatch.delenv(name)
    monkeypatch.setattr(libero_import, "renderer", renderer)
    renderer.cache_clear()
    yield
    renderer.cache_clear()


def only_works(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    def run(command: list[str], env: dict[str, str], **_: object) -> SimpleNamespace:
        assert env["MUJOCO_GL"] == env["PYOPENGL_PLATFORM"]
        assert env["MUJOCO_GL"] in command[-1]
        return SimpleNamespace(returncode=0 if env["MUJOCO_GL"] in names else 1)

    monkeypatch.setattr(subprocess, "run", run)


@pytest.mark.parametrize(("works", "chosen"), [(("egl", "osmesa"), "egl"), (("osmesa",), "osmesa")])
def test_egl_is_used_and_osmesa_where_it_fails(
    monkeypatch: pytest.MonkeyPatch, works: tuple[str, ...], chosen: str
) -> None:
    only_works(monkeypatch, *works)
    assert renderer() == chosen
    assert os.environ["MUJOCO_GL"] == os.environ["PYOPENGL_PLATFORM"] == chosen


def test_what_the_environment_names_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    only_works(monkeypatch)
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    assert renderer() == "osmesa"


def test_a_machine_that_cannot_draw_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    only_works(monkeypatch)
    with pytest.raises(GipoError, match="apt-get install libegl1 libosmesa6"):
        renderer()


def test_a_renderer_that_needs_a_screen_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    with pytest.raises(GipoError, match="MUJOCO_GL is 'glfw', expected one of egl, osmesa"):
        renderer()


@pytest.mark.parametrize(("visible", "device"), [("", "0"), ("1", None), (None, None)])
def test_hidden_gpus_leave_egl_a_device(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, device: str | None
) -> None:
    """robosuite reads a number in ``CUDA_VISIBLE_DEVICES``, which Ray sets to nothing for a worker without a GPU."""
    only_works(monkeypatch, "egl")
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    renderer()
    assert os.environ.get("MUJOCO_EGL_DEVICE_ID") == device


def test_libero_that_is_not_installed_is_named_with_its_requirements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libero_import.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(GipoError, match=r"pip install --no-deps hf-libero==0\.1\.4"):
        package.__wrapped__()
