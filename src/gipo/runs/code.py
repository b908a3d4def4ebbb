"""Digest of what a part of the package does, so that Snakemake re-runs what a source change concerns and no more."""

import hashlib
import importlib.util
import pkgutil
import sysconfig
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from gipo import objectives
from gipo.errors import GipoError
from gipo.objectives.registry import search_working_directory
from gipo.runs.spec import RunSpec
from gipo.runs.syntax import parse


def code_digest(*modules: str, data: Iterable[Path] = ()) -> str:
    """Hexadecimal SHA-256 of the behaviour of `modules` and of all that they import from their package and from gipo.

    A module that is in no package stands for a package of its own; what it imports from its directory is in it too.
    Imports are followed transitively, also those inside functions, without executing anything; those for type checkers
    alone are not. Comments, docstrings and formatting do not count; any other change does. An import by a computed name
    cannot be seen: name that module as well.

    Args:
        modules: Dotted names, e.g. ``"gipo.engines.lockstep"``.
        data: Files that the modules read, e.g. a template, by name and content.

    Raises:
        GipoError: A module or a data file does not exist.
    """
    digest = hashlib.sha256()
    for name, path in sorted(_closure(modules).items()):
        digest.update(f"{name} {parse(name, path.name, path.read_bytes())[0]}\n".encode())
    for path in sorted(data):
        if not path.is_file():
            raise GipoError(f"cannot read {path}: no such file")
        digest.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def training_modules(spec: RunSpec) -> tuple[str, ...]:
    """Modules that determine a run's numbers: the engine, the suite and the objective.

    `gipo.objectives` finds its methods by computed names, so that only the run's own one counts. A method of the user's
    own may build on any of them.

    Raises:
        GipoError: no objective of that name is registered.
    """
    engine = "asynchronous.supervisor" if spec.asynchronous else "lockstep"
    if spec.imagination:
        engine = "asynchronous.imagining" if spec.asynchronous else "imagining"
    objective = [objectives.module_of(spec.objective.name)]
    if ":" in spec.objective.name:
        objective += [f"gipo.objectives.{info.name}" for info in pkgutil.iter_modules(objectives.__path__)]
    return (f"gipo.engines.{engine}", f"gipo.engines.suites.{spec.suite}", *objective)


@cache
def _digest_of(modules: tuple[str, ...]) -> str:
    return code_digest(*modules)


def code_of(spec: RunSpec) -> str:
    """Digest of the code that would train a run now; read once for all runs of the same modules.

    Raises:
        GipoError: no objective of that name is registered.
    """
    return _digest_of(training_modules(spec))


def baseline_modules(suite: str) -> tuple[str, ...]:
    """Modules that determine the episodes of a suite's reference policies."""
    return "gipo.envs.baselines", f"gipo.envs.{suite}", "gipo.tables"


def _closure(modules: Iterable[str]) -> dict[str, Path]:
    """Source file of every module that importing `modules` may load from their packages."""
    found: dict[str, Path] = {}
    waiting = list(modules)
    for name in waiting:
        if _source(name) is None:
            raise GipoError(f"cannot digest module {name!r}: no such module")
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        path = _source(name)
        if path is None:
            continue
        found[name] = path
        imports = parse(name, path.name, path.read_bytes())[1]
        waiting += [target for target in imports if _belong_together(name, path, target)]
        waiting += [name.rpartition(".")[0]] if "." in name else []
    return found


def _belong_together(name: str, path: Path, target: str) -> bool:
    """Whether what a module imports is of its package or of this one, or lies beside it where it is in none."""
    if target.partition(".")[0] == __name__.partition(".")[0]:
        return True
    if "." in name or path.name == "__init__.py":
        return target.partition(".")[0] == name.partition(".")[0]
    return path.parent != Path(sysconfig.get_path("purelib")) and any(
        (path.parent / f"{target.partition('.')[0]}{end}").is_file() for end in (".py", "/__init__.py")
    )


def _source(name: str) -> Path | None:
    """Source file of a module, by its place below the top package; None where the name is no module."""
    top, *rest = name.split(".")
    search_working_directory(top)
    spec = importlib.util.find_spec(top)  # of a submodule it would import the parents
    if spec is None:
        return None
    if not spec.submodule_search_locations:
        return Path(spec.origin) if spec.has_location and spec.origin and not rest else None
    stem = Path(spec.submodule_search_locations[0], *rest)
    candidates = (stem / "__init__.py", stem.with_name(stem.name + ".py"))
    return next((path for path in candidates if path.is_file()), None)
