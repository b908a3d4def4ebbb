"""Results of made-up studies, as claims read them."""

import shutil

import pytest

from factories import METHODS, Study, write_study
from gipo.analysis.collect import collect
from gipo.stages import StudyFolder
from scales import write_scale

RANKED = (*METHODS, "gipo-0.5-0.5", "gipo-2-2", "gipo-0.5-0.25", "gipo-1-0.5", "gipo-2-1", "gipo-1-2")
SWEPT = {
    "ranking": ("door-open-v3", "stale", RANKED),
    "sigma": ("handle-press-v3", "stale", ("gipo-0.5-0.5", "gipo-1-1", "gipo-2-2")),
    "vtrace": ("door-open-v3", "refreshed", ("no-clip", "gipo-1-1", "vtrace-no-clip", "vtrace-gipo-1-1")),
}
"""Task, regime and methods of each sweep that claims are about."""


@pytest.fixture(scope="session")
def scale(study: Study, tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """2 tasks x 2 regimes x 4 methods x 3 seeds, no sweeps; read only."""
    return write_scale(study, tmp_path_factory.mktemp("scale"), sweeps=False)


@pytest.fixture(scope="session")
def swept_scale(scale: StudyFolder, tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """The same with the sweeps of `SWEPT`, 2 seeds each; read only."""
    root = tmp_path_factory.mktemp("swept") / "scale"
    folder = StudyFolder(shutil.copytree(scale.path, root))
    for name, (task, regime, methods) in SWEPT.items():
        runs = write_study(root.parent / name, tasks=(task,), regimes=(regime,), methods=methods, seeds=2)
        collect(runs.runs, runs.baselines, folder, f"sweeps/{name}")
    return folder
