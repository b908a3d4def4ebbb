"""Every byte of a study accounted for: each kind of damage is one problem, named, with what mends it."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from checkout import ROOT
from damage import cut, empty, flip
from factories import write_manifest
from gipo.cli import cli
from gipo.files import temporary, write_json
from gipo.processes import Mark
from gipo.recovery import recover
from gipo.runs.directory import RunDirectory
from gipo.runs.lock import Holder, locked
from gipo.runs.manifest import Receipt, RunManifest
from gipo.scale import Scale, config
from gipo.stages import StudyFolder
from gipo.verify import RECEIPT, Problem, verify
from whole_study import write_whole

SMOKE = Scale.load(config("smoke"))
RUN = next(iter(SMOKE.runs))
SAME = "`make reproduce SCALE=smoke` makes it again"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a finished study; not to be changed."""
    results = tmp_path_factory.mktemp("whole") / "results"
    write_whole(SMOKE, results)
    return results


@pytest.fixture
def results(whole: Path, tmp_path: Path) -> Path:
    """A copy of them. Its files are as old as their manifests, as copies are not."""
    copy = shutil.copytree(whole, tmp_path / "results")
    for manifest in sorted(copy.rglob("manifest.json")) + sorted(copy.rglob("manifests/**/*.json")):
        manifest.chmod(0o644)
    return copy


def problems(results: Path) -> list[Problem]:
    return verify(SMOKE, results / "smoke").problems


def test_a_whole_study_has_no_problem_and_is_counted(results: Path):
    verdict = verify(SMOKE, results / "smoke")
    assert verdict.problems == []
    assert (verdict.runs, verdict.finished, verdict.in_use, verdict.elsewhere) == (len(SMOKE.runs),) * 2 + (0, 0)
    assert verdict.stages == verdict.made == 6 + 3 + len(SMOKE.figures()["smoke"]) + 1
    manifests = [json.loads(path.read_bytes()) for path in results.rglob("*.json") if "manifest" in str(path)]
    assert verdict.files == sum(len(manifest["files"]) for manifest in manifests)
    assert verdict.size == sum(facts["size"] for manifest in manifests for facts in manifest["files"].values())


@pytest.mark.parametrize("damage", [flip, Path.unlink])
@pytest.mark.parametrize(
    "name",
    [
        *(f"runs/{RUN}/{name}" for name in ("spec.json", "metrics.parquet", "evaluation.parquet", "policy.pt")),
        *(f"runs/{RUN}/{name}" for name in ("provenance.json", "kept/policy.pt", "kept/manifest.json")),
        *(f"smoke/{name}" for name in ("tables/runs.parquet", "sweeps/lag/metrics.parquet", "weights.csv")),
        *(f"smoke/{name}" for name in ("gridworld/family.csv", "scorecard.csv", "figures/fig4.svg", "report.html")),
        f"baselines/{SMOKE.baseline('door-open-v3').baseline_id}/episodes.parquet",
    ],
)
def test_a_damaged_file_is_named_with_the_remedy_and_recovery_leaves_nothing_damaged(
    results: Path, name: str, damage: Callable[[Path], None]
):
    damage(results / name)
    (problem,) = problems(results)
    assert problem.path in (results / name, (results / name).parent)
    assert problem.remedy == SAME
    lines: list[str] = []
    recover(SMOKE, results / "smoke", lines.append, dry=False)
    assert str(problem.path) in lines[0]
    assert len(lines) == 2
    left = [path for path in problems(results) if "stands in no manifest" not in path.problem]
    assert left == []


@pytest.mark.parametrize("damage", [cut, empty])
@pytest.mark.parametrize(
    "name",
    [
        f"runs/{RUN}/manifest.json",
        f"baselines/{SMOKE.baseline('door-open-v3').baseline_id}/manifest.json",
        *(f"smoke/manifests/{stage}.json" for stage in ("tables", "sweeps/lag", "figures/fig4", "report")),
    ],
)
def test_a_damaged_manifest_is_named(results: Path, name: str, damage: Callable[[Path], None]):
    damage(results / name)
    found = [problem for problem in problems(results) if name in str(problem) or str(Path(name).parent) in str(problem)]
    assert found
    assert found[0].remedy == SAME


def test_a_run_comes_back_from_its_kept_copy(results: Path):
    run = RunDirectory(results / "runs" / RUN)
    before = {path: path.read_bytes() for path in (*run.results, run.manifest)}
    flip(run.metrics)
    run.policy.unlink()
    recover(SMOKE, results / "smoke", print, dry=False)
    assert {path: path.read_bytes() for path in before} == before
    assert problems(results) == []


