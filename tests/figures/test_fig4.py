import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gipo import figures
from gipo.errors import GipoError
from gipo.figures import fig4, style
from gipo.gridworld import tables
from gipo.stages import StudyFolder, csv_bytes
from scales import put


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """``results/<scale>`` with a gridworld study of 12 random pairs."""
    folder = StudyFolder(tmp_path_factory.mktemp("results"))
    tables.write(folder, pairs=12, seed=0)
    return folder


def test_table_holds_what_the_study_wrote(sources: StudyFolder) -> None:
    table = fig4.table(sources)
    study = pd.read_csv(sources.path / "gridworld" / "case_study.csv")
    shown = table[table["panel"] == "case_study"]
    assert len(shown) == (study["pareto"] | study["published"]).sum()
    assert (table["panel"] == "policies").sum() == 16
    assert (table["panel"] == "margins").sum() == 4 * 2 * 3
    claims = table[table["panel"] == "family_claims"]
    assert (claims["n"] == 12).all()
    np.testing.assert_allclose(claims["share"].astype(float), claims["holds"].astype(float) / 12, rtol=1e-6)
    for panel in ("case_study", "margins", "family_claims"):
        assert set(table.loc[table["panel"] == panel, "estimator"]) == {"right", "all"}


def test_every_case_shows_every_method_at_its_main_setting(sources: StudyFolder) -> None:
    style.apply()
    figure = fig4.draw(fig4.table(sources))
    panels = {ax.get_title(loc="left"): ax for ax in figure.axes}
    for case in ("Case A: highest lag", "Case B: medium lag", "Case C: lowest lag"):
        _, labels = panels[case].get_legend_handles_labels()
        assert labels == ["No-Clip", "PPO-Clip", "SAPO", "GIPO"]
    handles, labels = panels["Case A: highest lag"].get_legend_handles_labels()
    ppo = dict(zip(labels, handles, strict=True))["PPO-Clip"]
    assert ppo.get_xdata() == [0]


def test_the_estimator_that_is_drawn_is_that_of_the_logit_of_right(sources: StudyFolder) -> None:
    style.apply()
    figure = fig4.draw(fig4.table(sources))
    [panel] = [ax for ax in figure.axes if ax.get_title(loc="left") == "Case B: medium lag"]
    study = pd.read_csv(sources.path / "gridworld" / "case_study.csv").query("case == 'B' and estimator == 'right'")
    sigmas = study.query("method == 'gipo' and published").sort_values("variance")[["variance", "bias"]].to_numpy()
    lines = [np.column_stack(line.get_data()) for line in panel.lines]
    assert any(line.shape == (5, 2) and np.allclose(line, sigmas) for line in lines)
    margins = pd.read_csv(sources.path / "gridworld" / "margins.csv")
    row = margins.query("case == 'B' and estimator == 'right' and method == 'sapo'").iloc[0]
    [words] = [text.get_text() for text in panel.texts]
    assert f"largest gain {100 * row['gain_share']:.2f} %" in words
    assert "largest excess < 0.01 %" in words


def test_caption_carries_n_and_interval_and_says_what_case_d_shows(sources: StudyFolder) -> None:
    table = fig4.table(sources)
    caption = fig4.caption(table)
    assert "n = 12 random pairs" in caption
    assert "95 % Wilson" in caption
    assert "every method is unbiased at every setting, with the same variance, 0.0183." in caption
    table.loc[(table["case"] == "D") & (table["method"] == "sapo"), ["bias", "variance"]] += 0.1
    caption = fig4.caption(table)
    assert "not every method is unbiased at every setting, with other variances." in caption


@pytest.mark.slow
def test_same_bytes_on_every_run(sources: StudyFolder, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        figures.build("fig4", sources, tmp_path / folder)
    for suffix in ("csv", "svg", "png"):
        one, two = (tmp_path / folder / f"fig4.{suffix}" for folder in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_a_missing_study_and_a_missing_column_are_named(sources: StudyFolder, tmp_path: Path) -> None:
    with pytest.raises(GipoError, match=r"policies\.csv is missing"):
        fig4.table(StudyFolder(tmp_path))
    older = StudyFolder(shutil.copytree(sources.path, tmp_path / "older"))
    table = older.read_csv("gridworld/case_study.csv").drop(columns="variance")
    put(older, "gridworld/case_study.csv", csv_bytes(table, 8))
    with pytest.raises(GipoError, match=r"case_study\.csv: column 'variance' is missing"):
        fig4.table(older)
