"""Report of a job about its node. The doctor runs in it ``python -m gipo.cluster.probe FILE [--gpu] [--images]``."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from gipo.files import write_json


def look(images: list[Path], gpu: bool) -> dict[str, Any]:
    """Host, clock and cores; the name of the GPU, None where PyTorch sees none; how each image starts."""
    name = None
    if gpu:
        import torch

        name = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "host": platform.node(),
        "time": time.time(),
        "cores": len(os.sched_getaffinity(0)),
        "gpu": name,
        "images": {image.name: start(image) for image in images},
    }


def start(image: Path) -> str:
    """Empty where Apptainer starts the image, or else why not."""
    try:
        done = subprocess.run(["apptainer", "exec", str(image), "true"], capture_output=True, text=True)
    except FileNotFoundError:
        return "apptainer is not on PATH"
    return "" if done.returncode == 0 else f"{image.name} does not start: {done.stderr.strip().splitlines()[-1]}"


if __name__ == "__main__":
    found = sorted(Path("results/images").glob("*.sif")) if "--images" in sys.argv else []
    write_json(Path(sys.argv[1]), look(found, "--gpu" in sys.argv))
