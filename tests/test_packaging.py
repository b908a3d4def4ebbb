"""pyproject.toml names every package that is imported here, and none that is not; its package data are there."""

import ast
import re
import runpy
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import distribution, packages_distributions, requires
from importlib.util import find_spec
from pathlib import Path

import pytest

from checkout import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GROUPS = {"": PYPROJECT["project"]["dependencies"]} | PYPROJECT["project"]["optional-dependencies"]
OURS = {
    "gipo",
    "fuzz",
    *(path.stem for folder in ("tests", "benchmarks", "examples") for path in (ROOT / folder).rglob("*.py")),
}
ALONE = runpy.run_path(str(ROOT / "envs" / "lock.py"))["ALONE"]
"""Packages that are installed without what they ask for; what they import of it is in our own group."""

SITE = (ROOT / "mkdocs.yml").read_text()
COMMANDS = "\n".join((ROOT / name).read_text() for name in ("Makefile", "CONTRIBUTING.md", "envs/lock.py"))

FOR_ANOTHER = {"packaging": "gymnasium", "arch": "rliable"}
"""Packages that another one imports: it does not ask for the first, and for too new a version of the second."""


@cache
def owners() -> dict[str, set[str]]:
    """The distributions of every top-level module."""
    return {module: set(map(normal, names)) for module, names in packages_distributions().items()}


def normal(requirement: str) -> str:
    """Name of a required distribution, as a package index compares names."""
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=!~\[; ]", requirement)[0]).lower()


REQUIRED = {normal(requirement) for group in GROUPS.values() for requirement in group} - {"gipo"}


def imports(folder: Path) -> set[str]:
    """Top-level modules that the Python files below a folder import, at their start or in a function."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found


@cache
def imported_here() -> set[str]:
    """Modules of other packages that the code of this repository imports."""
    found = set().union(
        *(imports(ROOT / folder) for folder in ("src", "tests", "benchmarks", "examples", "containers", "envs", "docs"))
    )
    for path in [ROOT / "Snakefile", *ROOT.glob("workflow/rules/*.smk")]:
        found |= set(re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(), re.MULTILINE))
    return found - set(sys.stdlib_module_names) - OURS - {"__future__"}


@cache
def imported_by(name: str) -> set[str]:
    """Modules that a distribution imports."""
    folders = [find_spec(module).submodule_search_locations for module in modules_of(name)]  # type: ignore[union-attr]
    return set().union(*(imports(Path(folder[0])) for folder in folders if folder))


@cache
def modules_of(name: str) -> set[str]:
    """Top-level modules of a distribution."""
    return {module for module, names in owners().items() if name in names}


def reasons(name: str) -> Iterator[str]:
    """What needs a required distribution."""
    if modules_of(name) & imported_here():
        yield "imported here"
    if any(imported_by(normal(pin)) & modules_of(name) for pins in ALONE.values() for pin in pins):
        yield "imported by LIBERO's packages"
    if imported_by(FOR_ANOTHER.get(name, "")) & modules_of(name):
        yield "imported by another package"
    scripts = {entry.name for entry in distribution(name).entry_points if entry.group == "console_scripts"}
    if any(re.search(rf"\b{re.escape(word)}\b", COMMANDS) for word in scripts | modules_of(name) - {"_pytest"}):
        yield "called by a command"
    if stubs := re.fullmatch(r"types-(.+)|(.+)-stubs", name):
        typed = stubs[1] or stubs[2]
        if modules_of(typed) & imported_here():
            yield "types of an imported package"
    if plugin := re.fullmatch(r"snakemake-(executor|logger)-plugin-(.+)", name):
        profiles = "\n".join(path.read_text() for path in ROOT.glob("profiles/*/profile.yaml"))
        if f"{plugin[1]}: {plugin[2]}" in profiles:
            yield "named by a profile"
    themes = [entry.name for entry in distribution(name).entry_points if entry.group == "mkdocs.themes"]
    if any(f"name: {theme}" in SITE for theme in themes):
        yield "theme of the site"
    if name == "mkdocstrings-python" and "- mkdocstrings:" in SITE:
        yield "reads Python for the site"
    if name == "pytest-xdist" and re.search(r"pytest -n ", COMMANDS):
        yield "option of pytest"


@pytest.mark.parametrize("path", sorted(ROOT.glob("envs/*.lock")), ids=lambda path: path.stem)
def test_a_lock_has_a_hash_of_every_package(path: Path):
    header, *blocks = re.split(r"^(?=\S)", path.read_text(), flags=re.MULTILINE)[1:]
    assert header.startswith("#")
    assert blocks
    for block in blocks:
        assert re.fullmatch(r"[\w.-]+==\S+( \\\n    --hash=sha256:[0-9a-f]{64})+\n", block), block


def test_locks_agree_on_every_file():
    found: dict[str, str] = {}
    for path in ROOT.glob("envs/*.lock"):
        for block in re.split(r"^(?=\w)", path.read_text(), flags=re.MULTILINE)[1:]:
            name = normal(block)
            assert found.setdefault(name, block) == block, (path, name)


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_a_dependency_is_needed_by_something(name: str) -> None:
    assert list(reasons(name))


def test_what_is_imported_is_a_dependency_or_asked_for_by_one() -> None:
    alone = {normal(pin) for pins in ALONE.values() for pin in pins}
    asked = {normal(name) for known in REQUIRED for name in requires(known) or () if "extra ==" not in name}
    unknown = {module for module in imported_here() if not owners().get(module, set()) & (REQUIRED | alone | asked)}
    assert unknown == set()


def test_every_pattern_of_package_data_matches_a_file_and_every_data_file_a_pattern() -> None:
    for package, patterns in PYPROJECT["tool"]["setuptools"]["package-data"].items():
        folder = ROOT / "src" / package
        matched = {pattern: set(folder.glob(pattern)) for pattern in patterns}
        assert [pattern for pattern, files in matched.items() if not files] == []
        data = {path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
        assert data == set().union(*matched.values())
