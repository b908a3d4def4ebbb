"""Statistics over seeds and tasks on rliable (Agarwal et al. 2021): estimates with stratified bootstrap intervals.

Arrays are [seeds, tasks, ...]: a row is one training run per task, never an evaluation episode; episodes are averaged
first. Seeds are resampled within each task; intervals are 95 % percentile intervals (rliable's ``bc`` and ``bca``
fail where all runs score the same).

A resample is drawn as rliable draws it, from a generator that the metric and the methods' ids alone seed: intervals are
the same on every run and depend neither on labels nor on which other methods are in the study. They are rliable's,
except that a run is drawn with all its points, where rliable draws for each point anew. Resamples are drawn and summed
up many at a time: a `Statistic` takes them stacked.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rliable import metrics
from scipy import stats

from gipo.analysis import methods
from gipo.errors import GipoError

Array = NDArray[np.float64]
Statistic = Callable[..., Array]
"""Groups of runs, [resamples, seeds, tasks, ...] each, to [resamples, values]."""

WINDOW = 0.2
"""Final share of a run's env steps over which its value is averaged (paper, appendix C.4)."""

_TAIL = (1 - 0.95) / 2
PERCENTILES = (100 * _TAIL, 100 * (1 - _TAIL))
"""Between which 95 % of the resamples lie."""

MOST_DRAWN = 1_000_000
"""Numbers of all resamples that are held at a time."""

CEILINGS = {"score": 1.0}
"""Columns whose mean in an evaluation counts up to there only. The scripted expert's score is 1; in short episodes,
which are over before it is done, that is no ceiling, and one such task would decide every mean over tasks."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval.

    Attributes:
        value: point estimate; NaN where a single score is NaN.
        low: lower end of the interval; NaN where there is none.
        high: upper end of the interval; NaN where there is none.
        n: training runs that went into it.
        note: what a reader must know before trusting it, empty if nothing.
    """

    value: float
    low: float
    high: float
    n: int
    note: str

    @property
    def detectable(self) -> float:
        """The difference that such a study would have told from 0 with 80 % probability; NaN without an interval.

        It is 2.8 standard errors (1.96 for 5 %, two-sided, and 0.84 for 80 %); the standard error is the width of the
        95 % interval over 3.92, as of a normal distribution.
        """
        width = self.high - self.low
        return 2.8 * width / 3.92 if width > 0 else float("nan")


@dataclass(frozen=True)
class Band:
    """As `Estimate`, at many points: ``value``, ``low`` and ``high`` are arrays of one shape, intervals pointwise."""

    value: Array
    low: Array
    high: Array
    n: int
    note: str


@dataclass(frozen=True)
class Curves:
    """Logged values of the runs of one method in one regime, over training.

    Attributes:
        tasks: names, sorted.
        updates: learner updates at the logged points, [points].
        env_steps: environment steps by then, [seeds, tasks, points].
        values: logged values, episodes averaged, [seeds, tasks, points].
    """

    tasks: list[str]
    updates: NDArray[np.int64]
    env_steps: Array
    values: Array

    def window(self) -> Array:
        """Mean of each run over the points in the last 20 % of its env steps, [seeds, tasks]."""
        last = self.env_steps[..., -1:]
        late = last - self.env_steps <= WINDOW * last
        return np.mean(self.values, axis=-1, where=late)

    def final(self) -> Array:
        """Each run at the last point, [seeds, tasks]."""
        return self.values[..., -1]

    def area(self) -> Array:
        """Mean of each run over all its env steps, [seeds, tasks]: the area under its curve, by trapezoids."""
        if self.values.shape[-1] == 1:
            return self.final()
        covered = self.env_steps[..., -1] - self.env_steps[..., 0]
        return np.asarray(np.trapezoid(self.values, self.env_steps, axis=-1) / covered)


