"""Adding the runs of other results folders: what is taken, what is refused by name, and that nothing is half copied."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from factories import write_manifest, write_run
from gipo.analysis.replicas import compare
from gipo.errors import GipoError
from gipo.files import read_json, write_json
from gipo.manifest import Manifest
from gipo.runs.directory import RunDirectory
from gipo.runs.finished import FinishedRun
from gipo.runs.lock import locked
from gipo.runs.manifest import RunManifest
from gipo.runs.merge import merge
from gipo.study import Study
from gipo.tables import RUN_EVALUATION, RUN_METRICS, read_table, write_table
from small_study import STUDY


def files(results: Path) -> dict[str, bytes]:
    return {str(path.relative_to(results)): path.read_bytes() for path in results.rglob("*") if path.is_file()}


def run_in(results: Path, **settings: int) -> RunDirectory:
    return RunDirectory(write_run(results / "runs", **settings))


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """Two finished runs, and one that has a spec and a checkpoint only."""
    for seed in range(3):
        run = run_in(tmp_path / "theirs", seed=seed)
    run.checkpoint.write_bytes(b"state")
    run.manifest.unlink()
    return tmp_path / "theirs"


def one(results: Path, seed: int = 1) -> RunDirectory:
    return RunDirectory(next(results.glob(f"runs/*/*/*/seed{seed}-*")))


def rewrite(run: RunDirectory, **changes: object) -> None:
    """A manifest with other content that is whole in itself."""
    manifest = RunManifest.read(run.manifest)
    RunManifest.model_validate(manifest.model_dump() | changes).write(run.manifest)


def change(run: RunDirectory, numeric_class: str = "made up", returns: float = 0.0) -> None:
    """Other results of the same run, whole in themselves."""
    spec = run.read_spec()
    metrics = read_table(run.metrics, RUN_METRICS)
    write_table(run.metrics, metrics.assign(d95=metrics["d95"] + 1), RUN_METRICS)
    episodes = read_table(run.evaluation, RUN_EVALUATION)
    write_table(run.evaluation, episodes.assign(**{"return": episodes["return"] + returns}), RUN_EVALUATION)
    write_manifest(run.path, spec, [numeric_class])


def test_finished_runs_are_added_whole_and_unfinished_ones_are_not(theirs: Path, tmp_path: Path):
    ours = tmp_path / "ours"
    run_in(ours, seed=7)
    before, lines = files(ours), []
    added = {name: content for name, content in files(theirs).items() if "/seed2-" not in name}
    for run in map(RunDirectory, theirs.glob("runs/*/*/*/*")):  # how they were made is no result
        run.log.write_text("update 5/5\n")
        run.progress.write_text("{}")
        shutil.copytree(run.path, run.kept)
    merge([theirs], ours, lines.append)
    twice = {f"{Path(name).parent}/kept/{Path(name).name}": content for name, content in added.items()}
    assert files(ours) == before | added | twice
    assert lines == [
        f"{theirs}: 2 of 2 finished runs are new here, 0 are new replicas; left out are 1 unfinished runs and 0 files "
        "that belong to no run"
    ]
    for path in sorted(ours.glob("runs/*/*/*/*")):
        FinishedRun.read(path).check()


def test_merging_twice_and_from_two_sources_changes_nothing_more(theirs: Path, tmp_path: Path):
    copy = shutil.copytree(theirs, tmp_path / "copy")
    merge([theirs, copy], tmp_path / "ours", lambda line: None)
    before = files(tmp_path / "ours")
    lines: list[str] = []
    merge([copy], tmp_path / "ours", lines.append)
    assert files(tmp_path / "ours") == before
    assert "0 of 2 finished runs are new here, 0 are new replicas" in lines[0]


def test_a_run_that_is_unfinished_here_is_finished_by_it(theirs: Path, tmp_path: Path):
    shutil.copytree(theirs, tmp_path / "ours")
    for run in (tmp_path / "ours").glob("runs/*/*/*/*"):
        RunDirectory(run).manifest.unlink(missing_ok=True)
        RunDirectory(run).metrics.unlink()
        RunDirectory(run).checkpoint.write_bytes(b"state")
    merge([theirs], tmp_path / "ours", lambda line: None)
    done = [RunDirectory(run) for run in sorted((tmp_path / "ours").glob("runs/*/*/*/*"))]
    assert [(run.finished, run.checkpoint.exists()) for run in done] == [(True, False), (True, False), (False, True)]


@pytest.mark.parametrize("between_sources", [False, True])
def test_different_results_of_one_class_are_refused_by_name_before_anything_is_copied(
    theirs: Path, tmp_path: Path, between_sources: bool
):
    other = shutil.copytree(theirs, tmp_path / "other")
    conflicting = one(other)
    change(conflicting)
    ours = tmp_path / "ours" if between_sources else other
    before = files(ours)
    with pytest.raises(GipoError) as caught:
        merge([theirs, other] if between_sources else [theirs], ours, lambda line: None)
    message = str(caught.value)
    assert "nothing was copied" in message
    assert str(conflicting.path.relative_to(other / "runs")) in message
    assert message.count("made on host at") == 2
    assert files(ours) == before


@pytest.mark.parametrize("between_sources", [False, True])
def test_different_results_of_two_classes_are_kept_side_by_side(theirs: Path, tmp_path: Path, between_sources: bool):
    other = shutil.copytree(theirs, tmp_path / "other")
    change(one(other), numeric_class="another CPU", returns=30.0)
    sources, ours = ([theirs, other], tmp_path / "ours") if between_sources else ([other], theirs)
    lines: list[str] = []
    for _ in range(2):
        merge(sources, ours, lines.append)
    assert one(ours).metrics.read_bytes() == one(theirs).metrics.read_bytes() != one(other).metrics.read_bytes()
    (replica,) = (path.parent for path in ours.glob("replicas/*/*/*/*/*/manifest.json"))
    assert files(replica) == files(one(other).path)
    assert [("1 are new replicas" in line) for line in lines if str(other) in line] == [True, False]
    (line,) = compare(ours)
    assert line.startswith("metaworld: 1 runs have replicas; final returns differ by 30 between replica and result")
    assert "those of two seeds by" in line


def test_the_same_bytes_of_two_classes_are_one_result(theirs: Path, tmp_path: Path):
    other = shutil.copytree(theirs, tmp_path / "other")
    rewrite(one(other), attempts=[RunManifest.read(one(other).manifest).attempts[0].model_dump() | {"host": "b"}])
    merge([theirs, other], tmp_path / "ours", lambda line: None)
    assert not (tmp_path / "ours" / "replicas").exists()


def damage(run: RunDirectory) -> None:
    run.metrics.write_bytes(run.metrics.read_bytes()[:-50])


def flip(run: RunDirectory) -> None:
    content = bytearray(run.policy.read_bytes())
    content[3] ^= 1
    run.policy.write_bytes(content)


def link(run: RunDirectory) -> None:
    secret = run.path.parents[5] / "secret"
    shutil.copy(run.policy, secret)
    run.policy.unlink()
    run.policy.symlink_to(secret)


def link_manifest(run: RunDirectory) -> None:
    run.manifest.rename(run.path.parents[5] / "elsewhere.json")
    run.manifest.symlink_to(run.path.parents[5] / "elsewhere.json")


def pipe(run: RunDirectory) -> None:
    run.evaluation.unlink()
    os.mkfifo(run.evaluation)


def name_more(run: RunDirectory) -> None:
    (run.path / "more.sh").write_text("true")
    names = [path.name for path in run.results]
    rewrite(run, files=Manifest.facts(run.path, [*names, "more.sh"]))


def swell(run: RunDirectory) -> None:
    with run.manifest.open("ab") as file:
        file.write(b" " * 2_000_000)


def age(run: RunDirectory) -> None:
    write_json(run.provenance, read_json(run.provenance) | {"code_digest": "0" * 64})
    rewrite(run, code_digest="0" * 64, files=Manifest.facts(run.path, [path.name for path in run.results]))


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (damage, "metrics.parquet is a file of .* bytes, its manifest says"),
        (flip, "policy.pt was changed"),
        (link, "policy.pt is no file"),
        (link_manifest, "manifest.json is no manifest"),
        (pipe, "evaluation.parquet is no file"),
        (name_more, "names more.sh, which is no result of a run"),
        (swell, "manifest.json is no manifest"),
        (age, "seed1-.* was made by other code than today's, of commit 0123456789ab.*trains? it again"),
    ],
)
def test_a_run_that_is_not_as_it_was_made_is_refused_before_anything_is_copied(
    theirs: Path, tmp_path: Path, what, says: str
):
    what(one(theirs))
    with pytest.raises(GipoError, match=says):
        merge([theirs], tmp_path / "ours", lambda line: None)
    assert not (tmp_path / "ours").exists()


def test_only_what_belongs_to_a_run_is_copied_and_the_rest_is_counted(theirs: Path, tmp_path: Path):
    clean = tmp_path / "clean"
    merge([theirs], clean, lambda line: None)
    run = one(theirs)
    (run.path / "notes.txt").write_text("mine")
    (run.path / ".metrics.77.parquet").write_text("half a file")
    (run.path / "data").mkdir()
    (run.path / "link").symlink_to(tmp_path)
    (run.path.parent / "linked").symlink_to(run.path)
    (theirs / "runs" / "README").write_text("")
    lines: list[str] = []
    merge([theirs], tmp_path / "ours", lines.append)
    assert files(tmp_path / "ours") == files(clean)
    assert "6 files that belong to no run" in lines[0]


def test_a_file_that_changes_while_it_is_copied_leaves_no_finished_run(
    theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    original = FinishedRun.check

    def changed_afterwards(run: FinishedRun) -> None:
        original(run)
        run.directory.policy.write_bytes(b"other weights")

    monkeypatch.setattr(FinishedRun, "check", changed_afterwards)
    with pytest.raises(GipoError, match=r"policy\.pt has changed while it was copied"):
        merge([theirs], tmp_path / "ours", lambda line: None)
    assert not list((tmp_path / "ours").rglob("manifest.json"))
    assert not list((tmp_path / "ours").rglob("*policy*"))


def test_a_run_under_another_runs_name_is_refused(theirs: Path, tmp_path: Path):
    run = one(theirs).path
    shutil.move(run, run.parents[1] / "another" / run.name)
    with pytest.raises(GipoError, match="holds another run"):
        merge([theirs], tmp_path / "ours", lambda line: None)


def test_a_folder_without_runs_is_named(tmp_path: Path):
    with pytest.raises(GipoError, match=f"{tmp_path} has no runs; expected a results folder"):
        merge([tmp_path], tmp_path / "ours", lambda line: None)


def test_a_run_that_is_being_trained_here_is_not_overwritten(theirs: Path, tmp_path: Path):
    run = one(theirs, 0).path
    with locked(tmp_path / "ours" / run.relative_to(theirs)), pytest.raises(GipoError, match="is in use by"):
        merge([theirs], tmp_path / "ours", lambda line: None)


@pytest.mark.slow
def test_real_runs_under_two_settings_of_the_libraries_are_replicas(tmp_path: Path):
    study = STUDY | {"seeds": [1], "regimes": {"stale": 0.874}, "network": {"hidden": 64, "value_hidden": 32}}
    (tmp_path / "study.json").write_text(json.dumps(study))
    spec = Study.load(tmp_path / "study.json").runs()[0]
    command = [sys.executable, "-m", "gipo", "train", tmp_path / "study.json"]
    named = [f"--{key}={getattr(spec, key)}" for key in ("task", "regime", "method", "seed")]
    environment = {name: value for name, value in os.environ.items() if name not in ("MKL_CBWR", "ATEN_CPU_CAPABILITY")}
    for folder, variables in (
        ("first", {}),
        ("again", {}),
        ("other", {"MKL_CBWR": "COMPATIBLE", "ATEN_CPU_CAPABILITY": "default"}),
    ):
        subprocess.run(
            [*command, tmp_path / folder / "runs" / spec.run_id, *named], env=environment | variables, check=True
        )
    ours, lines = tmp_path / "ours", []
    merge([tmp_path / name for name in ("first", "again", "other")], ours, lines.append)
    assert [f"{new} are new replicas" in line for new, line in zip((0, 0, 1), lines, strict=True)] == [True] * 3
    (replica,) = (FinishedRun.read(path.parent) for path in ours.glob("replicas/*/*/*/*/*/manifest.json"))
    (name,) = replica.manifest.numeric_classes
    assert "MKL_CBWR=COMPATIBLE" in name
    assert "metaworld: 1 runs have replicas" in next(compare(ours))
