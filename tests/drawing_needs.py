"""What the tests that draw need and a machine may lack."""

import pytest

from gipo.envs.libero_import import renderer
from gipo.errors import GipoError


def skip_without_drawing() -> None:
    """Skip a test module, with the reason, where nothing draws."""
    try:
        renderer()
    except GipoError as error:
        pytest.skip(str(error), allow_module_level=True)