def min_max(returns: dict[str, Array]) -> dict[str, Array]:
    """Scores by the methods of a task: 0 is the least mean over seeds of any method on it, 1 the greatest.

    One of two readings of the article's normalised score, which is not public [R]. It does not depend on reference
    policies, but on which methods are compared; and where methods are level on a task, it makes 0 and 1 of noise.

    Args:
        returns: method to [seeds, tasks].

    Returns:
        The same, scaled; NaN on a task on which all methods are equal.
    """
    means = np.stack([values.mean(axis=0) for values in returns.values()])
    low, width = means.min(axis=0), np.ptp(means, axis=0)
    scale = np.divide(1, width, out=np.full_like(width, np.nan), where=width > 0)
    return {method: (values - low) * scale for method, values in returns.items()}


def curves(table: pd.DataFrame, regime: str, method: str, column: str) -> Curves:
    """Arrange a tidy table by seed, task and update; a NaN in an episode makes its point NaN. See `CEILINGS`.

    Args:
        table: the tidy ``evaluations`` or ``metrics``.
        regime: its rows to take.
        method: its rows to take.
        column: value to average over the rows of one update.

    Raises:
        GipoError: no such runs, a task without runs, or runs that differ in number or in the updates they logged.
    """
    what = f"method {method!r} in regime {regime!r}"
    rows = table[(table["regime"] == regime) & (table["method"] == method)]
    if rows.empty:
        raise GipoError(f"{what}: no runs in the tables")
    points = rows.groupby(["task", "seed", "update"])
    means = points[column].mean().where(points[column].count() == points.size())
    values = means.clip(upper=CEILINGS.get(column)).unstack("update")
    seeds = values.groupby("task").size()
    missing = sorted(set(table.loc[table["regime"] == regime, "task"]) - set(seeds.index))
    if missing:
        raise GipoError(f"{what}: no runs of task {missing[0]!r}, which other methods have")
    if seeds.nunique() > 1:
        counts = ", ".join(f"{task} {count}" for task, count in seeds.items())
        raise GipoError(f"{what}: expected the same number of seeds in every task, got {counts}")
    if points.ngroups != values.size:
        raise GipoError(f"{what}: expected every run to log {column!r} at the same updates; some points are missing")
    shape = (len(seeds), int(seeds.iloc[0]), values.shape[1])
    return Curves(
        tasks=list(seeds.index),
        updates=values.columns.to_numpy(np.int64),
        env_steps=_by_seed(points["env_steps"].mean().unstack("update"), shape),
        values=_by_seed(values, shape),
    )


def estimate(metric: str, values: dict[str, Array], statistic: Statistic, resamples: int, within: int = 0) -> Estimate:
    """Any statistic of the runs of one or more groups, each group resampled on its own.

    Args:
        metric: name of the statistic; with the names of the groups it seeds the resampling.
        values: group name to [seeds, tasks, ...], in the order of the statistic's arguments.
        statistic: of a single value.
        resamples: bootstrap resamples.
        within: how many of the last axes hold numbers of one run, which stay together.
    """
    band = _band(metric, values, statistic, resamples, within)
    value, low, high = (float(x[0]) for x in (band.value, band.low, band.high))
    note = band.note or ("all resamples agree, so the interval has no width" if low == high else "")
    return Estimate(value, low, high, band.n, note)


def iqm(scores: Array, method: str, resamples: int) -> Estimate:
    """Interquartile mean over seeds and tasks.

    Args:
        scores: [seeds, tasks].
        method: whose scores these are; seeds the resampling.
        resamples: bootstrap resamples.
    """
    return estimate("iqm", {method: scores}, interquartile_mean, resamples)


def steps_to_same(metric: str, runs: dict[str, Curves], resamples: int) -> Estimate:
    """How many times the env steps of the second group of runs the first needs until it performs the same.

    The same is, on every task, the lower of the two groups' values in the window; a group gets there at the first
    evaluation after the start whose mean over seeds is not below it. Geometric mean over tasks.

    Args:
        metric: name of what is evaluated; with the names of the groups it seeds the resampling.
        runs: two groups by name.
        resamples: bootstrap resamples.
    """
    values = {name: np.stack([curve.env_steps, curve.values], axis=2) for name, curve in runs.items()}
    return estimate(metric, values, one_by_one(_steps_ratio), resamples, within=2)


