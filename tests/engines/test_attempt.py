"""Starting a run again mends it, or makes it anew; nothing that is finished is trained twice or lost."""

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from damage import cut, flip
from factories import evaluation, make_spec, metrics, write_results
from gipo.engines import attempt as module
from gipo.engines.attempt import attempt
from gipo.errors import GipoError
from gipo.files import read_json
from gipo.runs import checkpoint
from gipo.runs.directory import RunDirectory
from gipo.runs.finished import FinishedRun
from gipo.runs.manifest import RunManifest

SPEC = make_spec("door-open-v3", "stale", "gipo-1-1", 0)
NAMES = ("spec.json", "metrics.parquet", "evaluation.parquet", "policy.pt", "provenance.json", "manifest.json")


class Run:
    """A run whose training writes made-up results at once."""

    def __init__(self, path: Path) -> None:
        self.path, self.directory = path, RunDirectory(path)
        self.trained = 0
        self.lines: list[str] = []

    def start(self, spec=SPEC) -> str:
        """One attempt; what it said."""

        def work(directory, origin, tell):
            assert not directory.finished
            self.trained += 1
            rng = np.random.default_rng(0)
            write_results(directory.path, spec, metrics(spec, rng), evaluation(spec, 0.5, rng))

        self.lines.clear()
        attempt(spec, self.path, work, self.lines.append)
        return "\n".join(self.lines)

    def content(self, folder: str = ".") -> dict[str, bytes]:
        return {name: (self.path / folder / name).read_bytes() for name in NAMES}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = Run(tmp_path / SPEC.run_id)
    made.start()
    assert made.trained == 1
    return made


def test_a_folder_in_the_place_of_a_checkpoint_is_named(run: Run):
    run.directory.checkpoint.mkdir()
    with pytest.raises(GipoError, match=r"checkpoint\.pt is a folder, where a file of the run belongs: delete it"):
        run.start()


DAMAGE = (Path.unlink, flip, cut)


def test_a_finished_run_is_left_alone_and_its_copy_shares_no_file_with_it(run: Run):
    before = run.content()
    assert before == run.content("kept")
    assert not any((run.path / name).samefile(run.directory.kept / name) for name in NAMES)
    assert run.start() == f"{SPEC.run_id} is finished already"
    assert (run.trained, run.content()) == (1, before)


@pytest.mark.parametrize(("name", "damage"), itertools.product(NAMES, DAMAGE))
def test_a_damaged_or_missing_file_is_put_back_without_training(run: Run, name: str, damage: Callable[[Path], None]):
    before = run.content()
    damage(run.path / name)
    assert name in run.start()
    assert (run.trained, run.content(), run.content("kept")) == (1, before, before)
    assert run.start() == f"{SPEC.run_id} is finished already"


@pytest.mark.parametrize(("name", "damage"), itertools.product(NAMES, DAMAGE))
def test_a_damaged_or_missing_kept_file_is_copied_again(run: Run, name: str, damage: Callable[[Path], None]):
    before = run.content()
    damage(run.directory.kept / name)
    run.start()
    assert (run.trained, run.content(), run.content("kept")) == (1, before, before)


def test_results_that_were_taken_away_are_put_back_without_training(run: Run):
    before = run.content()
    for name in NAMES:  # as Snakemake does to every member of a failed group
        (run.path / name).unlink()
    assert "was finished by this code before; its results are back in place" in run.start()
    assert (run.trained, run.content()) == (1, before)


def test_a_lost_copy_is_made_again(run: Run):
    before = run.content()
    shutil.rmtree(run.directory.kept)
    run.start()
    assert (run.trained, run.content("kept")) == (1, before)


def test_what_is_damaged_in_one_place_comes_from_the_other(run: Run):
    before = run.content()
    flip(run.path / "metrics.parquet")
    flip(run.directory.kept / "policy.pt")
    run.start()
    assert (run.trained, run.content(), run.content("kept")) == (1, before, before)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_damaged_in_both_places_is_named_and_the_run_made_anew(run: Run, name: str):
    before = run.content()
    for folder in (run.path, run.directory.kept):
        flip(folder / name)
    assert name in run.start()
    assert (run.trained, run.content(), run.content("kept")) == (2, before, before)
    assert run.start() == f"{SPEC.run_id} is finished already"


