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
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

from gipo.envs.libero_assets import assets_directory
from gipo.errors import GipoError

RENDERERS = ("egl", "osmesa")
"""Off-screen OpenGL of MuJoCo, the first that works: a GPU's or Mesa's EGL, else OSMesa on the CPU."""

_PROBE = "import mujoco.{0}; mujoco.{0}.GLContext(8, 8).make_current()"


@cache
def renderer() -> str:
    """The one of `RENDERERS` that this process draws with: what ``MUJOCO_GL`` names, or else the first that works.

    The choice is left in ``MUJOCO_GL``, for MuJoCo and for processes started from here, which need not try again.

    Raises:
        GipoError: ``MUJOCO_GL`` names something else, or none works.
    """
    named = os.environ.get("MUJOCO_GL")
    if named and named not in RENDERERS:
        raise GipoError(f"MUJOCO_GL is {named!r}, expected one of {', '.join(RENDERERS)}, or nothing")
    for name in (named,) if named else RENDERERS:
        if named or _draws(name):
            os.environ["MUJOCO_GL"] = os.environ["PYOPENGL_PLATFORM"] = name
            if os.environ.get("CUDA_VISIBLE_DEVICES") == "":  # as Ray leaves it; robosuite reads a number in it
                os.environ.setdefault("MUJOCO_EGL_DEVICE_ID", "0")
            return name
    raise GipoError("neither EGL nor OSMesa draws on this machine; on Debian: apt-get install libegl1 libosmesa6")


def _draws(name: str) -> bool:
    """Whether a process of its own can make a context of this renderer."""
    variables = os.environ | {"MUJOCO_GL": name, "PYOPENGL_PLATFORM": name}
    command = [sys.executable, "-c", _PROBE.format(name)]
    return subprocess.run(command, env=variables, capture_output=True, check=False).returncode == 0


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
    with mock.patch("logging.FileHandler", _LogFile):
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
