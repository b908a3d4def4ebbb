"""The same from within the Apptainer images."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import gipo
from gipo.files import read_json
from gipo.gpu.findings import Finding, failed, gpu, skipped

IMAGES = Path("results/images")
CHECKED = {"metaworld": ("driver",), "libero": ("driver", "frames")}
"""Images whose jobs use a GPU, and what is checked in them."""


def check() -> Iterator[Finding]:
    """Driver and frames in the newest image of each kind, started with ``--nv`` as the profile does."""
    if gpu() is None:
        yield skipped("images with --nv: PyTorch sees no GPU")
        return
    if shutil.which("apptainer") is None:
        yield skipped("images with --nv: apptainer is not on PATH")
        return
    for name, checks in CHECKED.items():
        files = sorted(IMAGES.glob(f"{name}-*.sif"), key=lambda path: path.stat().st_mtime)
        if not files:
            yield skipped(f"image {name}: there is none in {IMAGES}; `snakemake images` builds it")
            continue
        for each in checks:
            yield from _inside(files[-1], each)


def _inside(image: Path, name: str) -> Iterator[Finding]:
    source = Path(gipo.__file__).parents[1]
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory, "findings.json")
        command = ["apptainer", "exec", "--nv", "--bind", f"{source},{directory}", "--env", f"PYTHONPATH={source}"]
        command += [str(image), "python", "-m", "gipo.gpu", name, str(out)]
        done = subprocess.run(command, capture_output=True, text=True)
        if not out.exists():
            yield failed(f"{image.name} does not start with --nv: {(done.stderr.splitlines() or ['no word'])[-1]}")
            return
        for row in read_json(out):
            finding = Finding.model_validate(row)
            yield finding.model_copy(update={"what": f"in {image.name}: {finding.what}"})