def test_a_run_whose_results_are_all_gone_comes_back_from_its_kept_copy(results: Path):
    """Snakemake removes the outputs of a job that fails, and of the others of its group."""
    run = RunDirectory(results / "runs" / RUN)
    before = {path: path.read_bytes() for path in (*run.results, run.manifest)}
    for path in before:
        path.unlink()
    (problem,) = problems(results)
    assert "has lost its results, of which there is a copy" in str(problem)
    recover(SMOKE, results / "smoke", print, dry=False)
    assert {path: path.read_bytes() for path in before} == before


def test_a_run_that_is_damaged_twice_is_unfinished_after_recovery(results: Path):
    run = RunDirectory(results / "runs" / RUN)
    flip(run.metrics)
    flip(run.kept / run.metrics.name)
    lines: list[str] = []
    recover(SMOKE, results / "smoke", lines.append, dry=False)
    assert lines[-1] == "runs to be trained again: 1"
    verdict = verify(SMOKE, results / "smoke")
    assert verdict.finished == verdict.runs - 1
    recover(SMOKE, results / "smoke", lines.append, dry=False)
    assert not run.finished


@pytest.mark.parametrize("name", ["policy.pt", "manifest.json", "kept/provenance.json", "kept/manifest.json"])
def test_a_folder_where_a_file_belongs_is_moved_aside(results: Path, name: str):
    path = results / "runs" / RUN / name
    before = path.read_bytes()
    path.unlink()
    path.mkdir()
    (path / "mine.txt").write_text("mine")
    recover(SMOKE, results / "smoke", print, dry=False)
    assert path.read_bytes() == before
    (aside,) = path.parent.glob(f"{path.name}.folder-*")
    assert (aside / "mine.txt").read_text() == "mine"


def test_a_folder_where_the_manifest_of_reference_policies_belongs_is_moved_aside(results: Path):
    path = next(results.glob("baselines/*/manifest.json"))
    path.unlink()
    path.mkdir()
    recover(SMOKE, results / "smoke", print, dry=False)
    assert not path.exists()  # so that the workflow makes it


def test_a_kept_copy_that_is_gone_is_made_again(results: Path):
    run = RunDirectory(results / "runs" / RUN)
    shutil.rmtree(run.kept)
    assert [problem.path for problem in problems(results)] == [run.kept / "manifest.json"]
    recover(SMOKE, results / "smoke", print, dry=False)
    assert problems(results) == []


def test_a_flip_that_changed_no_time_is_found_by_verify_and_mended_after_it(results: Path):
    """A disk that loses a bit changes no time; the workflow's start reads only what was changed after its manifest."""
    path = results / "runs" / RUN / "policy.pt"
    flip(path)
    (path.parent / "manifest.json").chmod(0o644)  # so that it is the later one, by the file system's clock
    lines: list[str] = []
    recover(SMOKE, results / "smoke", lines.append, dry=False)
    assert lines == []
    (problem,) = problems(results)
    assert (problem.path, problem.remedy) == (path, SAME)
    recover(SMOKE, results / "smoke", lines.append, dry=False)
    assert problems(results) == []


def test_runs_that_changed_places_are_named(results: Path):
    one, other = (RunDirectory(results / "runs" / name) for name in list(SMOKE.runs)[:2])
    for name in ("metrics.parquet", "manifest.json"):
        kept = (one.path / name).read_bytes()
        shutil.copy(other.path / name, one.path / name)
        (other.path / name).write_bytes(kept)
    assert {problem.path.parent for problem in problems(results)} >= {one.path, other.path}
    recover(SMOKE, results / "smoke", print, dry=False)
    assert problems(results) == []


def test_numbers_that_no_training_writes_are_named_though_the_manifest_agrees(results: Path):
    run = RunDirectory(results / "runs" / RUN)
    shutil.copy(run.evaluation, run.metrics)
    write_manifest(run.path, SMOKE.runs[RUN])
    found = [problem for problem in problems(results) if problem.path == run.path]
    assert "is not as training leaves it" in found[0].problem


def test_a_stage_that_was_made_from_others_is_stale(results: Path):
    folder = StudyFolder(results / "smoke")
    folder.write_stage("weights", {"weights.csv": b"ratio\n2\n"})
    (problem,) = problems(results)
    assert str(problem) == (
        f"{folder.manifest_path('figures/fig1')} was made from another weights than the one that is here: {SAME}"
    )
    recover(SMOKE, results / "smoke", print, dry=False)
    assert not folder.manifest_path("figures/fig1").exists()
    assert folder.manifest_path("weights").exists()


