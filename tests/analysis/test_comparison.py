"""Two studies side by side, made of the published one."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from checkout import ROOT
from gipo.analysis import numbers
from gipo.analysis.comparison import as_published, compare
from gipo.cli import cli
from gipo.errors import GipoError
from gipo.stages import StudyFolder, csv_bytes
from scales import put

PUBLISHED = StudyFolder(ROOT / "reports" / "laptop")
CLAIM = "stale-gipo-over-ppo"


@pytest.fixture
def other(tmp_path: Path) -> StudyFolder:
    """A copy of the published study, to be changed by the test."""
    shutil.copytree(PUBLISHED.path, tmp_path / "laptop")
    return StudyFolder(tmp_path / "laptop")


def rewrite(folder: StudyFolder, change) -> None:
    """Change the scorecard, and say of its figure that it was drawn from it."""
    scorecard, figure = folder.read_csv("scorecard.csv"), folder.manifest_of("figures/scorecard")
    files = {name: folder.read_bytes(name) for name in figure.files}
    put(folder, "scorecard.csv", csv_bytes(change(scorecard), digits=8))
    changed = StudyFolder(folder.path).manifest_of("scorecard").digest()
    folder.write_stage("figures/scorecard", files, figure.inputs | {"scorecard": changed})
    folder.read.clear()


def test_a_study_equals_its_copy(other: StudyFolder):
    found = compare(PUBLISHED, other)
    assert found.different == found.lonely == []
    assert "figures/iqm.csv" in found.equal
    assert "tables/metrics.parquet" in found.equal
    assert not found.claims[["changed", "apart"]].any(axis=None)
    assert f"{len(found.equal)} of {len(found.equal)} tables are equal bit for bit" in found.lines()


def test_another_verdict_and_another_interval_are_named_with_both_numbers(other: StudyFolder):
    def change(scorecard: pd.DataFrame) -> pd.DataFrame:
        scorecard.loc[scorecard["id"] == CLAIM, ["measured", "low", "high", "verdict"]] = [0.5, 0.4, 0.6, "reproduced"]
        return scorecard

    rewrite(other, change)
    [before] = PUBLISHED.read_csv("scorecard.csv").query("id == @CLAIM").to_dict("records")
    found = compare(PUBLISHED, other)
    assert found.claims.loc[found.claims["changed"], "id"].tolist() == [CLAIM]
    assert found.claims.loc[found.claims["apart"], "id"].tolist() == [CLAIM]
    was = f"{before['verdict']} {numbers.words(before['measured'], before['low'], before['high'])}"
    assert f"  {CLAIM}: {was} -> reproduced 0.500 [0.400, 0.600]" in found.lines()


def test_claims_and_tables_that_only_one_has_are_named(other: StudyFolder):
    rewrite(other, lambda scorecard: scorecard[scorecard["id"] != CLAIM])
    (other.path / "figures" / "fig1.csv").unlink()
    found = compare(PUBLISHED, other)
    assert found.lonely == ["figures/fig1.csv"]
    [row] = found.claims[found.claims["changed"]].to_dict("records")
    assert row["id"] == CLAIM
    assert row["claim"].startswith("With stale data, GIPO (1,1)")
    assert any(line.endswith("-> no such claim") for line in found.lines())


def test_a_table_that_was_edited_is_refused(other: StudyFolder):
    with (other.path / "figures" / "iqm.csv").open("a") as file:
        file.write("more\n")
    with pytest.raises(GipoError, match=r"iqm\.csv"):
        compare(PUBLISHED, other)


def test_one_folder_by_two_names_is_refused(tmp_path: Path):
    (tmp_path / "again").symlink_to(PUBLISHED.path)
    with pytest.raises(GipoError, match=r"reports/laptop and .*/again are one folder: give two studies"):
        compare(PUBLISHED, StudyFolder(tmp_path / "again"))


def test_a_folder_without_results_is_named(tmp_path: Path):
    with pytest.raises(GipoError, match=f"^{tmp_path} holds no results: give a scale that ran here"):
        compare(PUBLISHED, StudyFolder(tmp_path))


def test_studies_that_measured_no_claim_on_runs_of_both_have_nothing_in_common(other: StudyFolder):
    def change(scorecard: pd.DataFrame) -> pd.DataFrame:
        scorecard.loc[scorecard["kind"] == "measured", "measured"] = float("nan")
        return scorecard

    rewrite(other, change)
    with pytest.raises(GipoError, match="have nothing in common: no claim was measured on training runs of both"):
        compare(PUBLISHED, other)


@pytest.fixture
def twins(tmp_path: Path) -> tuple[StudyFolder, StudyFolder]:
    """Tables, weights and scorecard of the published study, twice: nothing rests on them."""
    for name in ("here", "published"):
        folder = StudyFolder(tmp_path / name)
        for file in ("tables/metrics.parquet", "tables/runs.parquet", "weights.csv", "scorecard.csv"):
            put(folder, file, PUBLISHED.read_bytes(file))
    return StudyFolder(tmp_path / "here"), StudyFolder(tmp_path / "published")


def test_a_study_is_as_published_whenever_and_however_fast_it_was_made(twins: tuple[StudyFolder, StudyFolder]):
    here, published = twins
    runs = pd.read_parquet(here.path / "tables" / "runs.parquet")
    put(here, "tables/runs.parquet", runs.assign(wall_seconds=1.0, cpu="Z80", git_dirty=True).to_parquet())
    assert as_published(here, published) == f"4 of 4 tables equal the published ones in {published.path} bit for bit"
    put(here, "weights.csv", b"rho\n1\n")
    line = as_published(StudyFolder(here.path), published)
    assert line.startswith("3 of 4 tables")
    assert line.endswith(f"weights.csv differ; published on {runs['cpu'][0]}, made here on Z80")


def test_a_study_of_other_runs_is_not_compared_with_the_published_one(twins: tuple[StudyFolder, StudyFolder]):
    here, published = twins
    runs = pd.read_parquet(here.path / "tables" / "runs.parquet")
    put(here, "tables/runs.parquet", runs.assign(run_id=runs["run_id"] + "0").to_parquet())
    assert as_published(StudyFolder(here.path), published).startswith(f"{published.path} was made of other runs")


def test_the_command_writes_every_claim(tmp_path: Path, other: StudyFolder):
    out = tmp_path / "both.csv"
    done = CliRunner().invoke(cli, ["compare", str(PUBLISHED.path), str(other.path), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert set(pd.read_csv(out)["id"]) == set(PUBLISHED.read_csv("scorecard.csv")["id"])
