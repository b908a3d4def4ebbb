"""`gipo watch`: how far the runs of a scale are, from their directories alone, whoever makes them and wherever."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal

from rich.console import Group
from rich.text import Text

from gipo.cluster.requests import PLAN
from gipo.console.estimate import planned_seconds, seconds_left
from gipo.runs import lock
from gipo.runs.directory import RunDirectory
from gipo.runs.progress import Progress, duration, read_progress
from gipo.scale import Scale

State = Literal["done", "running", "stopped", "waiting"]
STATES: tuple[State, ...] = ("done", "running", "stopped", "waiting")
"""With its results; held by a process; left unfinished, to be gone on with; not begun."""
COLUMNS = {"done": 7, "now": 3, "made": 4, "return ± sd": 17, "success": 7, "D0.95": 5, "dead": 5, "left": 7}
"""Columns after the method, with their width: seeds done and being made, share of the updates made, and so on."""


@dataclass(frozen=True)
class Look:
    """One look at a run."""

    run_id: str
    directory: Path
    state: State
    progress: Progress | None

    @classmethod
    def at(cls, run_id: str, results: Path) -> Look:
        """Look at a run below ``results/runs``."""
        directory = results / "runs" / run_id
        progress = read_progress(directory)
        held = (directory / lock.NAME).exists() and not lock.holder(directory / lock.NAME)[1]
        state: State = "stopped" if progress else "waiting"
        if RunDirectory(directory).finished:
            state = "done"
        elif held:
            state = "running"
        return cls(run_id, directory, state, progress)

    @property
    def share(self) -> float:
        """Share of its updates that are made."""
        if self.state == "done":
            return 1.0
        return self.progress.share if self.progress else 0.0


@dataclass(frozen=True)
class Cell:
    """The seeds of one method on one task in one regime."""

    task: str
    regime: str
    method: str
    looks: list[Look]

    def count(self, state: State) -> int:
        """Seeds in a state."""
        return sum(look.state == state for look in self.looks)

    def known(self, name: str) -> list[float]:
        """Numbers of `Progress` of that name, of the seeds that have one."""
        values = (getattr(look.progress, name) for look in self.looks if look.progress)
        return [value for value in values if value is not None]

    @property
    def seconds_left(self) -> float | None:
        """Until the last of the seeds that are running is done; None where that is not known, or none is."""
        left = [look.progress.seconds_left for look in self.looks if look.state == "running" and look.progress]
        return max((seconds for seconds in left if seconds is not None), default=None)

    def words(self) -> list[str]:
        """A cell of the table for each of `COLUMNS`."""
        found = self.content()
        spread = "" if found["return_deviation"] is None else f" ± {found['return_deviation']:,.1f}"
        texts = (
            f"{found['done']}/{len(self.looks)}",
            str(found["running"] or ""),
            f"{found['share']:.0%}",
            "" if found["return"] is None else f"{found['return']:,.1f}{spread}",
            "" if found["success"] is None else f"{found['success']:.2f}",
            *("" if found[name] is None else f"{found[name]:.3f}" for name in ("d95", "dead")),
            "" if found["seconds_left"] is None else duration(found["seconds_left"]),
        )
        return [text.rjust(size) for text, size in zip(texts, COLUMNS.values(), strict=True)]

    def content(self) -> dict[str, Any]:
        """The same as plain data; None for what is not known."""
        returns = self.known("episode_return")
        return {
            "task": self.task,
            "regime": self.regime,
            "method": self.method,
            **{state: self.count(state) for state in STATES},
            "share": fmean(look.share for look in self.looks),
            "return": fmean(returns) if returns else None,
            "return_deviation": stdev(returns) if len(returns) > 1 else None,
            "success": fmean(found) if (found := self.known("success")) else None,
            "d95": fmean(found) if (found := self.known("d95")) else None,
            "dead": fmean(found) if (found := self.known("dead")) else None,
            "seconds_left": self.seconds_left,
        }


class Sight:
    """One look at all runs of a scale.

    Args:
        scale: the scale.
        results: folder that holds ``runs``.
    """

    def __init__(self, scale: Scale, results: Path) -> None:
        self.scale = scale
        self.looks = [Look.at(run_id, results) for run_id in scale.runs]
        self.counts = Counter(look.state for look in self.looks)
        cells: dict[str, Cell] = {}
        for look in self.looks:
            task, regime, method, seed = look.run_id.split("/")
            cells.setdefault(look.run_id.removesuffix(seed), Cell(task, regime, method, [])).looks.append(look)
        self.cells = list(cells.values())

    @property
    def is_done(self) -> bool:
        """Whether all runs are."""
        return self.counts["done"] == len(self.looks)

    @cached_property
    def seconds_left(self) -> float | None:
        """Until the last run is made, with as many side by side as now; None where nothing runs or nothing is known."""
        running = [look for look in self.looks if look.state == "running"]
        if not running:
            return None
        others = [look.directory for look in self.looks if look.state in ("stopped", "waiting")]
        seen = {
            look.directory: look.progress.whole_seconds
            for look in self.looks
            if look.progress and look.progress.whole_seconds
        }
        left = [look.progress.seconds_left if look.progress else None for look in running]
        return seconds_left(left, others, len(others), seen, planned_seconds(PLAN))

    def content(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "scale": self.scale.name,
            "runs": {state: self.counts[state] for state in STATES},
            "seconds_left": self.seconds_left,
            "cells": [cell.content() for cell in self.cells],
        }

    def summary(self) -> str:
        """The whole scale in a line."""
        words = [f"{self.counts['done']} of {len(self.looks)} runs done"]
        words += [f"{number} {state}" for state in STATES[1:] if (number := self.counts[state])]
        if self.seconds_left is not None:
            words.append(f"about {duration(self.seconds_left)} left")
        elif not self.is_done and not self.counts["running"]:
            words.append(f"none now: `make reproduce SCALE={self.scale.name}`, unless it runs")
        return " · ".join(words)

    def shown(self, lines: int | None = None) -> Group:
        """A row for each cell below its task and regime, and the summary.

        Args:
            lines: that there is room for; where they are too few, only cells that are being made are shown.
        """
        cells, summary = self.cells, [self.summary()]
        if lines is not None and _lines(cells) > lines:
            cells = [cell for cell in cells if cell.count("running") or cell.count("stopped")]
            while cells and _lines(cells) > lines:
                cells = cells[:-1]
            hidden = len(self.cells) - len(cells)
            summary.append(f"{hidden} rows have no room here: `gipo watch {self.scale.name} --once`")
        width = max(len(cell.method) for cell in self.cells)
        head = "  ".join(["method".ljust(width), *(name.rjust(size) for name, size in COLUMNS.items())])
        rows = [Text(head, "dim")]
        for (task, regime), section in groupby(cells, lambda cell: (cell.task, cell.regime)):
            rows.append(Text(f"{task} · {regime}", "bold"))
            rows += [Text("  ".join([cell.method.ljust(width), *cell.words()])) for cell in section]
        return Group(*rows, *map(Text, summary))


def _lines(cells: list[Cell]) -> int:
    """Of a table with these rows; head and summary take four."""
    return len(cells) + len({(cell.task, cell.regime) for cell in cells}) + 4
