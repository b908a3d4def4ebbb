"""A frame drawn as LIBERO's are, by robosuite's own context."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from gipo.envs.libero import FRAME_SIZE
from gipo.envs.libero_import import binding, renderer
from gipo.gpu.findings import CPU, Finding, failed, gpu, passed, seconds, skipped

Frame = npt.NDArray[np.uint8]

SCENE = """
<mujoco>
  <worldbody>
    <light pos="0 0 3"/>
    <camera name="above" pos="0 0 3"/>
    <geom type="sphere" size="0.5" rgba="1 0 0 1"/>
    <geom type="box" pos="0.7 0.7 0" size="0.2 0.2 0.2" rgba="0 0 1 1"/>
  </worldbody>
</mujoco>
"""


def drawer() -> Callable[[], Frame]:
    """Draws `SCENE`, uint8 [256, 256, 3].

    Raises:
        GipoError: nothing can draw.
    """
    robosuite = binding()
    simulator = robosuite.MjSim.from_xml_string(SCENE)
    context = robosuite.MjRenderContextOffscreen(simulator, -1, FRAME_SIZE, FRAME_SIZE)

    def draw() -> Frame:
        context.render(FRAME_SIZE, FRAME_SIZE, camera_id=0)
        return context.read_pixels(FRAME_SIZE, FRAME_SIZE, depth=False)

    return draw


def check() -> Iterator[Finding]:
    """Something is drawn, and by a GPU where there is one."""
    if importlib.util.find_spec("robosuite") is None:
        yield skipped("frames: LIBERO is not installed")
        return
    draw = drawer()
    from OpenGL import GL  # after the renderer is chosen

    device = GL.glGetString(GL.GL_RENDERER).decode()
    if draw().std() < 10:
        yield failed(f"{device} draws empty frames ({renderer()}): try MUJOCO_GL=osmesa")
        return
    yield passed(
        f"frame of {FRAME_SIZE} x {FRAME_SIZE}, drawn by {device} ({renderer()})", 1e3 * seconds(draw, CPU), "ms"
    )
    if gpu() and "llvmpipe" in device:
        yield failed("frames are drawn on the CPU though there is a GPU: install the EGL library of its driver")
