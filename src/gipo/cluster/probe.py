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

LEARN = ("metaworld-", "libero-")
"""How the names of the images begin in which runs learn."""
ASK = "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else '')"


def look(images: list[Path], gpu: bool) -> dict[str, Any]:
    """Host, clock and cores; how each image starts; the GPU that PyTorch sees, by the place of the PyTorch.

    Runs learn with the PyTorch of an image where there are images, else with that of this environment; the name of the
    GPU is empty where it sees none.
    """
    starts = {image.name: start(image) for image in images}
    return {
        "host": platform.node(),
        "time": time.time(),
        "cores": len(os.sched_getaffinity(0)),
        "gpu": pytorch([image for image in images if not starts[image.name]]) if gpu else {},
        "images": starts,
    }


def pytorch(images: list[Path]) -> dict[str, str]:
    """GPU that each PyTorch sees with which runs may learn, by its place."""
    learning = [image for image in images if image.name.startswith(LEARN)]
    inside = {image.name: asked(["apptainer", "exec", "--nv", str(image), "python"]) for image in learning}
    return inside if images else {"make's environment": asked([sys.executable])}


def asked(python: list[str]) -> str:
    """GPU that PyTorch sees under a command that starts Python; empty where it sees none or there is no PyTorch."""
    return subprocess.run([*python, "-c", ASK], stdout=subprocess.PIPE, text=True).stdout.strip()


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
