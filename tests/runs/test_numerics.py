"""The numeric class: what changes the bytes of a computation changes its name, and what does not leaves it alone."""

import os
import subprocess
import sys

import pytest
import torch

from gipo.runs.numerics import OTHERS, PORTABLE, numeric_class

CLASS = """
import torch
torch.set_num_threads(1)
from gipo.runs.numerics import numeric_class
print(numeric_class(torch.device("cpu")))
"""


def named(**variables: str) -> str:
    """Name of the class of a new process."""
    own = {name: value for name, value in os.environ.items() if name not in (*PORTABLE, *OTHERS)}
    done = subprocess.run(
        [sys.executable, "-c", CLASS], env=own | variables, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def native() -> str:
    return named()


def test_it_names_cpu_libraries_and_what_is_computed(native: str):
    assert "native on" in native
    assert f"torch {torch.__version__}" in native
    assert torch.backends.cpu.get_cpu_capability().lower() in native
    for part in ("numpy", "scipy", "mujoco", "pyarrow", "probe"):
        assert f", {part} " in native


def test_it_does_not_change_from_call_to_call():
    assert numeric_class(torch.device("cpu")) == numeric_class(torch.device("cpu"))


@pytest.mark.slow
@pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() == "DEFAULT", reason="needs an x86-64 CPU with AVX2")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ATEN_CPU_CAPABILITY", "default"),
        ("MKL_CBWR", "COMPATIBLE"),
        ("MKL_ENABLE_INSTRUCTIONS", "SSE4_2"),
        ("OPENBLAS_CORETYPE", "Prescott"),
        ("NPY_DISABLE_CPU_FEATURES", "X86_V4 AVX512_ICL AVX512_SPR X86_V3"),
        ("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX2,-FMA"),
    ],
)
def test_a_variable_that_changes_bytes_changes_name_and_probe(native: str, name: str, value: str):
    changed = named(**{name: value})
    assert changed.rpartition("probe")[2] != native.rpartition("probe")[2]
    assert f"{name}=" in changed


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables", [{"OMP_NUM_THREADS": "1"}, {"OPENBLAS_NUM_THREADS": "1"}, {"OPENBLAS_NUM_THREADS": "16"}]
)
def test_the_number_of_cores_changes_nothing(native: str, variables: dict[str, str]):
    assert named(**variables) == native


@pytest.mark.slow
@pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() == "DEFAULT", reason="needs an x86-64 CPU with AVX2")
def test_the_portable_class_names_no_model(native: str):
    name = named(**PORTABLE)
    assert "avx2 portable, " in name
    assert " on " not in name
    assert name != native


def test_a_long_setting_keeps_the_name_short(monkeypatch: pytest.MonkeyPatch):
    for name in (*PORTABLE, *OTHERS):
        monkeypatch.setenv(name, "x" * 4000)
    assert len(numeric_class(torch.device("cpu"))) < 600
