"""The three ways to record runs: a scale at its end, all that there is, and a scale while it trains."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from gipo.errors import GipoError
from gipo.runs.directory import RunDirectory
from gipo.runs.spec import RunSpec
from gipo.scale import Scale, configs
from gipo.tracking.experiments import Experiment, of_others, of_scale
from gipo.tracking.recorder import Recorder, Tell, read
from gipo.tracking.store import ServerAwayError, Store, alone

EVERY = 30.0
"""Seconds between two looks at the runs."""
TRIES = 3
"""How often the end of a workflow asks a server that is away."""


class Tracker:
    """Experiments with their records, which are looked up anew where somebody else recorded, or the store is another.

    Args:
        experiments: what to record.
        results: folder of all results.
        tell: takes a line on each run that cannot be recorded.
    """

    def __init__(self, experiments: Sequence[Experiment], results: Path, tell: Tell) -> None:
        self.experiments, self.results, self.tell = experiments, results, tell
        self.name = uuid.uuid4().hex
        self.store: Store | None = None
        self.identity: object = None
        self.recorders: list[Recorder] = []

    def update(self) -> bool:
        """Record what is new; whether all runs are recorded now.

        Raises:
            ServerAwayError: the server cannot be reached, or refuses.
            GipoError: the local store cannot be used.
        """
        with alone(self.results, self.name) as was_last:
            try:
                if self.store is None or not was_last or self.identity != self.store.identity:
                    self._look_up()
                assert self.store
                with self.store.guarded():
                    for recorder in self.recorders:
                        recorder.update()
            except GipoError:
                self.store = None  # a record may have been left half made
                raise
        return all(recorder.is_complete for recorder in self.recorders)

    def _look_up(self) -> None:
        self.store = Store.of(self.results)
        self.identity = self.store.identity
        with self.store.guarded():
            self.recorders = [Recorder(self.store, one, self.results, self.tell) for one in self.experiments]


def track(scale: Scale, results: Path, tell: Tell, pause: float = EVERY) -> list[str]:
    """Record all runs of a scale, each of which has to be finished, and its report.

    A server that is away is asked three times, and told of in one line.

    Args:
        scale: the scale.
        results: folder of all results.
        tell: takes that line.
        pause: seconds between two tries.

    Returns:
        Ids of the runs that are recorded: all, or none where the server is away.

    Raises:
        GipoError: a run is missing, unfinished, damaged or the work of other code than today's, or the local store
            cannot be used.
    """
    for run_id in scale.runs:
        read(results / "runs" / run_id)
    refused: list[str] = []
    tracker = Tracker(of_scale(scale, results), results, refused.append)
    for number in range(TRIES):
        try:
            tracker.update()
        except ServerAwayError as error:
            if number == 0:
                tell(f"{error}: it is tried again; what is not recorded then, `gipo follow {scale.name}` records later")
            if number < TRIES - 1:
                time.sleep(pause)
        else:
            if refused:
                raise GipoError(refused[0].removeprefix("left out: "))
            return list(scale.runs)
    return []


def store(results: Path, folder: Path, tell: Tell) -> None:
    """Record every finished run there is: those of the scales in a folder of configs, then those of none.

    Raises:
        GipoError: as `Tracker.update`.
    """
    finished = {"/".join(path.parts[-5:-1]) for path in results.glob("runs/*/*/*/*/manifest.json")}
    experiments: dict[str, Experiment] = {}
    for path in configs(folder).values():
        with suppress(GipoError):  # whoever runs that scale is told
            experiments |= {one.name: one for one in of_scale(Scale.load(path), results)}
    known = {name: one for name, one in experiments.items() if finished & one.runs.keys()}
    others = finished.difference(*(one.runs for one in known.values()))
    specs = list(filter(None, (_spec(results / "runs" / run_id, tell) for run_id in sorted(others))))
    Tracker([*known.values(), *([of_others(specs)] if specs else [])], results, tell).update()


def follow(scale: Scale, results: Path, tell: Tell, is_over: Callable[[], bool] | None = None) -> None:
    """Keep the records of a scale's runs and of its report up to date.

    What goes wrong with the store is told of in one line, and tried again. Finished runs that cannot be recorded, as
    older code made them, are passed over: the workflow trains them again.

    Args:
        scale: the scale.
        results: folder of all results.
        tell: takes lines.
        is_over: asked every second; when it is over, there is one last look. Without it, that is the look at which all
            runs are finished.
    """
    tracker, told = Tracker(of_scale(scale, results), results, lambda line: None), ""
    while True:
        over, recorded = bool(is_over and is_over()), False
        try:
            recorded, told = tracker.update(), ""
        except GipoError as error:
            if str(error) != told:
                told = str(error)
                tell(f"{error}; it is tried again every {EVERY:.0f} s")
        if over or (recorded and is_over is None):
            return
        until = time.monotonic() + EVERY
        while time.monotonic() < until and not (is_over and is_over()):
            time.sleep(1.0)


def _spec(path: Path, tell: Tell) -> RunSpec | None:
    try:
        return RunDirectory(path).read_spec()
    except GipoError as error:
        tell(f"left out: {error}")
        return None
