"""A checkout, and runs of the smoke scale, plain and in images, for all tests that need their results.

Each is made once per test session, by whichever worker of pytest-xdist comes first.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock

from checkout import ROOT, Checkout, beside, copy_checkout


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder of this test session, the same one for all workers."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture(scope="session")
def checkout(shared: Path) -> Checkout:
    """A copy of this checkout as it was when the tests began; not to be edited."""
    copy = Checkout(shared / "checkout")
    with FileLock(shared / "checkout.lock"):
        if not copy.root.exists():
            copy_checkout(ROOT, copy.root)
    return copy


@pytest.fixture
def edited(checkout: Checkout, tmp_path: Path) -> Checkout:
    """A copy of it to be edited by one test."""
    return copy_checkout(checkout.root, tmp_path / "edited")


@pytest.fixture(scope="session")
def finished(checkout: Checkout, shared: Path) -> Path:
    """Working directory in which the smoke scale ran to its report; not to be changed."""
    directory = shared / "finished"
    with FileLock(shared / "finished.lock"):
        if not (directory / "results" / "smoke" / "report.html").exists():
            done = checkout.snakemake(directory)
            assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture(scope="session")
def sources() -> dict[str, str]:
    """Config keys with which images can be built here; without apptainer and means to install it, a skip."""
    installer = beside("shared/tools/install-apptainer")
    if installer is None or os.geteuid() != 0:
        if shutil.which("apptainer") is None:
            pytest.skip("no apptainer on PATH, and no ../shared/tools/install-apptainer that root could run")
        return {}
    subprocess.run([installer], check=True)
    mirror = subprocess.run([installer, "mirror"], check=True, capture_output=True, text=True).stdout.strip()
    return {"base": mirror, "torch": "pypi"}  # a machine without a registry has torch in pip's own places


@pytest.fixture(scope="session")
def contained(checkout: Checkout, shared: Path, sources: dict[str, str]) -> Path:
    """Working directory in which the smoke scale ran in images, built from nothing; not to be changed.

    What Snakemake printed is in log.txt.
    """
    directory = shared / "contained"
    with FileLock(shared / "contained.lock"):
        if not (directory / "log.txt").exists():
            done = checkout.snakemake(directory, "--sdm", "apptainer", **sources)
            assert done.returncode == 0, done.stderr
            (directory / "log.txt").write_text(done.stderr)
    return directory
