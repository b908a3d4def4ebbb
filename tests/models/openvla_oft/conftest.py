"""The numeric fixture, which is not in the repository, and a tiny random checkpoint, which is written here."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from checkout import beside
from gipo.models.openvla_oft.model import OpenVLAOFT
from gipo.models.openvla_oft.parity import Arrays
from gipo.models.openvla_oft.pretrained import load
from gipo.models.openvla_oft.tiny import write_tiny


def fixtures() -> Path | None:
    """``$GIPO_FIXTURES``, or else ``../shared/fixtures``."""
    named = os.environ.get("GIPO_FIXTURES")
    return Path(named) if named else beside("shared/fixtures")


@pytest.fixture(scope="session")
def golden() -> Path:
    """Directory of the numeric fixture."""
    directory = fixtures()
    if directory is None or not (directory / "openvla_oft_tiny").is_dir():
        pytest.skip("no openvla_oft_tiny in $GIPO_FIXTURES or ../shared/fixtures")
    return directory / "openvla_oft_tiny"


@pytest.fixture(scope="session")
def golden_model(golden: Path) -> OpenVLAOFT:
    """Its model in float32; read only."""
    return load(golden, proprio=True, dtype=torch.float32)


@pytest.fixture(scope="session")
def golden_inputs(golden: Path) -> Arrays:
    """Arrays of its golden_inputs.npz."""
    return dict(np.load(golden / "golden_inputs.npz"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random checkpoint directory; read only."""
    directory = tmp_path_factory.mktemp("tiny")
    write_tiny(directory)
    return directory
