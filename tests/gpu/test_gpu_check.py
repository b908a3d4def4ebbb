"""The check of a machine's GPUs: what it finds without one, and what it says of drivers with given answers."""

import os
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from gipo.cli import cli
from gipo.files import read_json
from gipo.gpu import driver, examine
from gipo.gpu.findings import Finding

OLD = "The NVIDIA driver on your system is too old (found version 12020)."


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes a program of this name that says what it is told, and a PyTorch with so many GPUs."""

    def make(rows: list[str], gpus: int = 1, error: str = "", build: str | None = "13.0") -> list[Finding]:
        program = tmp_path / "nvidia-smi"
        program.write_text("#!/bin/sh\ncat <<END\n" + "\n".join(rows) + "\nEND\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

        def init() -> None:
            if error:
                raise RuntimeError(f"{error} More words.\nAnd more.")

        monkeypatch.setattr(torch.version, "cuda", build)
        monkeypatch.setattr(torch.cuda, "init", init)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        properties = SimpleNamespace(name="NVIDIA H200", total_memory=2**37)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
        return list(driver.check())

    return make


def test_a_driver_that_fits_passes_with_its_gpus(nvidia_smi):
    lines = [str(finding) for finding in nvidia_smi(["580.95, Default"] * 2, gpus=2)]
    assert lines[0].startswith("ok")
    assert lines[0].endswith("uses driver 580.95")
    assert lines[1:] == [f"ok    memory of GPU {number}, NVIDIA H200: 128 GiB" for number in (0, 1)]


@pytest.mark.parametrize(
    ("answers", "text"),
    [
        ({"rows": ["535.1, Default"], "error": OLD}, f"cannot use driver 535.1: update the driver. {OLD}"),
        ({"rows": ["580.95, Default"], "build": None}, "is a build for CPUs"),
        ({"rows": ["580.95, Default"] * 2}, "nvidia-smi has 2 GPUs and PyTorch 1"),
        ({"rows": ["580.95, Exclusive_Process"]}, "GPU 0 has compute mode Exclusive_Process"),
    ],
)
def test_what_does_not_fit_is_one_line_with_the_remedy(nvidia_smi, answers: dict, text: str):
    [wrong] = [finding for finding in nvidia_smi(**answers) if finding.outcome == "failed"]
    assert text in wrong.what


def test_a_check_that_crashes_or_hangs_is_one_line_and_leaves_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    log = tmp_path / "log"
    [finding] = examine._run("findings", log)  # which checks nothing
    assert finding.outcome == "failed"
    assert "AttributeError" in finding.what
    assert "Traceback" in log.read_text()
    monkeypatch.setattr(examine, "PATIENCE", 0.01)
    assert [str(finding) for finding in examine._run("driver", log)] == ["FAIL  driver: it is not done after 0.01 s"]


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_comes_to_its_end_and_names_what_it_skipped(tmp_path: Path):
    out = tmp_path / "new" / "gpu-check.json"
    result = CliRunner().invoke(cli, ["doctor", "--gpu", "--out", str(out)])
    assert result.exit_code == 0, result.output
    found = read_json(out)
    skipped = [row["check"] for row in found["findings"] if row["outcome"] == "skipped"]
    assert {"driver", "images", "updates", "training", "openvla", "collectives"} <= set(skipped)
    measured = [row for row in found["findings"] if row["value"] is not None]
    assert {"updates", "openvla"} <= {row["check"] for row in measured}
    assert all(row["value"] > 0 for row in measured)
    assert found["machine"]["libraries"]["torch"] == torch.__version__
    table = pd.read_csv(out.with_suffix(".csv"))
    assert table["what"].tolist() == [row["what"] for row in found["findings"]]
    assert [path.name for path in out.parent.iterdir() if path.suffix == ".log"] == []
