"""Importing MuJoCo for a simulator that draws nothing: no OpenGL is loaded, whatever ``MUJOCO_GL`` says.

Import this module before any other that imports MuJoCo. The variable keeps its value for everything else.
"""

import os
from unittest import mock

with mock.patch.dict(os.environ, {"MUJOCO_GL": "disabled"}):
    import mujoco as mujoco
