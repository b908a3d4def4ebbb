"""Configuration files: YAML 1.2, and nothing that reads otherwise than it looks."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from checkout import ROOT
from gipo.config import read_yaml
from gipo.errors import GipoError


def read(tmp_path: Path, text: str) -> Any:
    path = tmp_path / "some.yaml"
    path.write_text(text)
    return read_yaml(path)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("yes", "yes"),
        ("off", "off"),
        ("12:30:00", "12:30:00"),
        ("1_000", "1_000"),
        ("2026-01-01", "2026-01-01"),
        ("0b1", "0b1"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("200", 200),
        ("-7", -7),
        ("0", 0),
        ("0o17", 15),
        ("0x1F", 31),
        ("3e-5", 3e-5),
        ("1.0e-4", 1e-4),
        ("+.5", 0.5),
        ("5.", 5.0),
        (".inf", float("inf")),
        ("'0200'", "0200"),
        ("0.874", 0.874),
    ],
)
def test_a_value_is_what_yaml_1_2_says(tmp_path: Path, written: str, value: Any):
    found = read(tmp_path, f"key: {written}\n")["key"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("text", ["key: 0200", "key: [010]", "key: -08", "key: 00"])
def test_a_number_with_a_leading_zero_is_refused(tmp_path: Path, text: str):
    with pytest.raises(GipoError, match=r"some\.yaml is not valid YAML: -?0\d+ begins with 0.* at line 1"):
        read(tmp_path, text)


def test_what_stands_in_an_anchor_may_be_used_and_changed_again(tmp_path: Path):
    text = "outer:\n  inner: {<<: &x {<<: &y {a: 1, b: 1}, b: 2}, c: 3}\nagain: *x\nfirst: *y\n"
    two = {"a": 1, "b": 2}
    assert read(tmp_path, text) == {"outer": {"inner": two | {"c": 3}}, "again": two, "first": {"a": 1, "b": 1}}


def merges(levels: int) -> str:
    """Mappings each of which merges ten that are the one before."""
    lines = [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


MERGED_TEN_TIMES = "".join(f"b{n}: {{<<: *a}}\n" for n in range(10))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\na: 2", "key 'a' stands twice at line 2"),
        ("a: {b: 1, 'b': 2}", "key 'b' stands twice"),
        ("a: " + "[" * 3000 + "]" * 3000, "too many levels"),
        ("a: " + "{b: " * 3000 + "}" * 3000, "too many levels"),
        ("a: " + "9" * 5000, "too many digits"),
        ("a: 0x" + "f" * 5000, "too many digits"),
        ("a: !!int '12:30'", "12:30 is no int of YAML 1.2"),
        ("a: !!bool yes", "yes is no bool of YAML 1.2"),
        ("a: !!float 1:30", "1:30 is no float of YAML 1.2"),
        ("a: !!python/object/apply:os.system [x]", "could not determine a constructor"),
        ("a0: &a0 {k: 1}\n" + merges(2000), "too many keys are merged"),
        ("a: &a {" + ", ".join(f"k{n}: 1" for n in range(1001)) + "}\n" + MERGED_TEN_TIMES, "too many keys are merged"),
        ("a: {<<: 1}", "expected a mapping, or a list of them, to merge"),
        ("a: {<<: [{b: 1}, 2]}", "expected a mapping, or a list of them, to merge"),
        ("a: " + "x" * 2**20, "1,048,579 bytes, expected 1,048,576 at most"),
        ("a: [1", "expected ',' or ']'"),
        ("x" * 5000 + ": 1\n" + "x" * 5000 + ": 1\n", "is not valid YAML"),
    ],
)
def test_what_cannot_be_read_is_one_short_line(tmp_path: Path, text: str, words: str):
    with pytest.raises(GipoError) as caught:
        read(tmp_path, text)
    message = str(caught.value).removeprefix(str(tmp_path))
    assert words in message
    assert "\n" not in message
    assert len(message) < 400


def test_mappings_merged_ten_times_over_and_over_do_not_grow(tmp_path: Path):
    assert read(tmp_path, "a0: &a0 {k: 1}\n" + merges(50)) == {f"a{n}": {"k": 1} for n in range(50)}


def test_of_merged_mappings_the_first_wins_and_own_keys_win_over_all(tmp_path: Path):
    text = "x: &x {a: 1, b: 1, long: 1}\ny: &y {b: 2, c: 2, long: 2}\nz: {<<: [*y, *x], c: 3}\n"
    assert read(tmp_path, text)["z"] == {"b": 2, "c": 3, "long": 2, "a": 1}
    assert read(tmp_path, "a: &a {<<: *a, b: 1}") == {"a": {"b": 1}}


def test_bytes_that_are_no_text_are_named(tmp_path: Path):
    (tmp_path / "some.yaml").write_bytes(b"a: \xff")
    with pytest.raises(GipoError, match=r"some\.yaml is not valid YAML"):
        read_yaml(tmp_path / "some.yaml")


FILES = subprocess.run(["git", "ls-files", "*.yaml"], cwd=ROOT, capture_output=True, text=True).stdout.split()


@pytest.mark.parametrize("name", FILES)
def test_files_of_this_repository_mean_the_same_to_readers_of_yaml_1_1(name: str):
    """Snakemake and editors read some of them with PyYAML."""
    assert read_yaml(ROOT / name) == yaml.safe_load((ROOT / name).read_text())
