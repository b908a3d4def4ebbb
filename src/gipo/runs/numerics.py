"""The numeric class of a process: what decides the bytes of a result beside specification and code.

The same floating-point sum in another order has another last digit, and libraries choose the order by the CPU.
"""

from __future__ import annotations

import hashlib
import math
import os
import platform
import sys
from importlib import metadata
from typing import TYPE_CHECKING

from gipo.runs.provenance import processor

if TYPE_CHECKING:
    import torch

PORTABLE = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "AVX2",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
}
"""Variables under which libraries use the instructions of AVX2 and no later ones: torch's kernels and its products of
matrices, numpy's kernels, and the products of numpy and scipy. They are read when a library is imported."""

OTHERS = ("MKL_ENABLE_INSTRUCTIONS", "GLIBC_TUNABLES")
"""Further variables that change bytes."""

LIBRARIES = ("torch", "numpy", "scipy", "mujoco", "pyarrow")
"""Their versions decide numbers; pyarrow's stands in the files that it writes."""


def numeric_class(device: torch.device) -> str:
    """Name of the class of this process: equal names promise equal bytes of the lockstep engine.

    It has the architecture, the instructions that torch uses, and whether they are chosen by the model of the CPU or by
    variables; the versions of the libraries; the GPU where the learner is on one; and a digest of a computation that is
    made now.

    Args:
        device: where the learner lives.
    """
    import torch

    isa = torch.backends.cpu.get_cpu_capability().lower()
    cpu = " ".join([platform.machine(), _vendor(), isa, _settings()])
    versions = [f"{name} {version}" for name in LIBRARIES if (version := _version(name))]
    gpu = []
    if device.type == "cuda":
        gpu = [f"{torch.cuda.get_device_name(device)} CUDA {torch.version.cuda} cuDNN {torch.backends.cudnn.version()}"]
    return ", ".join([cpu, *versions, " ".join(platform.libc_ver()), *gpu, f"probe {_probe()}"])


def _settings() -> str:
    """``portable`` under the variables of that name; else those that are set, and the model that decides the rest."""
    found = {name: os.environ[name] for name in (*PORTABLE, *OTHERS) if name in os.environ}
    if found == PORTABLE:
        return "portable"
    own = [f"{name}={_short(value)}" for name, value in found.items()]
    return " ".join([*(own or ["native"]), "on", _short(processor("model name"))])


def _short(text: str) -> str:
    """The text, or a digest of it where it would fill the name."""
    text = text.strip() or "unknown"
    return text if len(text) <= 40 else hashlib.sha256(text.encode()).hexdigest()[:8]


def _vendor() -> str:
    return {"GenuineIntel": "Intel", "AuthenticAMD": "AMD"}.get(name := processor("vendor_id"), name) or "unknown"


def _version(name: str) -> str:
    """Version of a library, with its build where it tells; empty if it is not installed."""
    if name in sys.modules and (version := getattr(sys.modules[name], "__version__", None)):
        return str(version)
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _probe() -> str:
    """Digest of numbers that depend on the code that libraries take: what learner and simulator compute, in small.

    It tells apart what no variable or version shows, for example what MKL does on the CPU of another vendor. Numpy
    multiplies short vectors alone, as simulators do: larger products of its depend on the number of cores.
    """
    import numpy as np
    import torch

    digest = hashlib.sha256()
    generator = np.random.Generator(np.random.PCG64(0))
    for rows, columns, inner in ((8, 39, 32), (256, 512, 39), (512, 128, 512), (130, 67, 1030)):
        left, right = (torch.from_numpy(generator.random(shape)).float() for shape in ((rows, inner), (inner, columns)))
        product = left @ right
        digest.update(product.numpy().tobytes())
        digest.update(torch.log_softmax(product, 1).sum(0).numpy().tobytes())
    for length in (2, 3, 4, 7, 16, 39):
        vector, matrix = generator.random(length), generator.random((length, length))
        numbers = [
            vector @ vector,
            np.linalg.norm(vector),
            vector.sum(),
            *(matrix @ vector),
            *(matrix @ matrix).ravel(),
        ]
        digest.update(np.array(numbers).tobytes())
    values = generator.uniform(-9, 9, 1001)
    for kind in (np.float32, np.float64):
        array = values.astype(kind)
        for function in (np.exp, np.sin, np.tanh, np.arctan):
            digest.update(function(array).tobytes())
        digest.update(array.sum().tobytes())
        for of in (torch.exp, torch.sin, torch.tanh, torch.erf, torch.sum, torch.var):
            digest.update(of(torch.from_numpy(array)).numpy().tobytes())
    for number in values.tolist():
        numbers = [math.sin(number), math.exp(number), math.atan2(number, 2.0), math.pow(abs(number), 0.3)]
        digest.update(np.array(numbers).tobytes())
    return digest.hexdigest()[:8]
