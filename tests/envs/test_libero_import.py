"""Which OpenGL is used; what needs LIBERO itself is in test_libero.py."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from gipo.envs import libero_import
from gipo.envs.libero_import import egl_device, package, renderer
from gipo.errors import GipoError
from libero_needs import skip_without_libero

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
    monkeypatch.setattr(libero_import, "egl_extensions", lambda: [])
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


@pytest.mark.slow
def test_a_renderer_that_is_named_and_not_installed_is_one_line(tmp_path: Path) -> None:
    skip_without_libero()
    (tmp_path / "OpenGL").mkdir()
    (tmp_path / "OpenGL" / "__init__.py").write_text("raise ImportError('no library')")
    packages = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"MUJOCO_GL": "osmesa", "PYTHONPATH": packages}
    code = "import gipo.envs.libero_import as l; l._libero()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stderr.splitlines()[-1].startswith(
        "gipo.errors.GipoError: MUJOCO_GL is 'osmesa', which does not draw on this machine: unset it"
    )


GPU, SOFTWARE = "EGL_NV_device_cuda EGL_EXT_device_drm", "EGL_MESA_device_software EGL_EXT_device_drm_render_node"


@pytest.mark.parametrize(
    ("extensions", "visible", "devices"),
    [
        ([GPU] * 8, "7", {7}),
        ([GPU], "7", {0}),  # a container shows EGL one GPU and leaves the variable as it was
        ([GPU] * 8, "2,3", {2, 3}),
        ([GPU] * 2, "", {0, 1}),  # as Ray leaves it for a process without a GPU
        ([GPU] * 2, "GPU-34f7bc7a", {0, 1}),
        ([SOFTWARE, GPU], "0", {1}),
        ([SOFTWARE], "0", {0}),
        ([], "", {0}),
    ],
)
def test_a_process_draws_with_a_gpu_that_egl_knows(extensions: list[str], visible: str, devices: set[int]) -> None:
    assert {egl_device(extensions, visible, process) for process in range(100, 200)} == devices


@pytest.mark.parametrize(("named", "device"), [(None, "1"), ("3", "3")])
def test_the_device_is_left_to_robosuite(monkeypatch: pytest.MonkeyPatch, named: str | None, device: str) -> None:
    only_works(monkeypatch, "egl")
    monkeypatch.setattr(libero_import, "egl_extensions", lambda: [SOFTWARE, GPU])
    if named:
        monkeypatch.setenv("MUJOCO_EGL_DEVICE_ID", named)
    renderer()
    assert os.environ["MUJOCO_EGL_DEVICE_ID"] == device


@pytest.mark.slow
def test_robosuite_draws_whatever_cuda_calls_its_devices() -> None:
    skip_without_libero()
    code = "from gipo.gpu.frames import drawer; print(drawer()().std() > 10)"
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "GPU-34f7bc7a"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout == "True\n", done.stderr


def test_libero_that_is_not_installed_is_named_with_its_requirements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libero_import.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(GipoError, match=r"pip install --no-deps hf-libero==0\.1\.4"):
        package.__wrapped__()
