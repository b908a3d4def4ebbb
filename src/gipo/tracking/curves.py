"""The curves of a run as MLflow shows them, by the names of the glossary, and those of all seeds together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gipo.analysis.collect import scored
from gipo.analysis.statistics import CEILINGS, WINDOW
from gipo.report.metrics import tables
from gipo.runs.finished import FinishedRun
from gipo.runs.progress import Progress

MOST_POINTS = 150
"""Points of a curve that are shown: more than a chart has room for."""
NAMES = {
    table: {column: metric.recorded_as(column) for column, metric in columns.items() if metric.group}
    for table, columns in tables().items()
    if any(metric.group for metric in columns.values())
}
"""Names in MLflow by table and column of the glossary."""
RUN, EVALUATION, SCALE, ALONE = NAMES.values()
SPREAD = "spread"
"""Group of the standard deviations over seeds."""


@dataclass(frozen=True)
class Curve:
    """Values without NaN, [points], and the updates at which they were measured, [points], which rise."""

    updates: NDArray[np.int64]
    values: NDArray[np.float64]

    @classmethod
    def of(cls, table: pd.DataFrame, column: str) -> Curve:
        """A column of a table over its column ``update``."""
        known = table[["update", column]].dropna()
        return cls(known["update"].to_numpy(np.int64), known[column].to_numpy(np.float64))

    @classmethod
    def point(cls, update: int, value: float) -> Curve:
        """A curve of one point."""
        return cls(np.array([update]), np.array([value]))

    def thinned(self) -> Curve:
        """At most `MOST_POINTS` of the points, evenly spaced, the first and the last one among them."""
        if len(self.updates) <= MOST_POINTS:
            return self
        kept = np.linspace(0, len(self.updates) - 1, MOST_POINTS).round().astype(int)
        return Curve(self.updates[kept], self.values[kept])

    def at(self, updates: NDArray[np.int64]) -> NDArray[np.float64]:
        """Values at updates that it has."""
        return self.values[np.searchsorted(self.updates, updates)]


Curves = dict[str, Curve]


def of_run(run: FinishedRun, reference: tuple[float, float] | None, has_score: bool) -> Curves:
    """All curves of a finished run, with all their points.

    Args:
        run: the run.
        reference: mean return of the random policy and of the expert; None for LIBERO, whose score is success.
        has_score: whether there is a score; MetaWorld has none where its reference policies have not played yet.

    Raises:
        GipoError: a table is missing or damaged.
    """
    logged = run.metrics()
    found = {name: Curve.of(logged, column) for column, name in RUN.items()}
    columns = EVALUATION | (SCALE if has_score else {})
    means = scored(run, reference).groupby("update")[["env_steps", *columns]].mean().reset_index()
    for column, ceiling in CEILINGS.items():
        if column in means:
            means[column] = means[column].clip(upper=ceiling)
    found |= {name: Curve.of(means, column) for column, name in columns.items()}
    last = means["env_steps"].iloc[-1]
    late = means[last - means["env_steps"] <= WINDOW * last]
    for column, short in {"score": "final_score", "success_any": "final_success"}.items():
        if column in columns:
            found[ALONE[short]] = Curve.point(int(means["update"].iloc[-1]), float(late[column].mean()))
    return {name: curve for name, curve in found.items() if len(curve.updates)}


def of_progress(progress: Progress) -> Curves:
    """All that is known of a run while it is trained."""
    known = {
        RUN["env_steps"]: progress.env_steps,
        RUN["d95"]: progress.d95,
        EVALUATION["return"]: progress.episode_return,
        EVALUATION["success_any"]: progress.success,
    }
    return {name: Curve.point(progress.update, float(value)) for name, value in known.items() if value is not None}


def over_seeds(seeds: Sequence[Curves]) -> Curves:
    """The mean over runs wherever all have a value, and as `SPREAD` the standard deviation at the last such update."""
    found: Curves = {}
    for name in seeds[0]:
        curves = [one[name] for one in seeds if name in one]
        updates = reduce(np.intersect1d, [curve.updates for curve in curves])
        if len(curves) < len(seeds) or not len(updates):
            continue
        values = np.stack([curve.at(updates) for curve in curves])
        found[name] = Curve(updates, values.mean(axis=0))
        if len(seeds) > 1:
            spread = float(values[:, -1].std(ddof=1))
            found[f"{SPREAD}/{name.partition('/')[2]}"] = Curve.point(int(updates[-1]), spread)
    return found
