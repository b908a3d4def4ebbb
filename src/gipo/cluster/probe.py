"""What a job sees of its node: ``python -m gipo.cluster.probe FILE [--gpu]``, run by the doctor inside a job."""

from __future__ import annotations

import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from gipo.files import write_json


def look(gpu: bool) -> dict[str, Any]:
    """Host, clock, cores, and the name of the GPU, None where PyTorch sees none."""
    name = None
    if gpu:
        import torch

        name = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"host": platform.node(), "time": time.time(), "cores": len(os.sched_getaffinity(0)), "gpu": name}


if __name__ == "__main__":
    write_json(Path(sys.argv[1]), look("--gpu" in sys.argv))
