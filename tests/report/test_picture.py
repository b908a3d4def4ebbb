"""The README's picture: small, and drawn from a study's scores and verdicts."""

import shutil
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from checkout import ROOT
from gipo.errors import GipoError
from gipo.report import picture

STUDY = ROOT / "reports" / "metaworld-mini"


def copied(to: Path) -> Path:
    (to / "figures").mkdir(parents=True)
    for name in ("scorecard.csv", "figures/iqm.csv"):
        shutil.copy2(STUDY / name, to / name)
    return to


def test_it_is_small_and_fits_a_page(tmp_path: Path) -> None:
    picture.write(STUDY, tmp_path / "picture.png")
    height, width, _ = matplotlib.image.imread(tmp_path / "picture.png").shape
    assert (width, height) == (900, 400)


def test_nothing_touches_its_edge(tmp_path: Path) -> None:
    picture.write(STUDY, tmp_path / "picture.png")
    pixels = matplotlib.image.imread(tmp_path / "picture.png")[..., :3]
    edges = [pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]
    assert all(np.all(edge == 1) for edge in edges)


def test_bars_are_as_long_as_a_part_has_claims_of_a_verdict() -> None:
    claims = pd.read_csv(STUDY / "scorecard.csv")
    scores = pd.read_csv(STUDY / "figures" / "iqm.csv").query("panel == 'iqm'")
    _, right = picture.draw(scores, claims).axes
    tested = claims[claims["verdict"] != "not tested at this scale"]
    for bars, verdict in zip(right.containers, ("reproduced", "partly", "not reproduced"), strict=True):
        assert sum(bar.get_width() for bar in bars) == (tested["verdict"] == verdict).sum()


@pytest.mark.parametrize("name", ["scorecard.csv", "figures/iqm.csv"])
def test_a_missing_source_is_named(tmp_path: Path, name: str) -> None:
    sources = copied(tmp_path / "study")
    (sources / name).unlink()
    with pytest.raises(GipoError, match=name):
        picture.write(sources, tmp_path / "picture.png")
