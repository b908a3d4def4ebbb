"""Files of a study are read as their stages wrote them, or refused by name, with what brings them back."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from damage import cut, flip
from factories import Study, write_study
from gipo import figures, trust_weights
from gipo.analysis.claims import read_scorecard, write_scorecard
from gipo.analysis.collect import Tables, collect
from gipo.errors import GipoError
from gipo.gridworld import tables
from gipo.stages import StudyFolder, stage_of
from scales import put

AGAIN = "`make reproduce SCALE=mine` makes it again"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small study with a sweep, weights, gridworld and the figures of these two; to be copied."""
    root = tmp_path_factory.mktemp("template") / "results" / "mine"
    made = write_study(root.parent, tasks=("door-open-v3",), regimes=("stale",), methods=("sapo", "gipo-1-1"), seeds=2)
    study = StudyFolder(root)
    collect(made.runs, made.baselines, study)
    half = Study([run for run in made.runs if "seed0" in run.name], made.baselines)
    collect(half.runs, half.baselines, study, "sweeps/ranking")
    trust_weights.write(study)
    tables.write(study, pairs=5)
    for name in ("fig1", "fig4"):
        figures.build(name, study)
    return root


@pytest.fixture
def study(template: Path, tmp_path: Path) -> StudyFolder:
    return StudyFolder(shutil.copytree(template, tmp_path / "results" / "mine"))


def cut_at_a_line(path: Path) -> None:
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[: 4 * len(lines) // 10]))


READERS: dict[str, Callable[[StudyFolder], object]] = {
    "weights.csv": lambda study: write_scorecard(study, 20),
    "gridworld/family_claims.csv": lambda study: write_scorecard(study, 20),
    "gridworld/policies.csv": lambda study: figures.build("fig4", study),
    "tables/metrics.parquet": lambda study: figures.build("fig6", study),
    "sweeps/ranking/evaluations.parquet": lambda study: figures.build("ranking", study),
    "figures/fig4.csv": lambda study: study.read_csv("figures/fig4.csv"),
    "figures/fig4.png": lambda study: study.read_bytes("figures/fig4.png"),
}


@pytest.mark.parametrize("damage", [cut, flip])
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_refused_with_what_makes_it_again(
    study: StudyFolder, name: str, damage: Callable[[Path], None]
) -> None:
    damage(study.path / name)
    problem = "bytes, its manifest says" if damage is cut else "was changed"
    with pytest.raises(GipoError, match=rf"{re.escape(name)} .*{problem}.*: {AGAIN}$"):
        READERS[name](study)
    assert not study.has("scorecard")


def test_weights_cut_at_the_end_of_a_line_change_no_verdict(study: StudyFolder) -> None:
    """Such a CSV is a good one, with fewer rows."""
    cut_at_a_line(study.path / "weights.csv")
    with pytest.raises(GipoError, match=r"weights\.csv has [\d,]+ bytes, its manifest says"):
        write_scorecard(study, 20)
    assert not (study.path / "scorecard.csv").exists()


@pytest.mark.parametrize(
    ("of", "to"),
    [("sweeps/ranking", "tables"), ("tables", "sweeps/ranking")],
)
def test_tables_of_another_grid_are_refused(study: StudyFolder, of: str, to: str) -> None:
    shutil.copy2(study.path / of / "metrics.parquet", study.path / to / "metrics.parquet")
    with pytest.raises(GipoError, match=rf"{to}/metrics\.parquet .*its manifest"):
        Tables.read(study, to)
    shutil.copy2(study.manifest_path(of), study.manifest_path(to))
    with pytest.raises(GipoError, match=rf"manifests/{to}\.json is the manifest of another stage, {of}: {AGAIN}"):
        Tables.read(StudyFolder(study.path), to)


@pytest.mark.parametrize("name", READERS)
def test_a_missing_file_and_a_missing_manifest_are_told_apart(study: StudyFolder, name: str) -> None:
    study.manifest_path(stage_of(name)).unlink()
    with pytest.raises(GipoError, match=rf"{re.escape(name)} stands in no manifest: {AGAIN}$"):
        study.read_bytes(name)
    (study.path / name).unlink()
    with pytest.raises(GipoError, match=rf"{re.escape(name)} is missing: {AGAIN}$"):
        study.read_bytes(name)


def test_a_file_that_its_stage_did_not_make_is_refused(study: StudyFolder) -> None:
    shutil.copy2(study.path / "weights.csv", study.path / "gridworld" / "more.csv")
    with pytest.raises(GipoError, match=r"gridworld/more\.csv stands in no manifest"):
        study.read_csv("gridworld/more.csv")


def test_a_manifest_with_a_flipped_bit_is_named(study: StudyFolder) -> None:
    path = study.manifest_path("weights")
    content = json.loads(path.read_text())
    content["files"]["weights.csv"]["size"] += 1
    path.write_text(json.dumps(content))
    with pytest.raises(GipoError, match=rf"manifests/weights\.json is damaged: .*: {AGAIN}$"):
        study.read_csv("weights.csv")


def test_a_figure_of_another_gridworld_is_refused(study: StudyFolder) -> None:
    assert study.has("figures/fig4")
    tables.write(study, pairs=6)
    again = StudyFolder(study.path)
    assert not again.has("figures/fig4")
    with pytest.raises(GipoError, match=rf"figures/fig4 was made from another gridworld than .* here: {AGAIN}$"):
        again.read_csv("figures/fig4.csv")
    assert again.has("figures/fig1")
    figures.build("fig4", again)
    assert again.has("figures/fig4")


def test_a_stage_remembers_what_it_was_made_from(study: StudyFolder) -> None:
    write_scorecard(study, 20)
    inputs = study.manifest_of("scorecard").inputs
    assert inputs == {
        stage: study.manifest_of(stage).digest() for stage in ("tables", "sweeps/ranking", "weights", "gridworld")
    }
    assert study.manifest_of("figures/fig1").inputs == {"weights": study.manifest_of("weights").digest()}
    assert len(read_scorecard(study)) > 20


def test_a_joined_scorecard_is_refused_beside_other_parts(study: StudyFolder) -> None:
    whole = StudyFolder(study.path.with_name("whole"))
    write_scorecard(study, 20)
    read_scorecard(study)
    whole.write_stage("scorecard", {"scorecard.csv": b"id\nx\n"}, whole.inputs_from([study]))
    assert whole.read_csv("scorecard.csv")["id"].tolist() == ["x"]
    put(study, "scorecard.csv", b"id\ny\n")
    with pytest.raises(GipoError, match="scorecard was made from another mine/scorecard than the one that is here"):
        StudyFolder(whole.path).read_csv("scorecard.csv")


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("results/mine", AGAIN),
        ("reports/mine", "git checkout -- reports/mine brings it back"),
        ("elsewhere/mine", r"copy .*elsewhere/mine again, from where it was made"),
    ],
)
def test_the_remedy_is_that_of_the_place(tmp_path: Path, place: str, words: str) -> None:
    with pytest.raises(GipoError, match=rf"weights\.csv is missing: {words}$"):
        StudyFolder(tmp_path / place).read_csv("weights.csv")


