"""A checkout, and the smoke scale run to its report, for all tests that need them.

Each is made once per test session, by whichever worker of pytest-xdist comes first.
"""

from pathlib import Path

import pytest
from filelock import FileLock

from checkout import ROOT, Checkout, copy_checkout

AWKWARD = {"HOME": "/dev/null", "TMPDIR": "/nonexistent", "MUJOCO_GL": "none at all", "GIT_DIR": "/nonexistent"}
"""No home, no such folder for temporary files, a renderer that does not exist, and a repository elsewhere."""


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder of this test session, the same one for all workers."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture(scope="session")
def checkout(shared: Path) -> Checkout:
    """A copy of this checkout as it was when the tests began, in a folder with an awkward name; not to be edited."""
    copy = Checkout(shared / "für my study #1 & more")
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
    """Working directory in which the smoke scale ran to its report; not to be changed.

    What was shown of it is in finished.txt beside it.
    """
    directory = shared / "finished"
    with FileLock(shared / "finished.lock"):
        if not (directory / "results" / "smoke" / "report.html").exists():
            with pytest.MonkeyPatch.context() as machine:
                for name, value in AWKWARD.items():
                    machine.setenv(name, value)
                done = checkout.snakemake(directory)
            assert done.returncode == 0, done.stderr
            (shared / "finished.txt").write_text(done.stderr)
    return directory
