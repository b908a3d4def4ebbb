"""Driver, PyTorch's build, and the GPUs that both see."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import torch

from gipo.gpu.findings import Finding, failed, passed, skipped


def check() -> Iterator[Finding]:
    """The driver fits PyTorch's build, both see the same GPUs, and several processes may share one."""
    try:
        rows = _nvidia_smi()
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        yield skipped(f"driver: this machine has none of NVIDIA's ({error})")
        return
    name = f"PyTorch {torch.__version__}, built for CUDA {torch.version.cuda},"
    if torch.version.cuda is None:
        yield failed(f"PyTorch {torch.__version__} is a build for CPUs: install it from an index that has CUDA's")
        return
    try:
        torch.cuda.init()
    except RuntimeError as error:
        yield failed(f"{name} cannot use driver {rows[0][0]}: update the driver. {str(error).splitlines()[0]}")
        return
    yield passed(f"{name} uses driver {rows[0][0]}")
    count = torch.cuda.device_count()
    for number in range(count):
        properties = torch.cuda.get_device_properties(number)
        yield passed(f"memory of GPU {number}, {properties.name}", properties.total_memory / 2**30, "GiB")
    if "CUDA_VISIBLE_DEVICES" not in os.environ and count != len(rows):
        yield failed(f"nvidia-smi has {len(rows)} GPUs and PyTorch {count}: reset or leave out the one that is missing")
    for number, (_, mode) in enumerate(rows):
        if mode != "Default":
            yield failed(
                f"GPU {number} has compute mode {mode}, and learner, inference and evaluator share a GPU: "
                f"`nvidia-smi -i {number} -c DEFAULT`, which only root may"
            )


def _nvidia_smi() -> list[tuple[str, str]]:
    """Driver and compute mode of each GPU."""
    command = ["nvidia-smi", "--query-gpu=driver_version,compute_mode", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [line.split(", ") for line in done.stdout.splitlines()]
    return [(driver, mode) for driver, mode in rows]
