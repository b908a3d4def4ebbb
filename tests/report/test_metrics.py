"""The glossary: every logged number stands in it, and the page is the one of the file."""

from pathlib import Path

import pytest

from checkout import ROOT
from gipo.analysis.collect import SCHEMAS
from gipo.errors import GipoError
from gipo.report import metrics
from gipo.tables import RUN_EVALUATION, RUN_IMAGINATION, RUN_METRICS


def test_every_logged_column_has_an_entry_and_every_entry_a_column() -> None:
    tables = metrics.tables()
    assert list(tables["metrics.parquet"]) == list(RUN_METRICS)
    assert list(tables["evaluation.parquet"]) == list(RUN_EVALUATION)
    added = set(SCHEMAS["evaluations"]) - set(RUN_EVALUATION) - set(SCHEMAS["metrics"])
    assert set(tables["evaluations.parquet of a scale"]) == added
    assert list(tables["imagination.parquet"]) == list(RUN_IMAGINATION)
    assert len(tables) == 5


def test_the_page_in_the_repository_is_the_generated_one() -> None:
    stored = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert stored == metrics.markdown(), "out of date; write it again with: gipo metrics docs/metrics.md"


def test_the_readme_says_of_each_word_what_the_glossary_says() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## Six words")[2].partition("##")[0]
    entries = [" ".join(entry.split()) for entry in section.partition("- ")[2].partition("\n\n")[0].split("\n- ")]
    assert entries == [f"**{word}**: {meaning}" for word, meaning in metrics.glossary().words.items()]


def test_every_row_of_a_table_has_as_many_cells_as_its_heading() -> None:
    rows = [line.replace(r"\|", "") for line in metrics.markdown().splitlines() if line.startswith("| `")]
    assert len(rows) == sum(map(len, metrics.tables().values()))
    assert {row.count("|") for row in rows} == {6}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("metrics.parquet: {kl: {unit: nats}}", "kl.meaning is missing"),
        ("metrics.parquet: {kl: {meaning: x, unit: nats, units: y}}", "unknown key metrics.parquet.kl.units"),
    ],
)
def test_a_malformed_entry_is_named(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "metrics.yaml"
    path.write_text(content)
    with pytest.raises(GipoError, match=words):
        metrics.tables(path)
