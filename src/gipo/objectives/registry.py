"""Objectives by name: how a method is registered and made."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from gipo.errors import GipoError
from gipo.objectives.base import Objective

_REGISTRY: dict[str, type[Objective]] = {}
_Class = TypeVar("_Class", bound=type[Objective])


def register(name: str) -> Callable[[_Class], _Class]:
    """Class decorator that makes an objective known under ``name``; a second claim on a name is an error."""

    def add(cls: _Class) -> _Class:
        known = _REGISTRY.get(name)
        if known is not None and known.__qualname__ != cls.__qualname__:
            raise GipoError(f"objective name {name!r} is already taken by {known.__qualname__}")
        _REGISTRY[name] = cls
        return cls

    return add


def names() -> list[str]:
    """Names of all registered objectives."""
    return sorted(_REGISTRY)


def make(name: str, **parameters: Any) -> Objective:
    """Build an objective by name, for example ``make("gipo", sigma_pos=1.0, sigma_neg=0.5)``.

    Args:
        name: a registered name, or ``module:name`` to import the module that registers it first.
        parameters: fields of the objective; those left out take their defaults.

    Raises:
        GipoError: unknown name or parameter, a module that cannot be imported, a parameter without default left out,
            or a value out of range.
    """
    cls = _find(name)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    if unknown := sorted(set(parameters) - set(fields)):
        raise GipoError(f"objective {name!r} has no parameter {unknown[0]!r}; it has: {', '.join(fields) or 'none'}")
    required = [field for field in fields if fields[field].default is dataclasses.MISSING]
    if missing := [field for field in required if field not in parameters]:
        raise GipoError(f"objective {name!r} needs the parameter {missing[0]!r}, which has no default")
    return cls(**parameters)


def module_of(name: str) -> str:
    """Dotted name of the module that registers an objective; that of ``module:name`` is ``module``.

    Raises:
        GipoError: no such objective is registered.
    """
    module, _, short = name.rpartition(":")
    return module or _find(short).__module__


def search_working_directory(module: str) -> None:
    """Let Python find ``module`` in the working directory unless it finds one elsewhere.

    The console scripts ``gipo`` and ``snakemake``, unlike ``python -m``, do not look there by themselves.
    """
    here = str(Path.cwd())
    if here not in sys.path and importlib.util.find_spec(module.partition(".")[0]) is None:
        sys.path.append(here)
        importlib.invalidate_caches()


def _find(name: str) -> type[Objective]:
    module, _, short = name.rpartition(":")
    if module:
        _import(name, module)
    if short not in _REGISTRY:
        raise GipoError(f"unknown objective {name!r}; known: {', '.join(names())}")
    return _REGISTRY[short]


def _import(name: str, module: str) -> None:
    """Import a module of the user's, in which anything may go wrong."""
    try:
        search_working_directory(module)
        importlib.import_module(module)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise GipoError(f"objective {name!r}: cannot import module {module!r} ({reason})") from error
