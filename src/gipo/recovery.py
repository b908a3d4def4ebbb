"""Before a workflow runs: what is damaged comes back from its kept copy, or goes to be made again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gipo.errors import GipoError
from gipo.files import is_left_behind
from gipo.runs import kept
from gipo.runs.code import code_of
from gipo.runs.directory import RunDirectory
from gipo.runs.lock import locked
from gipo.scale import Scale
from gipo.verify import Check, Problem

NAMED = 5
"""Problems that are named one by one."""
FILES = {".json", ".parquet", ".pt", ".csv", ".svg", ".png", ".html"}
"""Endings of the files of a study; none of its folders has one."""


def recover(scale: Scale, folder: Path, tell: Callable[[str], None], dry: bool) -> None:
    """Bring a study into such an order that its workflow makes what is missing.

    A run comes back from its kept copy. Where that is damaged too, its manifest goes, and with it the run is unfinished
    and trained again; a derived stage goes in the same way. A run that a process works on is left alone.

    Args:
        scale: the study, or several.
        folder: its results, ``results/<scale>``.
        tell: takes a line for each of the first problems, and one on what was done.
        dry: only tell.
    """
    problems = [problem for problem in Check(scale, folder, all_bytes=False).verdict().problems if problem.mend]
    for problem in problems[:NAMED]:
        tell(f"{problem.path} {problem.problem}")
    if len(problems) > NAMED:
        tell(f"and {len(problems) - NAMED:,} problems more; `gipo verify {scale.name}` names all")
    if problems and dry:
        tell("A dry run changes nothing, and counts what is damaged as made")
        return
    for path in {path for problem in problems for path in (problem.path, problem.place)}:
        _make_way(path)
    done: Counter[str] = Counter()
    for problem in {(problem.mend, problem.place): problem for problem in problems}.values():
        try:
            done[_mend(problem, scale)] += 1
        except (GipoError, OSError) as error:
            tell(str(error))
    if done:
        tell("; ".join(f"{what}: {count:,}" for what, count in done.items()))


def _make_way(path: Path) -> None:
    """Move a folder aside that lies where a file belongs."""
    if path.suffix in FILES and path.is_dir():
        path.rename(path.with_name(f"{path.name}.folder-{time.time_ns()}"))


def _mend(problem: Problem, scale: Scale) -> str:
    """Put one thing in order; what was done."""
    place = problem.place
    match problem.mend:
        case "temporary":
            if is_left_behind(place):
                place.unlink(missing_ok=True)
            return "files of killed processes removed"
        case "lock":
            with locked(place, _quiet):
                return "locks of killed processes removed"
        case "run":
            directory, spec = RunDirectory(place), scale.runs["/".join(place.parts[-4:])]
            with locked(place, _quiet):
                if kept.recover(directory, spec, code_of(spec), _quiet):
                    return "runs restored from their kept copies"
                directory.manifest.unlink(missing_ok=True)
            return "runs to be trained again"
    place.unlink(missing_ok=True)
    return "stages to be made again"


def _quiet(line: str) -> None:
    pass


def before_execution(workflow: Any, act: Callable[[bool], None]) -> None:
    """Call `act` when a Snakefile was read and jobs are to run, before any file is looked for.

    It is given whether this is a dry run. Where Snakemake is called for something else it is not called: to unlock, to
    touch or to list.

    Args:
        workflow: Snakemake's, while it reads the Snakefile.
        act: what is to be done.
    """
    execute = workflow.execute

    def execute_after(*arguments: Any, **settings: Any) -> Any:
        plugin = settings["executor_plugin"]
        if plugin.name != "touch":
            act(plugin.common_settings.dryrun_exec)
        return execute(*arguments, **settings)

    workflow.execute = execute_after