def test_tables_of_another_grid_are_named(results: Path):
    folder = StudyFolder(results / "smoke")
    inputs = folder.manifest_of("sweeps/lag").inputs
    files = {f"tables/{name}": (folder.path / "sweeps/lag" / name).read_bytes() for name in ("runs.parquet",)}
    folder.write_stage("tables", files, inputs)
    found = [problem.problem for problem in problems(results) if problem.path == folder.manifest_path("tables")]
    assert found == ["was made from other runs than those of this study"]


def test_tables_of_a_run_that_was_trained_again_are_stale(results: Path):
    run = RunDirectory(results / "runs" / RUN)
    write_manifest(run.path, SMOKE.runs[RUN], ["another class"])
    found = {str(problem.path.relative_to(results)): problem.problem for problem in problems(results)}
    assert f"was made from another {RUN} than what is here" in found["smoke/manifests/tables.json"]
    assert "no whole copy" in found[f"runs/{RUN}/kept/manifest.json"]


def test_results_of_other_code_are_named_with_their_commit(results: Path):
    run = RunDirectory(results / "runs" / RUN)
    manifest = RunManifest.read(run.manifest).model_copy(update={"code_digest": "0" * 64})
    manifest.write(run.manifest)
    found = [problem for problem in problems(results) if problem.path == run.path]
    assert "made by other code than today's, of commit 0123456789ab" in found[0].problem


def test_strangers_are_named_and_left_alone(results: Path):
    strangers = [
        results / name
        for name in (f"runs/{RUN}/notes.txt", f"runs/{RUN}/kept/x", "smoke/x.csv", "smoke/tables/runs.parquet.bak")
    ]
    for path in strangers:
        path.write_text("mine")
    found = problems(results)
    assert sorted(problem.path for problem in found) == sorted(strangers)
    assert {problem.remedy for problem in found} == {"move it elsewhere or delete it"}
    recover(SMOKE, results / "smoke", print, dry=False)
    assert all(path.exists() for path in strangers)


@pytest.mark.parametrize("folder", ["", f"runs/{RUN}", f"runs/{RUN}/kept", "smoke", "smoke/tables"])
def test_temporary_files_of_killed_processes_are_named_and_removed(results: Path, folder: str):
    living = temporary(results / folder / "a.json")
    dead = results / folder / f".a.{replace(Mark.own(), started='1')}.json"
    for path in (living, dead):
        path.touch()
    assert [problem.path for problem in problems(results)] == [dead]
    recover(SMOKE, results / "smoke", print, dry=False)
    assert living.exists()
    assert problems(results) == []


def test_the_lock_of_a_killed_process_is_named_and_broken(results: Path):
    lock = results / "runs" / RUN / "run.lock"
    write_json(lock, asdict(replace(Holder.this(), started="1")))
    (problem,) = problems(results)
    assert problem.path == lock
    recover(SMOKE, results / "smoke", print, dry=False)
    assert not lock.exists()


def test_a_run_that_a_process_works_on_is_left_alone(results: Path):
    run = RunDirectory(results / "runs" / RUN)
    with locked(run.path):
        flip(run.metrics)
        flip(run.kept / run.metrics.name)
        verdict = verify(SMOKE, results / "smoke")
        assert (verdict.in_use, verdict.problems) == (1, [])
        recover(SMOKE, results / "smoke", print, dry=False)
        assert run.manifest.exists()


def test_a_dry_run_only_tells(results: Path):
    flip(results / "runs" / RUN / "metrics.parquet")
    flip(results / "smoke" / "report.html")
    before = {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}
    lines: list[str] = []
    recover(SMOKE, results / "smoke", lines.append, dry=True)
    assert len(lines) == 3
    assert {path: path.read_bytes() for path in results.rglob("*") if path.is_file()} == before


def test_of_many_problems_a_few_are_named(results: Path):
    for name in SMOKE.runs:
        flip(results / "runs" / name / "metrics.parquet")
    lines: list[str] = []
    recover(SMOKE, results / "smoke", lines.append, dry=False)
    assert len(lines) == 7
    assert lines[5] == f"and {len(SMOKE.runs) - 5} problems more; `gipo verify smoke` names all"
    assert lines[6] == f"runs restored from their kept copies: {len(SMOKE.runs)}"
    assert problems(results) == []


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def of_others(path: Path) -> None:
    Receipt(files={}, runs=[RUN]).write(path)


