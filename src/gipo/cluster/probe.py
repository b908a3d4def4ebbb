"""What a job sees of its node: ``python -m gipo.cluster.probe FILE [--gpu]``, run by the doctor inside a job."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from gipo.files import write_json


def look(directory: Path, gpu: bool) -> dict[str, Any]:
    """Host, clock, cores, free space below `directory`, and the name of the GPU, None where PyTorch sees none."""
    name = None
    if gpu:
        import torch

        name = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        **{"host": platform.node(), "time": time.time(), "gpu": name},
        **{"cores": len(os.sched_getaffinity(0)), "free": shutil.disk_usage(directory).free},
    }


if __name__ == "__main__":
    out = Path(sys.argv[1])
    write_json(out, look(out.parent, "--gpu" in sys.argv))
