"""The page of two studies, against their scorecards, tables of runs and effects."""

import html
import json
import re
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from checkout import ROOT
from gipo.analysis.collect import SCHEMAS
from gipo.analysis.comparison import compare
from gipo.cli import cli
from gipo.errors import GipoError
from gipo.report import comparison
from gipo.stages import StudyFolder
from gipo.tables import table_bytes
from scales import put

FIRST, SECOND = (ROOT / "reports" / name for name in ("laptop", "metaworld-mini"))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("pages") / "both.html"
    done = CliRunner().invoke(cli, ["compare", str(FIRST), str(SECOND), "--page", str(out)])
    assert done.exit_code == 0, done.output
    return out.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def both() -> pd.DataFrame:
    """Both scorecards side by side, in the order of the first."""
    cards = [
        pd.read_csv(path / "scorecard.csv", keep_default_na=False, na_values={"low": ""}) for path in (FIRST, SECOND)
    ]
    return cards[0].merge(cards[1], on="id", suffixes=("_a", "_b"))


def words(markup: str) -> str:
    """Text of a piece of the page."""
    return " ".join(html.unescape(re.sub("<.*?>", "", markup)).split())


def settings(page: str) -> dict[str, list[str]]:
    """Rows of the table of settings."""
    table = page.partition('aria-label="Settings"')[2].partition("</table>")[0]
    rows = re.findall(r'<th role="rowheader" scope="row">(.*?)</th>(.*?)</tr>', table)
    return {name: [words(cell) for cell in re.findall(r"<td.*?</td>", cells)] for name, cells in rows}


def test_the_first_sentence_counts_verdicts_and_results(page: str, both: pd.DataFrame):
    changed = (both["verdict_a"] != both["verdict_b"]).sum()
    measured = both[(both["kind_a"] == "measured") & both["low_a"].notna() & both["low_b"].notna()]
    low, high = measured[["low_a", "low_b"]].max(axis=1), measured[["high_a", "high_b"]].astype(float).min(axis=1)
    sentence = words(re.search(r'<p class="answer">(.*?)</p>', page, re.DOTALL)[1])
    assert sentence.startswith(f"{changed} of {len(both)} claims have another verdict in metaworld-mini than in laptop")
    assert f"and {(low <= high).sum()} of {len(measured)} results that both measured" in sentence


def test_claims_that_changed_come_first_and_all_have_both_verdicts(page: str, both: pd.DataFrame):
    rows = re.findall(r'<tr role="row" id="claim-(.*?)">(.*?)</tr>', page, re.DOTALL)
    changed = both[both["verdict_a"] != both["verdict_b"]]
    assert {name for name, _ in rows[: len(changed)]} == set(changed["id"])
    ran = both[(both["verdict_a"] != "not run") | (both["verdict_b"] != "not run")].set_index("id")
    assert len(rows) == len(ran) == len({name for name, _ in rows})
    for name, row in rows:
        assert re.findall(r"</span> ([a-z ]+)</span>", row) == list(ran.loc[name, ["verdict_a", "verdict_b"]])


def test_settings_that_differ_are_shown_with_those_that_everybody_asks_for(page: str):
    shown = settings(page)
    runs = [pd.read_parquet(path / "tables" / "runs.parquet") for path in (FIRST, SECOND)]
    specs = [json.loads(table["spec"].iloc[0]) for table in runs]
    assert shown["tasks"] == [", ".join(sorted(set(table["task"]))) for table in runs]
    assert shown["seeds"] == [", ".join(map(str, sorted(set(table["seed"])))) for table in runs]
    assert shown["git commit"] == [table["git_commit"].iloc[0][:12] for table in runs]
    assert shown["replay capacity, transitions"] == [f"{spec['replay']['capacity']:,}" for spec in specs]
    assert shown["learner updates per run"] == [f"{spec['learner']['updates']:,}" for spec in specs]
    assert shown["CPU"] == [table["cpu"].iloc[0] for table in runs]
    assert "discount" not in shown


def test_pictures_side_by_side_share_their_axis_and_show_the_effects(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    drawn, original = [], comparison.picture_bytes
    monkeypatch.setattr(
        comparison,
        "picture_bytes",
        lambda figure, *rest, **more: drawn.append(figure) or original(figure, *rest, **more),
    )
    found = compare(StudyFolder(FIRST), StudyFolder(SECOND))
    comparison.write(found, tmp_path / "both.html")
    tables = [pd.read_csv(path / "figures" / "effects.csv").query("panel == 'difference'") for path in (FIRST, SECOND)]
    pairs = [(regime, view) for regime in ("fresh", "stale") for view in ("window", "success")]
    assert len(drawn) == 2 * len(pairs)
    for number, (regime, view) in enumerate(pairs):
        axes = [figure.axes[0] for figure in drawn[2 * number : 2 * number + 2]]
        assert axes[0].get_xlim() == axes[1].get_xlim()
        for ax, table in zip(axes, tables, strict=True):
            rows = table[(table["regime"] == regime) & (table["view"] == view)].set_index("rival")
            points = [line.get_xdata() for line in ax.lines if line.get_marker() not in ("", "None")]
            rivals = [name for name in ("no-clip", "ppo-clip", "sapo") if name in rows.index]
            assert [float(x[0]) for x in points] == rows.loc[rivals, "value"].tolist()


def test_the_page_stands_alone_and_needs_no_script(page: str):
    assert "<script" not in page
    loaded = re.findall(r'(?:src|href)="(.*?)"', page) + re.findall(r"url\((.*?)\)", page)
    assert loaded
    assert all(place.startswith(("data:", "#")) for place in loaded)
    anchors = set(re.findall(r'id="(.*?)"', page))
    assert {place[1:] for place in loaded if place.startswith("#")} <= anchors


@pytest.fixture
def twins(tmp_path: Path) -> list[StudyFolder]:
    """Scorecard and runs of a published study in two folders of one name, and nothing else."""
    folders = [StudyFolder(tmp_path / place / "twin") for place in ("one", "other")]
    for folder in folders:
        for file in ("tables/runs.parquet", "scorecard.csv"):
            put(folder, file, StudyFolder(FIRST).read_bytes(file))
    return [StudyFolder(folder.path) for folder in folders]


def test_a_setting_of_a_single_run_is_seen(twins: list[StudyFolder], tmp_path: Path):
    runs = pd.read_parquet(twins[1].path / "tables" / "runs.parquet")
    runs.loc[3, "spec"] = runs["spec"][3].replace('"capacity": 6144', '"capacity": 4096')
    put(twins[1], "tables/runs.parquet", table_bytes(runs, SCHEMAS["runs"]))
    comparison.write(compare(twins[0], StudyFolder(twins[1].path)), tmp_path / "both.html")
    page = (tmp_path / "both.html").read_text()
    assert settings(page)["replay capacity, transitions"] == ["6,144", "4,096, 6,144"]
    assert f"0 of {len(twins[0].read_csv('scorecard.csv'))} claims have another verdict" in words(page)
    assert "<img" not in page
    assert f"<h1>{twins[0].path} beside {twins[1].path}</h1>" in page


def test_a_study_without_runs_of_its_own_is_named(twins: list[StudyFolder], tmp_path: Path):
    twins[1].manifest_path("tables").unlink()
    (twins[1].path / "tables" / "runs.parquet").unlink()
    with pytest.raises(GipoError, match="other/twin has no tables of runs: if it joins studies, name"):
        comparison.write(compare(*twins), tmp_path / "both.html")
    assert not (tmp_path / "both.html").exists()
