"""Provenance says what is so, also where there is no repository and no git."""

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from gipo.files import write_json
from gipo.runs import provenance as module
from gipo.runs.manifest import Attempt
from gipo.runs.provenance import Origin, Provenance, machine, now, origin
from gipo.tables import PROVENANCE


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git checkout with one commit and two lock files, taken for the one that gipo runs from."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:  # set when a git hook runs the tests
        monkeypatch.delenv(name)
    root = tmp_path / "checkout"
    (root / "envs").mkdir(parents=True)
    (root / "envs" / "a.lock").write_text("numpy==1\n")
    (root / "envs" / "b.lock").write_text("torch==2\n")
    (root / ".gitignore").write_text("results/\n")
    _git(root, "init", "-q")
    _git(root, "add", ".")
    _git(root, "-c", "user.name=n", "-c", "user.email=e", "commit", "-q", "--no-verify", "-m", "first")
    monkeypatch.setattr(module, "CHECKOUT", root)
    return root


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", root, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def _origin() -> Origin:
    return origin("0" * 64)


def test_a_clean_checkout_is_its_commit(checkout: Path):
    found = _origin()
    assert found.git_commit == _git(checkout, "rev-parse", "HEAD")
    assert found.git_dirty is False


@pytest.mark.parametrize("edited", ["envs/a.lock", "new.py"])
def test_a_changed_or_new_file_makes_it_dirty(checkout: Path, edited: str):
    (checkout / edited).write_text("changed")
    assert _origin().git_dirty is True


def test_ignored_results_do_not_make_it_dirty(checkout: Path):
    write_json(checkout / "results" / "x.json", {})
    assert _origin().git_dirty is False


def test_no_repository(checkout: Path):
    shutil.rmtree(checkout / ".git")
    assert (_origin().git_commit, _origin().git_dirty) == (None, None)


def test_an_installed_copy_inside_another_repository_is_not_its_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "CHECKOUT", checkout / "envs")
    assert _origin().git_commit is None


def test_no_git(checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (_origin().git_commit, _origin().git_dirty) == (None, None)


def test_a_checkout_that_belongs_to_another_user_is_its_commit(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    commit = _git(checkout, "rev-parse", "HEAD")
    script = tmp_path / "bin" / "git"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nGIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec "{shutil.which("git")}" "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    refused = subprocess.run(["git", "-C", checkout, "rev-parse", "HEAD"], capture_output=True, text=True)
    assert "dubious ownership" in refused.stderr
    assert (_origin().git_commit, _origin().git_dirty) == (commit, False)


def test_variables_that_point_git_to_another_repository_do_not_matter(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    commit = _git(checkout, "rev-parse", "HEAD")
    _git(tmp_path, "init", "-q", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert (_origin().git_commit, _origin().git_dirty) == (commit, False)


def test_a_repository_without_commits(checkout: Path):
    shutil.rmtree(checkout / ".git")
    _git(checkout, "init", "-q")
    assert _origin().git_commit is None


def test_the_lock_digest_is_of_all_lock_files(checkout: Path):
    first = _origin().lock_digest
    (checkout / "envs" / "readme").write_text("not a lock")
    assert _origin().lock_digest == first
    (checkout / "envs" / "b.lock").write_text("torch==3\n")
    second = _origin().lock_digest
    (checkout / "envs" / "b.lock").rename(checkout / "envs" / "c.lock")
    assert len({first, second, _origin().lock_digest}) == 3
    shutil.rmtree(checkout / "envs")
    assert _origin().lock_digest is None


def test_machine_and_libraries_are_those_of_this_process():
    found = machine()
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["libraries"]["numpy"] == np.__version__
    assert found["libraries"]["torch"] == metadata.version("torch")
    assert found["cores"] >= 1
    assert found["cpu"]


def test_every_column_is_a_field_of_provenance_or_attempt():
    assert PROVENANCE.keys() - {"numeric_classes"} <= Provenance.model_fields.keys() | Attempt.model_fields.keys()


def test_the_moment_is_that_of_this_process():
    assert abs(datetime.fromisoformat(now()) - datetime.now(UTC)).total_seconds() < 60
