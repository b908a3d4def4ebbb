"""The README's picture: small, and drawn from a study's scores and verdicts."""

import io
import shutil
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from checkout import ROOT
from gipo.errors import GipoError
from gipo.report import picture
from gipo.stages import StudyFolder

STUDY = StudyFolder(ROOT / "reports" / "metaworld-mini")


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    """A copy of a published study, to be edited."""
    return StudyFolder(shutil.copytree(STUDY.path, tmp_path / "study"))


def test_it_is_small_and_fits_a_page(study: StudyFolder) -> None:
    picture.write(study)
    height, width, _ = matplotlib.image.imread(io.BytesIO(study.read_bytes("picture.png"))).shape
    assert (width, height) == (900, 400)
    assert set(study.manifest_of("picture").inputs) == {"figures/iqm", "scorecard"}


def test_nothing_touches_its_edge(study: StudyFolder) -> None:
    picture.write(study)
    pixels = matplotlib.image.imread(study.path / "picture.png")[..., :3]
    edges = [pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]
    assert all(np.all(edge == 1) for edge in edges)


def test_bars_are_as_long_as_a_part_has_claims_of_a_verdict() -> None:
    claims = STUDY.read_csv("scorecard.csv")
    scores = STUDY.read_csv("figures/iqm.csv").query("panel == 'iqm'")
    _, right = picture.draw(scores, claims).axes
    measured = claims[claims["kind"] == "measured"]
    for bars, verdict in zip(right.containers, picture.SHOWN, strict=True):
        assert sum(bar.get_width() for bar in bars) == (measured["verdict"] == verdict).sum()


@pytest.mark.parametrize("name", ["scorecard.csv", "figures/iqm.csv"])
def test_a_missing_source_is_named(study: StudyFolder, name: str) -> None:
    (study.path / name).unlink()
    with pytest.raises(GipoError, match=name):
        picture.write(study)


@pytest.mark.parametrize("regimes", [["stale"], ["fresh", "stale"]])
def test_points_lie_about_the_name_of_their_method(regimes: list[str]) -> None:
    scores = STUDY.read_csv("figures/iqm.csv").query("panel == 'iqm' and regime in @regimes")
    left, _ = picture.draw(scores, STUDY.read_csv("scorecard.csv")).axes
    heights = [line.get_ydata()[0] for line in left.lines if len(line.get_xdata()) == 1]
    methods = scores["method"].nunique()
    np.testing.assert_allclose(np.reshape(heights, (len(regimes), methods)).mean(axis=0), range(methods))
