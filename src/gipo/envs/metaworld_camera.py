"""A look at a MetaWorld simulator: frames, drawn off-screen."""

from __future__ import annotations

from gipo.envs.mujoco_import import mujoco

# isort: split
import importlib

import numpy as np
import numpy.typing as npt

from gipo.envs.libero_import import renderer
from gipo.envs.metaworld import MetaWorldEnv

VIEW = {"azimuth": -155.0, "elevation": -35.0, "distance": 1.5}
"""From across the table and a little to the right: the arm, and the side of the objects that it acts on. Degrees and
metres, from `CENTRE`; MetaWorld's own cameras are too close, or upside down."""
CENTRE = (0.0, 0.6, 0.15)
"""Middle of the table, metres."""


class Camera:
    """Draws what an environment looks like now.

    The environment's own model has no meshes that are only looked at (`gipo.envs.sawyer.light_model`), so a whole one
    is put into the same state.

    Args:
        environment: is looked at.
        width: of a frame, pixels.
        height: of a frame, pixels.

    Raises:
        GipoError: see `gipo.envs.libero_import.renderer`.
        Exception: the OpenGL that ``MUJOCO_GL`` names does not work here; of which kind depends on what it lacks.
    """

    def __init__(self, environment: MetaWorldEnv, width: int, height: int) -> None:
        self._sawyer = environment.sawyer
        self._context = importlib.import_module(f"mujoco.{renderer()}").GLContext(width, height)
        self._context.make_current()
        self._model = mujoco.MjModel.from_xml_path(self._sawyer.fullpath)
        self._data = mujoco.MjData(self._model)
        self._scene = mujoco.MjvScene(self._model, maxgeom=2000)
        self._drawing = mujoco.MjrContext(self._model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._drawing)
        self._place = mujoco.MjrRect(0, 0, width, height)
        self._view = mujoco.MjvCamera()
        self._view.lookat[:] = CENTRE
        for name, value in VIEW.items():
            setattr(self._view, name, value)

    def frame(self) -> npt.NDArray[np.uint8]:
        """A frame, RGB [height, width, 3]."""
        light, state = self._sawyer.model, mujoco.mjtState.mjSTATE_INTEGRATION
        physics = np.empty(mujoco.mj_stateSize(light, state))
        mujoco.mj_getState(light, self._sawyer.data, physics, state)
        self._model.body_pos[:], self._model.site_pos[:] = light.body_pos, light.site_pos
        mujoco.mj_setState(self._model, self._data, physics, state)
        mujoco.mj_forward(self._model, self._data)
        options, everything = mujoco.MjvOption(), mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(self._model, self._data, options, None, self._view, everything, self._scene)
        mujoco.mjr_render(self._place, self._scene, self._drawing)
        pixels = np.empty((self._place.height, self._place.width, 3), np.uint8)
        mujoco.mjr_readPixels(pixels, None, self._place, self._drawing)
        return pixels[::-1]

    def close(self) -> None:
        """Free the OpenGL context."""
        self._drawing.free()
        self._context.free()
