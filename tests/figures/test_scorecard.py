from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from gipo.analysis.claims import COLUMNS
from gipo.analysis.verdicts import JUDGED, NOT_RUN, VERDICTS
from gipo.errors import GipoError
from gipo.figures import build, scorecard
from gipo.stages import StudyFolder, csv_bytes


def rows(*changes: dict[str, object]) -> pd.DataFrame:
    """Rows of scorecard.csv; `changes` replace columns."""
    base = {
        **{
            "id": "a",
            "section": "Figure 2",
            "kind": "measured",
            "claim": "GIPO ends above SAPO.",
            "reference": "0.5",
            "source": "[P]",
        },
        **{"measured": 0.4, "low": 0.1, "high": 0.7, "n": 6, "detectable": 0.4, "unit": "IQM difference"},
        **{"needs": "m", "rule": "r", "fixed": "today"},
        **{"verdict": "reproduced", "note": ""},
    }
    return pd.DataFrame([base | change for change in changes], columns=list(COLUMNS))


def not_run() -> dict[str, object]:
    numbers = dict.fromkeys(("measured", "low", "high", "detectable"), np.nan)
    return numbers | {"verdict": NOT_RUN, "n": None, "unit": ""}


def written(scorecard: pd.DataFrame, root: Path) -> StudyFolder:
    """A study with that scorecard."""
    folder = StudyFolder(root)
    folder.write_stage("scorecard", {"scorecard.csv": csv_bytes(scorecard, 8)})
    return folder


@pytest.fixture
def sources(tmp_path: Path) -> StudyFolder:
    changes = [{"verdict": verdict, "section": f"Figure {i}"} for i, verdict in enumerate(JUDGED)]
    return written(rows(*changes, not_run()), tmp_path)


def test_a_number_stands_with_its_interval() -> None:
    [(_, row)] = rows({"measured": 0.4, "low": 0.1, "high": 0.7}).iterrows()
    assert scorecard.measured_words(row) == "0.400 [0.100, 0.700]"


@pytest.mark.parametrize(("value", "words"), [(1.0, "holds"), (0.0, "does not hold")])
def test_truth_is_said_in_words(value: float, words: str) -> None:
    [(_, row)] = rows({"measured": value, "low": value, "high": value, "unit": scorecard.TRUTH_VALUE}).iterrows()
    assert scorecard.measured_words(row) == words


def test_what_was_not_run_has_no_number() -> None:
    [(_, row)] = rows(not_run()).iterrows()
    assert scorecard.measured_words(row) == ""


def test_picture_has_a_row_and_the_word_for_each_verdict_and_counts_the_rest(sources: StudyFolder) -> None:
    [ax] = scorecard.draw(scorecard.table(sources)).axes
    texts = [text.get_text() for text in ax.texts]
    assert texts[0] == "1 reproduced · 1 contradicted · 1 inconclusive · 0 cannot tell, of 4 measured claims"
    for verdict in JUDGED:
        assert f"{scorecard.MARKS[verdict]} {verdict}" in texts
    assert [text for text in texts if text.startswith("Figure")] == ["Figure 0", "Figure 1", "Figure 2"]
    assert texts.count("0.400 [0.100, 0.700]") == 3
    assert texts[-1].startswith("Not run: 1 more")


def test_rows_do_not_overlap_and_text_fits_its_column() -> None:
    long = "A claim whose words go on and on until they need several lines of their column. " * 3
    picture = scorecard.draw(rows({"claim": long}, {"reference": long}, {}))
    [ax] = picture.axes
    picture.canvas.draw()
    starts = sorted(scorecard.COLUMN_STARTS.values())
    boxes = [text.get_window_extent().transformed(ax.transData.inverted()) for text in ax.texts]
    for text, box in zip(ax.texts, boxes, strict=True):
        x = text.get_position()[0]
        if x in starts[1:-1]:
            assert box.x1 < starts[starts.index(x) + 1], text.get_text()
    bodies = sorted(b.y0 for b, t in zip(boxes, ax.texts, strict=True) if t.get_position()[0] == starts[1])
    assert min(np.diff(bodies)) > 0.1


def test_white_text_is_legible_on_every_verdict_colour() -> None:
    for colour in scorecard.COLOURS.values():
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        luminance = np.dot(linear, [0.2126, 0.7152, 0.0722])
        assert 1.05 / (luminance + 0.05) >= 4.5  # WCAG 2 AA


def test_a_study_in_which_nothing_was_run_draws() -> None:
    [ax] = scorecard.draw(rows(not_run())).axes
    assert ax.texts[0].get_text().startswith("0 reproduced · 0 contradicted")


def test_only_measured_claims_are_counted_and_the_others_stand_apart_below() -> None:
    kinds = ("exact", "measured", "set by the config", "by construction")
    table = rows(*({"kind": kind, "section": f"Figure {i}"} for i, kind in enumerate(kinds)))
    assert scorecard.counts(table) == dict.fromkeys(VERDICTS, 0) | {"reproduced": 1}
    texts = [text.get_text() for text in scorecard.draw(table).axes[0].texts]
    assert [text for text in texts if text.startswith("Figure")] == [
        "Figure 1",
        "Figure 3 (not counted: by construction)",
        "Figure 2 (not counted: set by the config)",
        "Figure 0 (not counted: exact)",
    ]


def test_build_writes_picture_and_data_the_same_twice(sources: StudyFolder, tmp_path: Path) -> None:
    for out in ("one", "two"):
        build("scorecard", sources, tmp_path / out)
    for suffix in ("svg", "png", "csv"):
        one, two = ((tmp_path / out / f"scorecard.{suffix}").read_bytes() for out in ("one", "two"))
        assert one == two
    read = pd.read_csv(tmp_path / "one" / "scorecard.csv")
    pd.testing.assert_frame_equal(read, sources.read_csv("scorecard.csv"))


def test_caption_says_how_to_read_it(sources: StudyFolder) -> None:
    caption = scorecard.caption(scorecard.table(sources))
    counted = "1 reproduced · 1 contradicted · 1 inconclusive · 0 cannot tell, of 4 measured claims, and 1 not run."
    assert caption.startswith(counted)


def test_unknown_verdict(tmp_path: Path) -> None:
    sources = written(rows({"verdict": "maybe"}), tmp_path)
    with pytest.raises(GipoError, match=r"scorecard\.csv: verdict 'maybe', expected one of reproduced"):
        scorecard.table(sources)


def test_missing_file_and_column(tmp_path: Path) -> None:
    with pytest.raises(GipoError, match=r"scorecard\.csv is missing"):
        scorecard.table(StudyFolder(tmp_path))
    sources = written(rows({}).drop(columns="rule"), tmp_path)
    with pytest.raises(GipoError, match="column 'rule' is missing"):
        scorecard.table(sources)
