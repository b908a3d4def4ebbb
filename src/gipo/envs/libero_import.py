"""Importing LIBERO in a batch job: no screen, no question at the terminal, nothing written into the user's home.

robosuite chooses its OpenGL when it is imported, and LIBERO asks for paths unless it finds a file with them, so both
are settled here first: nothing else may import them before `control_env` did.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

from gipo.envs.libero_assets import assets_directory
from gipo.errors import GipoError

RENDERERS = ("egl", "osmesa")
"""Off-screen OpenGL of MuJoCo, the first that works: a GPU's or Mesa's EGL, else OSMesa on the CPU."""

MOST_DEVICES = 64
"""EGL devices that are looked at."""

_PROBE = "import mujoco.{0}; mujoco.{0}.GLContext(8, 8).make_current()"


@cache
def renderer() -> str:
    """The one of `RENDERERS` that this process draws with: what ``MUJOCO_GL`` names, or else the first that works.

    The choice is left in ``MUJOCO_GL``, for MuJoCo and for processes started from here, which need not try again, and
    the device in ``MUJOCO_EGL_DEVICE_ID``: robosuite would take it from ``CUDA_VISIBLE_DEVICES``, whose numbers and
    names are CUDA's, not EGL's.

    Raises:
        GipoError: ``MUJOCO_GL`` names something else, or none works.
    """
    named = os.environ.get("MUJOCO_GL")
    if named and named not in RENDERERS:
        raise GipoError(f"MUJOCO_GL is {named!r}, expected one of {', '.join(RENDERERS)}, or nothing")
    for name in (named,) if named else RENDERERS:
        if named or _draws(name):
            os.environ["MUJOCO_GL"] = os.environ["PYOPENGL_PLATFORM"] = name
            if name == "egl" and not os.environ.get("MUJOCO_EGL_DEVICE_ID"):
                number = egl_device(egl_extensions(), os.environ.get("CUDA_VISIBLE_DEVICES", ""), os.getpid())
                os.environ["MUJOCO_EGL_DEVICE_ID"] = str(number)
            return name
    raise GipoError("neither EGL nor OSMesa draws on this machine; on Debian: apt-get install libegl1 libosmesa6")


def _draws(name: str) -> bool:
    """Whether a process of its own can make a context of this renderer."""
    variables = os.environ | {"MUJOCO_GL": name, "PYOPENGL_PLATFORM": name}
    command = [sys.executable, "-c", _PROBE.format(name)]
    return subprocess.run(command, env=variables, capture_output=True, check=False).returncode == 0


def egl_extensions() -> list[str]:
    """Extensions of each EGL device of this machine, in EGL's order."""
    from OpenGL import EGL
    from OpenGL.EGL.EXT.device_enumeration import eglQueryDevicesEXT
    from OpenGL.EGL.EXT.device_query import eglQueryDeviceStringEXT

    devices, count = (EGL.EGLDeviceEXT * MOST_DEVICES)(), EGL.EGLint()
    eglQueryDevicesEXT(MOST_DEVICES, devices, count)
    return [(eglQueryDeviceStringEXT(each, EGL.EGL_EXTENSIONS) or b"").decode() for each in devices[: count.value]]


def egl_device(extensions: Sequence[str], visible: str, process: int) -> int:
    """Number of the EGL device that a process draws with.

    Of the GPUs, those that it may compute on if EGL has them under these numbers; of several, one by the number of the
    process, so that simulators spread over them. Mesa's software device only where there is no GPU.

    Args:
        extensions: of each device, see `egl_extensions`.
        visible: ``CUDA_VISIBLE_DEVICES``.
        process: number of the process.
    """
    gpus = [number for number, has in enumerate(extensions) if "EGL_MESA_device_software" not in has.split()]
    allowed = [number for number in gpus if str(number) in visible.split(",")]
    devices = allowed or gpus or range(max(1, len(extensions)))
    return devices[process % len(devices)]


@cache
def package() -> Path:
    """Directory of the Python package ``libero.libero``, with its BDDL files and initial states.

    Raises:
        GipoError: It is not installed.
    """
    spec = importlib.util.find_spec("libero")
    if spec is None or not spec.submodule_search_locations:
        raise GipoError("LIBERO is not installed: pip install --no-deps hf-libero==0.1.4 robosuite==1.4.0 bddl==1.0.1")
    return Path(spec.submodule_search_locations[0], "libero")


def control_env() -> Any:
    """LIBERO's class ``ControlEnv``, whose instances will find the assets where `assets_directory` says.

    Raises:
        GipoError: LIBERO is not installed, nothing can draw, or assets are missing.
    """
    assets = assets_directory()
    _libero()._assets_path_cache = str(assets)
    from libero.libero.envs.env_wrapper import ControlEnv

    return ControlEnv


def binding() -> Any:
    """The module ``robosuite.utils.binding_utils``, through which LIBERO draws; it needs no assets.

    Raises:
        GipoError: LIBERO is not installed, or nothing can draw.
    """
    _libero()
    from robosuite.utils import binding_utils

    return binding_utils


@cache
def _libero() -> Any:
    """The module ``libero.libero``, imported once.

    Raises:
        GipoError: The renderer that ``MUJOCO_GL`` names does not work. It is tried only after a failure, since every
            process of a run imports LIBERO.
    """
    root = package()
    name = renderer()
    paths = {"bddl_files": "bddl_files", "init_states": "init_files", "datasets": "datasets", "assets": "assets"}
    config = {"benchmark_root": str(root)} | {key: str(root / name) for key, name in paths.items()}
    private = _private_directory().name
    Path(private, "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    os.environ["LIBERO_CONFIG_PATH"] = private
    logging.getLogger("robosuite_logs").setLevel(logging.ERROR)  # it asks for a file of private macros
    # robosuite refuses a device that CUDA_VISIBLE_DEVICES does not name by its number
    with mock.patch("logging.FileHandler", _LogFile), mock.patch.dict(os.environ, CUDA_VISIBLE_DEVICES=""):
        try:
            import libero.libero
            import libero.libero.envs
        except Exception as error:  # OpenGL that is not there comes as any of several
            if _draws(name):
                raise
            raise GipoError(
                f"MUJOCO_GL is {name!r}, which does not draw on this machine: unset it, or on Debian: "
                "apt-get install libegl1 libosmesa6"
            ) from error

    return libero.libero


class _LogFile(logging.FileHandler):
    """robosuite opens a log at a path that all users of a machine share, and fails where the file is another's."""

    def __init__(self, filename: str, *arguments: Any, **options: Any) -> None:
        super().__init__(os.devnull if filename == "/tmp/robosuite.log" else filename, *arguments, **options)


@cache
def _private_directory() -> tempfile.TemporaryDirectory[str]:
    """Removed when the process ends; until then LIBERO may read from it."""
    return tempfile.TemporaryDirectory(prefix="gipo-libero-")
