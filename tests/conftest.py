"""Fixtures shared by all tests; `factories` has the functions behind them."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from factories import Study, write_study


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that small ones fill the time that a last study leaves."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Name a failure at once, for a session that is cut short says nothing at its end."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\n{report.outcome} {report.when} {report.nodeid}", file=sys.stderr)


os.environ.pop("MUJOCO_GL", None)  # LIBERO finds out what draws, MetaWorld draws nothing
for name in ("CI", "BUILD_NUMBER"):  # with one of them pytest prints a page of two megabytes where a word lacks in it
    os.environ.pop(name, None)
settings.register_profile("suite", deadline=None, derandomize=True)  # a busy machine is no failure, nor is luck
settings.load_profile("suite")


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Finished runs of 2 tasks x 2 regimes x 4 methods x 3 seeds with their baselines; read only."""
    return write_study(tmp_path_factory.mktemp("results"))


@pytest.fixture
def small_study(tmp_path: Path) -> Study:
    """Finished runs of 1 task x 1 regime x 2 methods x 2 seeds with their baseline, to be broken by the test."""
    return write_study(
        tmp_path / "results", tasks=("door-open-v3",), regimes=("stale",), methods=("gipo-1-1", "ppo-clip"), seeds=2
    )
