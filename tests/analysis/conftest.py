"""Results of a made-up study, as claims read them."""

from pathlib import Path

import pytest

from factories import Study
from scales import write_scale


@pytest.fixture(scope="session")
def scale(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 tasks x 2 regimes x 4 methods x 3 seeds; read only."""
    return write_scale(study, tmp_path_factory.mktemp("scale"))