def _steps_ratio(of: Array, over: Array) -> Array:
    """Runs [seeds, tasks, 2 (env steps, performance), points] to [1]."""
    of, over = of.mean(axis=0), over.mean(axis=0)
    ratios = []
    for one, other in zip(of, over, strict=True):
        level = min(_last(*one), _last(*other)) - 1e-9  # the mean of equal numbers may round up
        ratios.append(_first(one[0], one[1], level) / _first(other[0], other[1], level))
    return np.array([np.exp(np.mean(np.log(ratios)))])


def _last(steps: Array, values: Array) -> float:
    """Mean over the last 20 % of env steps."""
    return float(values[steps[-1] - steps <= WINDOW * steps[-1]].mean())


def _first(steps: Array, values: Array, level: float) -> float:
    """Steps at which a value reached the level, after the start."""
    return float(steps[1:][values[1:] >= level][0])


def probability_of_improvement(scores: Array, rival_scores: Array, method: str, rival: str, resamples: int) -> Estimate:
    """Chance that a run of ``method`` beats one of ``rival`` on the same task, mean over tasks; a tie counts half."""
    both = {method: scores, rival: rival_scores}
    return estimate("probability_of_improvement", both, _improvement, resamples)


def rank_probabilities(scores: dict[str, Array], resamples: int) -> dict[str, Array]:
    """Share of bootstrap resamples in which a method's IQM has rank 1, 2, ... among all methods.

    Each method is resampled on its own, over seeds within each task, also where two labels stand for one method.
    Methods that tie share their ranks evenly, so that the shares of a method sum to 1, and so do those of a rank.

    Args:
        scores: method to [seeds, tasks].
        resamples: bootstrap resamples.

    Returns:
        Method to [methods]; NaN where a score is NaN or a method has a single seed, which tells nothing.
    """
    if any(len(array) == 1 or np.isnan(array).any() for array in scores.values()):
        return {method: np.full(len(scores), np.nan) for method in scores}
    same = Counter(methods.read(method).id for method in scores)
    words = [method.replace(":", "") if same[methods.read(method).id] > 1 else method for method in scores]
    drawn = np.stack([_resampled_iqm(*pair, resamples) for pair in zip(scores.values(), words, strict=True)])
    ranks = np.arange(len(scores))
    shares = {}
    for method, own in zip(scores, drawn, strict=True):
        better = (drawn > own).sum(axis=0)
        equal = (drawn == own).sum(axis=0)
        held = (ranks >= better[:, None]) & (ranks < (better + equal)[:, None])
        shares[method] = (held / equal[:, None]).mean(axis=0)
    return shares


def top_ranks(scores: dict[str, Array], family: Collection[str], ranks: int, resamples: int) -> Estimate:
    """How many of the top ranks by IQM some of the methods take; a tie counts against them.

    Args:
        scores: method to [seeds, tasks], the same numbers of both for all.
        family: those methods.
        ranks: how many ranks are the top.
        resamples: bootstrap resamples.
    """
    # Rivals first: among equals, a stable sort ranks whoever comes first higher.
    names = sorted(scores, key=lambda name: (name in family, name))
    is_family = np.array([name in family for name in names])

    def count(*arrays: Array) -> Array:
        iqms = np.hstack([interquartile_mean(array) for array in arrays])
        best = np.argsort(-iqms, axis=1, kind="stable")[:, :ranks]
        return is_family[best].sum(axis=1, keepdims=True).astype(np.float64)

    return estimate("top ranks", {name: scores[name] for name in names}, count, resamples)


def mean(values: Array, metric: str, method: str, resamples: int) -> Estimate:
    """Plain mean over seeds, tasks and what further axes there are, as Table 1 of the paper averages.

    Args:
        values: windowed values, [seeds, tasks, ...].
        metric: what they measure; with ``method`` it seeds the resampling.
        method: whose runs these are.
        resamples: bootstrap resamples.
    """
    runs = values.reshape(len(values), -1)
    return estimate(f"mean of {metric}", {method: runs}, mean_of_all, resamples)


def std_across_tasks(values: Array) -> float:
    """Sample standard deviation across tasks of the mean over seeds (and further axes); NaN for a single task."""
    means = np.moveaxis(values, 1, 0).reshape(values.shape[1], -1).mean(axis=1)
    return float(means.std(ddof=1)) if len(means) > 1 else float("nan")


