"""The numeric fixture, which is not in the repository, and a tiny random checkpoint, which is written here."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from checkout import ROOT
from gipo.models.openvla_oft.checkpoint import load
from gipo.models.openvla_oft.model import OpenVLAOFT
from gipo.models.openvla_oft.parity import Arrays
from gipo.models.openvla_oft.tiny import write_tiny


def fixtures() -> Path | None:
    """``$GIPO_FIXTURES``, or ``shared/fixtures`` beside this checkout or the one of which it is a worktree."""
    if "GIPO_FIXTURES" in os.environ:
        return Path(os.environ["GIPO_FIXTURES"])
    command = ["git", "-C", str(ROOT), "rev-parse", "--path-format=absolute", "--git-common-dir"]
    repository = Path(subprocess.run(command, capture_output=True, text=True).stdout.strip()).parent
    found = (root.parent / "shared" / "fixtures" for root in (ROOT, repository))
    return next((directory for directory in found if directory.is_dir()), None)


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