@pytest.mark.parametrize("damage", [flip, cut, empty, a_folder, of_others])
def test_a_damaged_receipt_of_recorded_runs_goes_so_that_they_are_recorded_again(
    results: Path, damage: Callable[[Path], None]
):
    receipt = results / "smoke" / RECEIPT
    damage(receipt)
    assert [problem.path for problem in problems(results)] == [receipt]
    recover(SMOKE, results / "smoke", lambda line: None, dry=False)
    assert not receipt.exists()


def test_an_unfinished_study_is_counted_and_no_problem(results: Path):
    shutil.rmtree(results / "runs" / RUN)
    shutil.rmtree(results / "smoke")
    (results / "smoke").mkdir()
    verdict = verify(SMOKE, results / "smoke")
    assert (verdict.finished, verdict.made, verdict.problems) == (len(SMOKE.runs) - 1, 0, [])


def test_a_published_study_is_checked_without_its_runs(whole: Path, tmp_path: Path):
    published = Path(shutil.copytree(whole / "smoke", tmp_path / "reports" / "smoke"))
    (published / "tracked.json").unlink()
    verdict = verify(SMOKE, published)
    assert (verdict.runs, verdict.problems) == (0, [])
    assert verdict.elsewhere > len(SMOKE.runs)
    flip(published / "scorecard.csv")
    (published / "manifests" / "weights.json").unlink()
    found = {problem.path.name: problem.remedy for problem in verify(SMOKE, published).problems}
    assert set(found) == {"scorecard.csv", "weights.json", "weights.csv"}
    assert set(found.values()) == {"git checkout -- reports/smoke brings it back"}


@pytest.mark.parametrize("name", sorted(path.parent.name for path in ROOT.glob("reports/*/manifests")))
def test_the_studies_that_are_published_here_are_as_they_were_made(name: str):
    assert verify(Scale.load(config(name)), ROOT / "reports" / name).problems == []


def test_a_scale_of_several_is_checked_in_all_its_folders(results: Path, tmp_path: Path):
    (tmp_path / "configs").mkdir()
    shutil.copy(config("smoke"), tmp_path / "configs")
    (tmp_path / "configs" / "both.yaml").write_text("title: Both\nscales: [smoke]\n")
    both = Scale.load(tmp_path / "configs" / "both.yaml")
    write_whole(both, tmp_path / "made" / "results")
    folder = tmp_path / "made" / "results"
    assert verify(both, folder / "both").problems == []
    flip(folder / "smoke" / "weights.csv")
    flip(folder / "both" / "report.html")
    assert {problem.path.name for problem in verify(both, folder / "both").problems} == {"weights.csv", "report.html"}


def call(results: Path, *arguments: str) -> tuple[int, str]:
    before = Path.cwd()
    os.chdir(results.parent)
    try:
        done = CliRunner().invoke(cli, ["verify", *arguments])
    finally:
        os.chdir(before)
    return done.exit_code, done.output


def test_the_command_says_how_much_of_a_study_is_as_published(tmp_path: Path):
    copy = tmp_path / "copy"
    shutil.copytree(ROOT / "reports" / "laptop", copy / "laptop")
    assert "published" not in call(copy, "copy/laptop")[1]
    (tmp_path / "reports").symlink_to(ROOT / "reports")
    code, said = call(copy, "copy/laptop")
    assert code == 0
    assert re.search(r"\n(\d\d) of \1 tables equal the published ones in reports/laptop bit for bit\n$", said)


def test_the_command_prints_a_line_for_each_problem_and_fails(results: Path):
    code, said = call(results, "smoke")
    assert code == 0
    assert said.startswith("results/smoke: 15 of 15 runs and ")
    flip(results / "smoke" / "weights.csv")
    code, said = call(results, "results/smoke")
    assert code == 1
    assert said.splitlines()[0].startswith("results/smoke/weights.csv was changed")
    assert len(said.splitlines()) == 2


def test_the_command_gives_counts_and_problems_as_json(results: Path):
    flip(results / "smoke" / "weights.csv")
    code, said = call(results, "smoke", "--json")
    content = json.loads(said)
    assert code == 1
    assert content["finished"] == content["runs"] == 15
    (problem,) = content["problems"]
    assert problem["path"] == "results/smoke/weights.csv"
    assert set(problem) == {"path", "problem", "remedy"}
    assert problem["remedy"] == SAME


def test_a_scale_that_never_ran_is_one_clear_line(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "gipo", "verify", "paper"], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "error: results/paper is no folder: give a scale that ran here, or where its results are\n"