def performance_profile(scores: Array, thresholds: Array, method: str, resamples: int) -> Band:
    """Share of runs that score above each threshold; ``scores`` [seeds, tasks], result as ``thresholds``."""
    return _band(
        "performance_profile",
        {method: scores},
        lambda x: (x[..., None] > thresholds).mean(axis=(1, 2)),
        resamples,
    )


def iqm_curve(scores: Array, method: str, resamples: int) -> Band:
    """Sample efficiency: IQM over seeds and tasks at each point of ``scores`` [seeds, tasks, points]."""
    return _band(
        "iqm_curve",
        {method: scores},
        lambda x: stats.trim_mean(x.reshape(len(x), -1, x.shape[-1]), proportiontocut=0.25, axis=1),
        resamples,
        within=1,
    )


def mean_over_runs(values: Array, metric: str, method: str, resamples: int) -> Band:
    """Mean over seeds, tasks and further axes at each point of ``values`` [seeds, tasks, ..., points]."""
    runs = values.reshape(len(values), -1, values.shape[-1])
    return _mean_band(f"mean curve of {metric}", method, runs, lambda tasks: tasks.mean(axis=0), resamples)


def mean_curve(values: Array, method: str, resamples: int) -> Band:
    """Learning curves: mean over seeds, [tasks, points], of ``values`` [seeds, tasks, points]."""
    return _mean_band("mean_curve", method, values, lambda tasks: tasks, resamples)


def _by_seed(rows: pd.DataFrame, shape: tuple[int, int, int]) -> Array:
    """Rows sorted by task and seed to [seeds, tasks, points]."""
    return rows.to_numpy(np.float64).reshape(shape).swapaxes(0, 1)


def trimmed_mean(scores: Array) -> float:
    """Interquartile mean of all values, without an interval."""
    return float(metrics.aggregate_iqm(scores))


def interquartile_mean(scores: Array) -> Array:
    """A `Statistic`: the interquartile mean of a group."""
    return np.asarray(stats.trim_mean(scores.reshape(len(scores), -1), 0.25, axis=1), np.float64)[:, None]


def iqm_difference(one: Array, other: Array) -> Array:
    """IQM of one group less that of another, of each resample."""
    return interquartile_mean(one) - interquartile_mean(other)


def mean_of_all(values: Array) -> Array:
    """A `Statistic`: the mean of a group."""
    return values.reshape(len(values), -1).mean(axis=1, keepdims=True)


def one_by_one(statistic: Callable[..., Array]) -> Statistic:
    """A `Statistic` from a function that takes the groups of a single resample, [seeds, tasks, ...] each."""
    return lambda *groups: np.stack([statistic(*drawn) for drawn in zip(*groups, strict=True)])


def _resampled_iqm(scores: Array, method: str, resamples: int) -> Array:
    """IQM of each resample, [resamples]."""
    blocks = _drawn([scores], 0, resamples, _generator("rank", method))
    return np.concatenate([interquartile_mean(drawn)[:, 0] for (drawn,) in blocks])


def _improvement(scores: Array, rival_scores: Array) -> Array:
    """As rliable's: the U statistic by counting, without the test around it."""
    difference = scores[:, :, None] - rival_scores[:, None]
    return ((difference > 0) + 0.5 * (difference == 0)).mean(axis=(1, 2, 3))[:, None]


def _band(metric: str, values: dict[str, Array], statistic: Statistic, resamples: int, within: int = 0) -> Band:
    """Statistic of the runs with its percentile interval, if they allow one."""
    arrays = list(values.values())
    value = np.asarray(statistic(*(array[None] for array in arrays)), np.float64)[0]
    drawn = _drawn(arrays, within, resamples, _generator(metric, *values))
    return _with_interval(value, arrays, (statistic(*groups) for groups in drawn))