def test_an_unfinished_run_whose_spec_is_damaged_goes_on(run: Run, tmp_path: Path):
    path = tmp_path / "again" / SPEC.run_id
    path.mkdir(parents=True)
    (path / "spec.json").write_bytes(run.content()["spec.json"].replace(b'"seed": 0', b'"seed": 4'))
    checkpoint.save(path / "checkpoint.pt", checkpoint.owner(SPEC, module.code_of(SPEC)))
    found = []

    def work(directory, origin, tell):
        found.append(module.unfinished(SPEC, directory, origin.code_digest, tell))
        raise GipoError("enough")

    with pytest.raises(GipoError, match="enough"):
        attempt(SPEC, path, work, lambda line: None)
    assert found[0]["run_id"] == SPEC.run_id
    assert read_json(path / "spec.json")["seed"] == 0


def test_results_of_other_code_are_made_anew_and_the_older_copy_stays_until_then(
    run: Run, monkeypatch: pytest.MonkeyPatch
):
    before = run.content()
    monkeypatch.setattr(module, "code_of", lambda spec: "0" * 64)
    monkeypatch.setattr("factories.code_of", lambda spec: "0" * 64)

    def work(directory, origin, tell):
        assert run.content("kept") == before
        raise GipoError("killed")

    with pytest.raises(GipoError, match="killed"):
        attempt(SPEC, run.path, work, run.lines.append)
    assert "holds results of other code than today's" in run.lines[-1]
    run.start()
    assert run.trained == 2
    assert RunManifest.read(run.directory.kept / "manifest.json").code_digest == "0" * 64
    monkeypatch.undo()
    run.start()
    assert run.trained == 3


def test_results_of_another_run_are_neither_used_nor_removed(run: Run, tmp_path: Path):
    other = make_spec("door-open-v3", "stale", "gipo-1-1", 1)
    for path in (run.path, tmp_path / "mine"):
        theirs = Run(path if path.exists() else shutil.copytree(run.path, path))
        before = theirs.content()
        with pytest.raises(GipoError, match=f"holds another run, {SPEC.run_id}, not {other.run_id}; choose another"):
            theirs.start(other)
        assert (theirs.trained, theirs.content()) == (0, before)


def test_an_unfinished_run_of_another_spec_is_not_touched(run: Run, tmp_path: Path):
    path = tmp_path / "mine"
    path.mkdir()
    shutil.copyfile(run.path / "spec.json", path / "spec.json")
    with pytest.raises(GipoError, match="holds another run"):
        Run(path).start(make_spec("door-open-v3", "stale", "gipo-1-1", 1))
    assert (path / "spec.json").read_bytes() == run.content()["spec.json"]


def test_a_kept_copy_of_another_run_is_not_put_back(run: Run, tmp_path: Path):
    other = Run(tmp_path / make_spec("door-open-v3", "stale", "gipo-1-1", 1).run_id)
    other.start(make_spec("door-open-v3", "stale", "gipo-1-1", 1))
    before = run.content()
    shutil.rmtree(run.directory.kept)
    shutil.copytree(other.directory.kept, run.directory.kept)
    for name in NAMES:
        (run.path / name).unlink()
    assert "holds the results of another run" in run.start()
    assert (run.trained, run.content(), run.content("kept")) == (2, before, before)


def test_a_killed_keeping_or_restoring_is_completed(run: Run, monkeypatch: pytest.MonkeyPatch):
    """At each file that is replaced, in turn."""
    before = run.content()
    original = Path.replace
    for folder, left in itertools.product(("kept", "."), range(len(NAMES))):
        for name in NAMES:
            (run.path / folder / name).unlink()
        count = itertools.count()

        def replace(self: Path, target: Path, count=count, left=left) -> Path:
            if target.parent in (run.path, run.directory.kept) and target.name in NAMES and next(count) == left:
                raise KeyboardInterrupt
            return original(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", replace)
            with pytest.raises(KeyboardInterrupt):
                run.start()
        run.start()
        assert (run.trained, run.content(), run.content("kept")) == (1, before, before)
        FinishedRun.read(run.path).check()


@pytest.mark.parametrize("content", [b"", b"x", b"x" * 100, None])
def test_a_checkpoint_that_is_none_is_refused_with_a_way_out(tmp_path: Path, content: bytes | None):
    path = tmp_path / "checkpoint.pt"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(GipoError, match=rf"checkpoint {path}.*; delete it to start this run again"):
        module.unfinished(SPEC, RunDirectory(tmp_path), "0" * 64, lambda line: None)


@pytest.mark.parametrize("state", [{}, [], 7, {"code_digest": "0" * 64}, {"run_id": SPEC.run_id}])
def test_a_checkpoint_of_nothing_is_refused_with_a_way_out(tmp_path: Path, state: object):
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, state)  # type: ignore[arg-type]
    with pytest.raises(GipoError, match=rf"checkpoint {path}.*; delete it to start this run again"):
        module.unfinished(SPEC, RunDirectory(tmp_path), "0" * 64, lambda line: None)
