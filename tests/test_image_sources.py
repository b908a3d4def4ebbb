"""Where an image's base may come from."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from checkout import ROOT

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.fixture
def build() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "containers" / "build.py"))


def test_an_image_is_taken_by_its_digest(build: dict[str, Any]):
    found = build["base_arguments"](f"docker://registry:5000/debian@{DIGEST}")
    assert found == {"BOOTSTRAP": "docker", "FROM": f"registry:5000/debian@{DIGEST}"}


@pytest.mark.parametrize("place", ["debian", "debian:bookworm-slim", "debian@sha256:0", f"debian@{DIGEST} -x", ""])
def test_an_image_without_its_digest_is_refused(build: dict[str, Any], place: str):
    with pytest.raises(SystemExit, match="may be another image tomorrow"):
        build["base_arguments"](f"docker://{place}")


def test_a_mirror_needs_debians_keys(build: dict[str, Any], tmp_path: Path):
    function = build["base_arguments"]
    function.__globals__["KEYRING"] = tmp_path / "keys"
    with pytest.raises(SystemExit, match="without which debootstrap checks no signature"):
        function("http://deb.debian.org/debian")
    (tmp_path / "keys").touch()
    assert function("http://deb.debian.org/debian")["BOOTSTRAP"] == "debootstrap"


def test_the_base_is_named_by_its_digest():
    text = (ROOT / "containers" / "base.def").read_text()
    (base,) = (line.partition("=")[2] for line in text.splitlines() if line.strip().startswith("FROM="))
    name, _, digest = base.partition("@sha256:")
    assert name == "debian"
    assert len(bytes.fromhex(digest)) == 32
