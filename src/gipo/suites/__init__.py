"""The catalogue of benchmark suites: what is known of each without its simulator, and without torch.

A suite ``<name>`` is a module ``gipo.suites.<name>`` with ``SUITE``, its entry here, and a module
``gipo.engines.suites.<name>``, what engines need of it when a run is made.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from gipo.errors import GipoError


@dataclass(frozen=True)
class SweepKind:
    """A grid of runs beside the main one that a study of the suite may have."""

    figure: str
    """Figure that shows it."""
    words: str
    """The setting that it varies, in words."""


@dataclass(frozen=True)
class Suite:
    """One benchmark suite."""

    name: str
    """As in a scale config."""
    title: str
    """As its authors write it."""
    tasks: tuple[str, ...]
    """Names that a study may ask for."""
    score: Literal["baselines", "success"]
    """Score of an episode: 0 the random policy, 1 the scripted expert; or 1 for a success."""
    answers: tuple[str, ...] = ()
    """Ids of the claims that answer whether GIPO beats PPO-Clip and SAPO on stale data; they stand above the others."""
    figures: tuple[str, ...] = ()
    """Figures of the main grid that only this suite has."""
    sweeps: Mapping[str, SweepKind] = field(default_factory=dict)
    policies: tuple[str, ...] = ()
    """Sections of a run that choose its policy, one of which it needs; none: the policy is its network."""
    train_rule: str = "train"
    """Rule of the workflow that trains its runs."""
    prepared_by: tuple[str, ...] = ()
    """Rules of the workflow that each run needs once before."""
    films: bool = False
    """Whether episodes can be looked at: a module ``gipo.envs.<name>_camera`` with a class ``Camera`` draws its
    environments."""
    lockstep: bool = True
    """Whether the lockstep engine can run it."""
    time_limits: Mapping[str, int] = field(default_factory=dict)
    """Most env steps of an episode by task, where the suite's protocol says so."""
    task_titles: Mapping[str, str] = field(default_factory=dict)
    """Tasks that the paper writes otherwise, in its order."""

    def check_task(self, task: str) -> None:
        """Raise a `GipoError` with the closest name unless ``task`` is one of the suite's."""
        if task not in self.tasks:
            close = difflib.get_close_matches(task, self.tasks, n=1)
            raise GipoError(f"unknown task {task!r}" + (f"; did you mean {close[0]!r}?" if close else ""))

    def task_title(self, task: str) -> str:
        """Name of a task as the paper writes it."""
        return self.task_titles.get(task, task)

    def order_tasks(self, tasks: Iterable[str]) -> list[str]:
        """Distinct tasks: those of `task_titles` in its order, then the others by name."""
        present = set(tasks)
        return [task for task in self.task_titles if task in present] + sorted(present - set(self.task_titles))


@cache
def names() -> tuple[str, ...]:
    """Names of all suites, sorted."""
    modules = [module.name for module in pkgutil.iter_modules(__path__)]
    return tuple(sorted(name for name in modules if hasattr(importlib.import_module(f"{__name__}.{name}"), "SUITE")))


@cache
def get(name: str) -> Suite:
    """The suite of that name.

    Raises:
        GipoError: there is none.
    """
    if name not in names():
        raise GipoError(f"unknown suite {name!r}; known: {', '.join(names())}")
    suite: Suite = importlib.import_module(f"{__name__}.{name}").SUITE
    return suite
