from pathlib import Path

import pandas as pd
import pytest

from gipo.figures import field, style
from gipo.gridworld import tables
from gipo.gridworld.field import FIELD
from gipo.stages import StudyFolder


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = StudyFolder(Path(tmp_path_factory.mktemp("results")))
    tables.write(folder, pairs=3, seed=0)
    return field.table(folder)


def test_every_method_is_a_row_with_the_one_farthest_behind_last(table: pd.DataFrame) -> None:
    style.apply()
    left = field.draw(table).axes[0]
    labels = [label.get_text() for label in left.get_yticklabels()]
    assert len(set(labels)) == len(labels) == len(FIELD)
    assert labels[-1] == "SPO"
    [a] = [line for line in left.lines if line.get_label() == "A: highest lag"]
    row = table.query("panel == 'field' and case == 'A' and estimator == 'right' and method == 'topr'")
    assert a.get_xdata()[labels.index("TOPR")] == pytest.approx(row["behind_share"].item())


def test_the_caption_names_who_is_ahead_of_gipo_and_no_other(table: pd.DataFrame) -> None:
    [named] = field.caption(table).split("in at least one case: ")[1].split(". Right:")[0:1]
    drawn = table[(table["panel"] == "field") & (table["estimator"] == "right")]
    ahead = {style.label(method) for method in drawn.loc[drawn["behind_share"] < -0.01, "method"]}
    assert set(named.split("; ")) == ahead
    assert "PPO-Clip" not in ahead
