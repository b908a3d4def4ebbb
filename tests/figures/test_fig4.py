from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gipo import figures, gridworld
from gipo.errors import GipoError
from gipo.figures import fig4, style


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``results/<scale>`` with a gridworld study of 12 random pairs."""
    folder = tmp_path_factory.mktemp("results")
    gridworld.write(folder / "gridworld", pairs=12, seed=0)
    return folder


def test_table_holds_what_the_study_wrote(sources: Path) -> None:
    table = fig4.table(sources)
    study = pd.read_csv(sources / "gridworld" / "case_study.csv")
    shown = table[table["panel"] == "case_study"]
    assert len(shown) == (study["pareto"] | study["default"]).sum()
    assert (table["panel"] == "policies").sum() == 16
    claims = table[table["panel"] == "family_claims"]
    assert (claims["n"] == 12).all()
    np.testing.assert_allclose(claims["share"].astype(float), claims["holds"].astype(float) / 12, rtol=1e-6)


def test_every_case_shows_every_method_at_its_default(sources: Path) -> None:
    style.apply()
    figure = fig4.draw(fig4.table(sources))
    panels = {ax.get_title(loc="left"): ax for ax in figure.axes}
    for case in ("Case A: highest lag", "Case B: medium lag", "Case C: lowest lag"):
        _, labels = panels[case].get_legend_handles_labels()
        assert labels == ["No-Clip", "PPO-Clip", "SAPO", "GIPO"]
    handles, labels = panels["Case A: highest lag"].get_legend_handles_labels()
    ppo = dict(zip(labels, handles, strict=True))["PPO-Clip"]
    assert ppo.get_xdata() == [0]


def test_caption_carries_n_and_interval(sources: Path) -> None:
    caption = fig4.caption(fig4.table(sources))
    assert "n = 12 random pairs" in caption
    assert "95 % Wilson" in caption


@pytest.mark.slow
def test_same_bytes_on_every_run(sources: Path, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        figures.build("fig4", sources, tmp_path / folder)
    for suffix in ("csv", "svg", "png"):
        one, two = (tmp_path / folder / f"fig4.{suffix}" for folder in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_a_missing_study_and_a_missing_column_are_named(sources: Path, tmp_path: Path) -> None:
    with pytest.raises(GipoError, match=r"policies\.csv"):
        fig4.table(tmp_path)
    (tmp_path / "gridworld").mkdir()
    for path in (sources / "gridworld").iterdir():
        table = pd.read_csv(path).drop(columns="variance", errors="ignore")
        table.to_csv(tmp_path / "gridworld" / path.name, index=False)
    with pytest.raises(GipoError, match=r"case_study\.csv: column 'variance' is missing"):
        fig4.table(tmp_path)
