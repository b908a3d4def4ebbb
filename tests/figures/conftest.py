"""Collected results of made-up studies, as the figures read them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from factories import Study, write_study
from gipo.analysis.collect import collect
from gipo.trust_weights import trust_weights
from scales import collect_sweeps


def write_results(study: Study, sweeps: Path, root: Path) -> Path:
    """Collect a study into a results folder with small sweeps and the trust weights beside it."""
    collect(study.runs, study.baselines, root / "tables")
    shutil.copytree(sweeps, root / "sweeps")
    trust_weights().to_csv(root / "weights.csv", index=False)
    return root


@pytest.fixture(scope="session")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of a small sweep of each kind, see `factories.write_sweeps`; read only."""
    return collect_sweeps(tmp_path_factory.mktemp("sweeps"))


@pytest.fixture(scope="session")
def results(study: Study, sweeps: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 tasks x 2 regimes x 4 methods x 3 seeds, and small sweeps; read only."""
    return write_results(study, sweeps, tmp_path_factory.mktemp("scale"))


@pytest.fixture
def results_of(sweeps: Path, tmp_path: Path) -> Callable[..., Path]:
    """Results of a study of one's own; arguments of `factories.write_study`, ``drop`` leaves out runs by path part."""

    def make(drop: str = " ", **grid: object) -> Path:
        study = write_study(tmp_path / "study", **grid)  # type: ignore[arg-type]
        runs = [run for run in study.runs if drop not in str(run)]
        return write_results(Study(runs, study.baselines), sweeps, tmp_path / "r")

    return make


@pytest.fixture
def sweep_of(tmp_path: Path) -> Callable[..., Path]:
    """Results with one sweep of one's own, and nothing else; arguments of `factories.write_study`."""

    def make(name: str, **grid: object) -> Path:
        study = write_study(tmp_path / "study", **grid)  # type: ignore[arg-type]
        collect(study.runs, study.baselines, tmp_path / "r" / "sweeps" / name)
        return tmp_path / "r"

    return make
