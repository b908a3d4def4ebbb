"""Manifests: whatever is done to a file or to the manifest itself is found."""

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gipo.errors import GipoError
from gipo.manifest import Manifest
from gipo.tables import BASELINES, write_table


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    episodes = {"task": "t", "policy": "random", "return": 1.0, "success_any": False, "success_last": False}
    write_table(tmp_path / "table.parquet", pd.DataFrame([episodes | {"episode": i} for i in range(7)]), BASELINES)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "rows.csv").write_text('a,b\n1,"two\nlines"\n3,4\n')
    (tmp_path / "page.html").write_bytes(b"<p>page</p>")
    return tmp_path


def write(folder: Path) -> Path:
    names = ["table.parquet", "deep/rows.csv", "page.html"]
    Manifest(files=Manifest.facts(folder, names)).write(folder / "manifest.json")
    return folder / "manifest.json"


def test_a_manifest_counts_the_rows_of_tables(folder: Path) -> None:
    files = Manifest.read(write(folder)).files
    assert {name: facts.rows for name, facts in files.items()} == {
        "table.parquet": 7,
        "deep/rows.csv": 2,
        "page.html": None,
    }


def test_what_is_read_is_what_was_written(folder: Path) -> None:
    manifest = Manifest.read(write(folder))
    assert manifest.read_bytes(folder, "page.html") == b"<p>page</p>"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "has 10 bytes, its manifest says 11"),
        (lambda path: path.write_bytes(b"<p>pagE</p>"), "was changed"),
        (lambda path: path.unlink(), "cannot read"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot read"),
    ],
)
def test_a_file_that_is_not_the_one_named_is_refused(folder: Path, change, words: str) -> None:
    manifest = Manifest.read(write(folder))
    change(folder / "page.html")
    with pytest.raises(GipoError, match=words) as refusal:
        manifest.read_bytes(folder, "page.html")
    assert str(folder / "page.html") in str(refusal.value)


def test_a_file_without_an_entry_is_refused(folder: Path) -> None:
    manifest = Manifest.read(write(folder))
    with pytest.raises(GipoError, match="in no manifest"):
        manifest.read_bytes(folder, "other.csv")


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_any_changed_byte_of_a_manifest_is_found(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("flipped")
    (folder / "a.txt").write_bytes(b"a")
    path = folder / "manifest.json"
    Manifest(files=Manifest.facts(folder, ["a.txt"])).write(path)
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(flipped)
    try:
        same = json.loads(flipped) == json.loads(whole)
    except ValueError:
        same = False
    if same:  # white space
        return
    with pytest.raises(GipoError, match=r"manifest\.json"):
        Manifest.read(path)


@pytest.mark.parametrize("name", ["../a", "/a", "a//b", "", ".", "a/../b", "x" * 301])
def test_names_stay_below_the_folder(name: str, tmp_path: Path) -> None:
    facts = {"sha256": "0" * 64, "size": 1}
    (tmp_path / "manifest.json").write_text(json.dumps({"files": {name: facts}, "sha256": "0" * 64}))
    with pytest.raises(GipoError, match="damaged"):
        Manifest.read(tmp_path / "manifest.json")
