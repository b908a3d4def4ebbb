"""Tokens of the environment stay there."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from checkout import ROOT
from gipo.runs.provenance import machine, origin
from gipo.unforeseen import line_of

TOKENS = {
    name: f"secret-{name}"
    for name in ("HF_TOKEN", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD", "RAY_AUTH_TOKEN")
}


@pytest.fixture
def _tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in TOKENS.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("_tokens")
def test_provenance_has_no_token():
    assert "secret-" not in json.dumps([origin("0" * 64).model_dump(), machine()])


@pytest.mark.usefixtures("_tokens")
def test_a_traceback_has_no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    try:
        dict(TOKENS)["missing"]
    except KeyError as error:
        line = line_of(error)
    (file,) = tmp_path.iterdir()
    assert "secret-" not in line + file.read_text()


@pytest.mark.usefixtures("_tokens")
@pytest.mark.slow
def test_a_runs_folder_has_no_token(tmp_path: Path):
    run = ["--task", "door-open-v3", "--regime", "stale", "--method", "gipo-1-1", "--seed", "0"]
    config = ROOT / "workflow" / "config" / "smoke.yaml"
    command = [sys.executable, "-m", "gipo", "train", str(config), str(tmp_path / "run"), *run]
    done = subprocess.run(command, capture_output=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"secret-" in path.read_bytes()]
    assert b"secret-" not in done.stdout + done.stderr