def test_a_file_is_read_once(study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is parsed is what was checked, even where the file changes in between."""
    read = Path.read_bytes

    def read_then_damage(path: Path) -> bytes:
        content = read(path)
        if path.suffix == ".csv":
            path.write_bytes(b"id\n")
        return content

    monkeypatch.setattr(Path, "read_bytes", read_then_damage)
    assert len(study.read_csv("weights.csv")) > 2000


def test_an_own_copy_of_a_figure_leaves_the_study_alone(study: StudyFolder, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in study.path.rglob("*") if path.is_file()}
    figures.build("fig4", study, tmp_path / "own")
    assert {path.name for path in (tmp_path / "own").iterdir()} == {"fig4.csv", "fig4.svg", "fig4.png"}
    assert before == {path: path.read_bytes() for path in study.path.rglob("*") if path.is_file()}


def test_the_files_of_a_stage_are_its_own(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"weights\.csv is no file of stage gridworld"):
        StudyFolder(tmp_path).write_stage("gridworld", {"weights.csv": b""})


WORDS = st.from_regex(r"[a-z]\w{0,5}", fullmatch=True)


@given(st.tuples(WORDS, WORDS), st.sampled_from(["figures/{}.csv", "figures/{}.svg", "sweeps/{}/runs.parquet"]))
def test_files_of_different_stages_have_different_manifests(names: tuple[str, str], pattern: str) -> None:
    one, two = (stage_of(pattern.format(name)) for name in names)
    assert (one == two) == (names[0] == names[1])
    assert one == pattern.format(names[0]).rpartition("/" if "sweeps" in pattern else ".")[0]


def test_a_table_of_another_schema_is_refused(study: StudyFolder) -> None:
    with pytest.raises(GipoError, match=rf"runs\.parquet: column 'new' is missing: {AGAIN}"):
        study.read_table("tables/runs.parquet", {"new": "string"})
    assert isinstance(Tables.read(study).runs, pd.DataFrame)
