"""Adding the runs of other results folders: what is taken, what is refused by name, and that nothing is half copied."""

import shutil
from pathlib import Path

import pytest

from factories import write_run
from gipo.errors import GipoError
from gipo.files import read_json, write_json
from gipo.runs.directory import RunDirectory
from gipo.runs.finished import FinishedRun
from gipo.runs.lock import locked
from gipo.runs.merge import merge
from gipo.tables import RUN_METRICS, read_table, write_table


def files(results: Path) -> dict[str, bytes]:
    return {str(path.relative_to(results)): path.read_bytes() for path in results.rglob("*") if path.is_file()}


def run_in(results: Path, **settings: int) -> RunDirectory:
    directory = RunDirectory(write_run(results / "runs", **settings))
    directory.policy.write_bytes(b"weights")
    return directory


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """Two finished runs, and one that has a spec and a checkpoint only."""
    for seed in range(3):
        run = run_in(tmp_path / "theirs", seed=seed)
    run.checkpoint.write_bytes(b"state")
    run.provenance.unlink()
    return tmp_path / "theirs"


def test_finished_runs_are_added_whole_and_unfinished_ones_are_not(theirs: Path, tmp_path: Path):
    ours = tmp_path / "ours"
    run_in(ours, seed=7)
    before, lines = files(ours), []
    added = {name: content for name, content in files(theirs).items() if "/seed2-" not in name}
    for run in map(RunDirectory, theirs.glob("runs/*/*/*/*")):  # how they were made is no result
        run.log.write_text("update 5/5\n")
        run.progress.write_text("{}")
    merge([theirs], ours, lines.append)
    assert files(ours) == before | added
    assert lines[0] == f"{theirs}: 2 of 2 finished runs are new here; 1 unfinished ones are left out"
    assert "2 of them were made by other code or another Python than today's" in lines[1]
    for path in sorted(ours.glob("runs/*/*/*/*")):
        FinishedRun.read(path).metrics()


def test_merging_twice_and_from_two_sources_changes_nothing_more(theirs: Path, tmp_path: Path):
    copy = shutil.copytree(theirs, tmp_path / "copy")
    merge([theirs, copy], tmp_path / "ours", lambda line: None)
    before = files(tmp_path / "ours")
    lines: list[str] = []
    merge([copy], tmp_path / "ours", lines.append)
    assert files(tmp_path / "ours") == before
    assert lines == [f"{copy}: 0 of 2 finished runs are new here; 1 unfinished ones are left out"]


def test_a_run_that_is_unfinished_here_is_finished_by_it(theirs: Path, tmp_path: Path):
    shutil.copytree(theirs, tmp_path / "ours")
    for run in (tmp_path / "ours").glob("runs/*/*/*/*"):
        RunDirectory(run).provenance.unlink(missing_ok=True)
        RunDirectory(run).metrics.unlink()
        RunDirectory(run).checkpoint.write_bytes(b"state")
    merge([theirs], tmp_path / "ours", lambda line: None)
    done = [RunDirectory(run) for run in sorted((tmp_path / "ours").glob("runs/*/*/*/*"))]
    assert [(run.finished, run.checkpoint.exists()) for run in done] == [(True, False), (True, False), (False, True)]


def change(run: Path, host: str) -> None:
    """Other results of the same run, made on another machine."""
    directory = RunDirectory(run)
    metrics = read_table(directory.metrics, RUN_METRICS)
    write_table(directory.metrics, metrics.assign(d95=metrics["d95"] + 1), RUN_METRICS)
    write_json(directory.provenance, read_json(directory.provenance) | {"host": host})


@pytest.mark.parametrize("between_sources", [False, True])
def test_different_results_of_one_run_are_refused_by_name_before_anything_is_copied(
    theirs: Path, tmp_path: Path, between_sources: bool
):
    other = shutil.copytree(theirs, tmp_path / "other")
    conflicting = next(other.glob("runs/*/*/*/seed1-*"))
    change(conflicting, "elsewhere")
    ours = tmp_path / "ours" if between_sources else other
    before = files(ours)
    with pytest.raises(GipoError) as caught:
        merge([theirs, other] if between_sources else [theirs], ours, lambda line: None)
    message = str(caught.value)
    assert "nothing was copied" in message
    assert str(conflicting.relative_to(other / "runs")) in message
    assert "made on elsewhere at" in message
    assert "made on host at" in message
    assert files(ours) == before


def test_a_damaged_run_is_refused_before_anything_is_copied(theirs: Path, tmp_path: Path):
    metrics = next(theirs.glob("runs/*/*/*/seed1-*/metrics.parquet"))
    metrics.write_bytes(metrics.read_bytes()[:-50])
    with pytest.raises(GipoError, match=f"{metrics} is truncated or corrupt"):
        merge([theirs], tmp_path / "ours", lambda line: None)
    assert not (tmp_path / "ours").exists()


def test_a_run_under_another_runs_name_is_refused(theirs: Path, tmp_path: Path):
    run = next(theirs.glob("runs/*/*/*/seed1-*"))
    shutil.move(run, run.parents[1] / "another" / run.name)
    with pytest.raises(GipoError, match="holds another run"):
        merge([theirs], tmp_path / "ours", lambda line: None)


def test_a_folder_without_runs_is_named(tmp_path: Path):
    with pytest.raises(GipoError, match=f"{tmp_path} has no runs; expected a results folder"):
        merge([tmp_path], tmp_path / "ours", lambda line: None)


def test_a_run_that_is_being_trained_here_is_not_overwritten(theirs: Path, tmp_path: Path):
    run = next(theirs.glob("runs/*/*/*/seed0-*"))
    with locked(tmp_path / "ours" / run.relative_to(theirs)), pytest.raises(GipoError, match="is in use by"):
        merge([theirs], tmp_path / "ours", lambda line: None)
