"""Collected results of made-up studies, as the figures read them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from factories import Study, write_study
from gipo.analysis.collect import collect
from gipo.weights import trust_weights


def write_results(study: Study, root: Path) -> Path:
    """Collect a study into a results folder with the trust weights beside it."""
    collect(study.runs, study.baselines, root / "tables")
    trust_weights().to_csv(root / "weights.csv", index=False)
    return root


@pytest.fixture(scope="session")
def results(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 tasks x 2 regimes x 4 methods x 3 seeds; read only."""
    return write_results(study, tmp_path_factory.mktemp("scale"))


@pytest.fixture
def results_of(tmp_path: Path) -> Callable[..., Path]:
    """Results of a study of one's own; arguments of `factories.write_study`, ``drop`` leaves out runs by path part."""

    def make(drop: str = " ", **grid: object) -> Path:
        study = write_study(tmp_path / "study", **grid)  # type: ignore[arg-type]
        return write_results(
            Study([run for run in study.runs if drop not in str(run)], study.baselines), tmp_path / "r"
        )

    return make
