"""The library: it needs numpy and torch alone, and a wheel says so."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from checkout import ROOT

NUMPY_AND_TORCH_ALONE = """
import importlib.metadata, sys

allowed = set(sys.argv[1].split())
owners = importlib.metadata.packages_distributions()


class Library:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in owners and not allowed & {owner.lower().replace("_", "-") for owner in owners[top]}:
            raise ModuleNotFoundError(f"No module named {top!r}", name=top)


sys.meta_path.insert(0, Library())
"""
"""Beginning of a program in which only some distributions can be imported."""


def with_dependencies(name: str) -> Iterator[str]:
    """A distribution and all that it asks for on this machine."""
    yield name
    for requirement in importlib.metadata.requires(name) or ():
        needed = re.split(r"[<>=!~\[;( ]", requirement)[0].lower().replace("_", "-")
        if "extra ==" not in requirement and is_installed(needed):
            yield from with_dependencies(needed)


def is_installed(name: str) -> bool:
    try:
        return bool(importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return False


def run(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program for which only GIPO, numpy, torch and what these two ask for are installed."""
    allowed = {"gipo", *with_dependencies("numpy"), *with_dependencies("torch")}
    command = [sys.executable, "-c", NUMPY_AND_TORCH_ALONE + program, " ".join(allowed)]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_barrier_keeps_the_suite_out() -> None:
    for module in ("scipy", "pandas", "pydantic", "gipo.runs.spec", "gipo.gridworld.tables"):
        assert "ModuleNotFoundError" in run(f"import {module}").stderr


def test_the_library_works_with_numpy_and_torch_alone() -> None:
    done = run("""
import torch

from gipo import diagnostics, gridworld, objectives, targets, theory
from gipo.gridworld import case_study, family

log_ratio, advantage = torch.randn(8, 3, requires_grad=True), torch.randn(8, 1)
needed = {"cispo": {"eps_high": 0.2}, "soft_clip": {"alpha": 1.0}}
for name in objectives.names():
    objective = objectives.make(name, **needed.get(name, {}))
    objective.loss(log_ratio, advantage, log_mu=torch.full((8, 3), -1.0), gap=torch.tensor(3)).mean().backward()
gap = torch.arange(8)
numbers = diagnostics.staleness(gap, 4) | diagnostics.ratio_tails(log_ratio.detach())
ends = torch.zeros(2, 8, dtype=torch.bool)
targets.gae(torch.ones(2, 8), torch.ones(2, 8), torch.ones(2, 8), ends, ends, 0.9, 0.9)
print(len(numbers), theory.good_sigmas(1.0, 100.0), theory.best_epsilon(0.01, 1.0))
pi, mu = case_study.case_policies()
print(family.check_claims(pi[None], mu[None, :3])["right"]["gipo_dominates_ppo_clip"])
""")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("[ True]\n")


def test_without_the_suite_the_command_says_in_one_line_how_to_get_it() -> None:
    done = run("import runpy; sys.argv = ['gipo', '--help']; runpy.run_module('gipo', run_name='__main__')")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert 'pip install "gipo[suite]"' in done.stderr


def test_a_wheel_asks_for_numpy_and_torch_alone_and_has_every_file(tmp_path: Path) -> None:
    copy = tmp_path / "copy"  # a build leaves files where it is made
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, copy)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, copy]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        (metadata,) = (wheel.read(name).decode() for name in names if name.endswith("/METADATA"))
    asked = re.findall(r"^Requires-Dist: (.*)$", metadata, re.MULTILINE)
    assert [one for one in asked if "extra ==" not in one] == ["numpy", "torch>=2.4"]
    sources = {path.relative_to(copy / "src").as_posix() for path in (copy / "src/gipo").rglob("*") if path.is_file()}
    assert names >= sources
    assert "gipo/py.typed" in names
