"""What the tests of LIBERO need and a machine may lack."""

from importlib.util import find_spec

import pytest

from gipo.envs.libero_assets import assets_directory
from gipo.errors import GipoError

LIBRARIES = ("libero", "robosuite", "bddl", "ray", "transformers", "peft")


def skip_without_libero() -> None:
    """Skip a test module, with the reason, where a library or LIBERO's assets are missing."""
    if missing := [name for name in LIBRARIES if find_spec(name) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}", allow_module_level=True)
    try:
        assets_directory()
    except GipoError as error:
        pytest.skip(str(error), allow_module_level=True)