def _mean_band(metric: str, method: str, values: Array, combine: Callable[[Array], Array], resamples: int) -> Band:
    """Means over seeds of ``values`` [seeds, tasks, points], which ``combine`` takes as [tasks, resamples, points].

    A resample's mean is the product of the share that each run has in it and the runs: many times as fast as to take
    the runs and average them.
    """
    first, differences = values[0], (values - values[:1]).swapaxes(0, 1)  # equal runs stay equal to the last bit

    def means(shares: Array) -> Array:
        return np.moveaxis(combine(np.matmul(shares, differences) + first[:, None]), -2, 0)

    (seeds, tasks), generator = values.shape[:2], _generator(metric, method)
    blocks = (_shares(seeds, tasks, count, generator) for count in _blocks(resamples, seeds * values.size))
    return _with_interval(means(np.full((tasks, 1, seeds), 1 / seeds))[0], [values], map(means, blocks))


def _shares(seeds: int, tasks: int, resamples: int, generator: np.random.RandomState) -> Array:
    """Share of each run in its task's mean, [tasks, resamples, seeds], of resamples as `_drawn` draws them."""
    drawn = generator.randint(seeds, size=(resamples, seeds, tasks))
    return np.asarray((drawn[..., None] == np.arange(seeds)).mean(axis=1).swapaxes(0, 1))


def _with_interval(value: Array, arrays: Sequence[Array], blocks: Iterable[Array]) -> Band:
    """A value with the percentiles of its resamples, if the runs allow them."""
    n = sum(array.shape[0] * array.shape[1] for array in arrays)
    note, nothing = _note(arrays), np.full_like(value, np.nan)
    if any(np.isnan(array).any() for array in arrays):  # trimming and comparing would drop a NaN in silence
        return Band(nothing, nothing, nothing, n, note)
    if any(len(array) == 1 for array in arrays):  # rliable would return an interval of no width
        return Band(value, nothing, nothing, n, note)
    low, high = np.percentile(np.concatenate(list(blocks)), PERCENTILES, axis=0)
    return Band(value, low, high, n, note)


def _drawn(
    arrays: Sequence[Array], within: int, resamples: int, generator: np.random.RandomState
) -> Iterator[list[Array]]:
    """Resamples of all arrays in blocks, [resamples of the block, *shape] each; all draw in turn, as in rliable.

    A seed is drawn for every task and whatever further axes there are, but for the last ``within`` ones.
    """
    runs = [array.shape[: array.ndim - within] for array in arrays]
    sizes = [math.prod(shape) for shape in runs]
    seeds = np.repeat([len(array) for array in arrays], sizes)
    for count in _blocks(resamples, sum(array.size for array in arrays)):
        rows = np.split(generator.randint(np.broadcast_to(seeds, (count, len(seeds)))), np.cumsum(sizes)[:-1], axis=1)
        yield [
            array[(own.reshape(count, *shape), *np.ogrid[tuple(map(slice, shape))][1:])]
            for own, array, shape in zip(rows, arrays, runs, strict=True)
        ]


def _blocks(resamples: int, size: int) -> Iterator[int]:
    """Numbers of resamples that are drawn at a time, of so many numbers each."""
    block = max(1, MOST_DRAWN // size)
    for first in range(0, resamples, block):
        yield min(block, resamples - first)


def _note(arrays: Sequence[Array]) -> str:
    """A warning about the scores behind an estimate; empty if there is none."""
    bad = sum(int(np.isnan(array).sum()) for array in arrays)
    if bad:
        return f"{bad} of {sum(array.size for array in arrays)} values are NaN, so it is undefined"
    if any(len(array) == 1 for array in arrays):
        return "a single seed, so no interval"
    notes = []
    if all(np.ptp(array) == 0 for array in arrays):
        notes.append("all runs have the same value, so the interval has no width")
    elif any((np.ptp(array, axis=0) == 0).reshape(array.shape[1], -1).all(axis=1).any() for array in arrays):
        notes.append("all seeds agree in some tasks, which the interval then ignores")
    return "; ".join(notes)


def _generator(*words: str) -> np.random.RandomState:
    """A generator that is seeded from the words, of names from the ids alone."""
    digest = hashlib.sha256("\n".join(methods.read(word).id for word in words).encode()).digest()
    return np.random.RandomState(int.from_bytes(digest[:4], "big"))
