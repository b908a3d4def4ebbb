"""A made-up study with its scorecard and all its figures, as the report reads them."""

import pytest

from factories import Study
from gipo import figures
from gipo.analysis.claims import write_scorecard
from gipo.stages import StudyFolder
from scales import write_scale


@pytest.fixture(scope="session")
def finished(study: Study, tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """Results of 2 tasks x 2 regimes x 4 methods x 3 seeds, pictures in ``figures``, to be read only."""
    folder = write_scale(study, tmp_path_factory.mktemp("finished"))
    write_scorecard(folder, resamples=20)
    for name in figures.of_study("metaworld", figures.SWEEPS.values()):
        figures.build(name, folder, resamples=20)
    return folder
