"""Collected results of made-up studies, as the figures read them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from factories import Study, write_study
from gipo import trust_weights
from gipo.analysis import branches
from gipo.analysis.collect import collect
from gipo.stages import StudyFolder
from scales import collect_sweeps


def write_results(study: Study, sweeps: Path, root: Path) -> StudyFolder:
    """Collect a study into a results folder with small sweeps and the trust weights beside it."""
    folder = StudyFolder(shutil.copytree(sweeps, root, dirs_exist_ok=True))
    collect(study.runs, study.baselines, folder)
    if imagining := [run for run in study.runs if "-imagined-" in str(run)]:
        branches.collect(imagining, folder)
    trust_weights.write(folder)
    return folder


@pytest.fixture(scope="session")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of a small sweep of each kind, see `factories.write_sweeps`; read only."""
    folder = StudyFolder(tmp_path_factory.mktemp("sweeps"))
    collect_sweeps(folder)
    return folder.path


@pytest.fixture(scope="session")
def results(study: Study, sweeps: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """2 tasks x 2 regimes x 4 methods x 3 seeds, and small sweeps; read only."""
    return write_results(study, sweeps, tmp_path_factory.mktemp("scale"))


@pytest.fixture
def results_of(sweeps: Path, tmp_path: Path) -> Callable[..., StudyFolder]:
    """Results of a study of one's own; arguments of `factories.write_study`, ``drop`` leaves out runs by path part."""

    def make(drop: str = " ", **grid: object) -> StudyFolder:
        study = write_study(tmp_path / "study", **grid)  # type: ignore[arg-type]
        runs = [run for run in study.runs if drop not in str(run)]
        return write_results(Study(runs, study.baselines), sweeps, tmp_path / "r")

    return make


@pytest.fixture
def sweep_of(tmp_path: Path) -> Callable[..., StudyFolder]:
    """Results with one sweep of one's own, and nothing else; arguments of `factories.write_study`."""

    def make(name: str, **grid: object) -> StudyFolder:
        study = write_study(tmp_path / "study", **grid)  # type: ignore[arg-type]
        folder = StudyFolder(tmp_path / "r")
        collect(study.runs, study.baselines, folder, f"sweeps/{name}")
        return folder

    return make
