"""Figure 8: D0.95 against the lag of the data."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from scipy.stats import pearsonr

from gipo import paper
from gipo.analysis import numbers
from gipo.analysis.collect import Tables
from gipo.analysis.statistics import Array, estimate, mean, one_by_one
from gipo.figures import panels, style, words
from gipo.figures.windowed import REGIME, TASK, every_configuration, metrics_with_gap_share, shown_task, windowed
from gipo.stages import StudyFolder

TITLE = "Figure 8"
SUBTITLE = "The tail of the ratios (D0.95) against the lag of the data, across methods and regimes on one task"

ALL = "all"
"""Stands for all regimes together in the column ``regime``."""

EVERY = "with sweeps"
"""Stands for all regimes, and for the configurations of the sweeps too; the others are of the main grid alone."""

PUBLISHED = ("paper", "paper_p")
"""Columns of the authors' r and its p-value."""

BOX = {"facecolor": "white", "edgecolor": "none", "pad": 2}
SPREAD = 0.1
"""Share of the largest lag over which the methods of one lag lie side by side."""

ONE_LAG = 0.05
"""Lags that differ by no more than this share of their mean are one lag: within it there is nothing to correlate."""


def table(sources: StudyFolder, resamples: int = 2000) -> pd.DataFrame:
    """Mean version gap and D0.95 over the last 20 % of training, and their correlation over configurations.

    Args:
        sources: ``results/<scale>``.
        resamples: bootstrap resamples.

    Returns:
        ``panel`` is ``run``, ``configuration`` (a method in a regime: mean over seeds, ``low`` and ``high`` the
        interval of ``d95``) or ``correlation`` (``r`` and ``p`` over the ``n`` configurations of ``regime``, or
        `EVERY`; NaN where fewer than three, or all of one lag; ``low``, ``high`` the interval of ``r``, ``paper``,
        ``paper_p`` the authors' ``r`` and ``p``); ``gap_share`` is the mean gap per updates of a run.

    Raises:
        GipoError: a table is missing or damaged, or the runs of a method are not comparable.
    """
    tables = every_configuration(sources)
    metrics = metrics_with_gap_share(tables)
    task = shown_task(metrics["task"])
    metrics = metrics[metrics["task"] == task]
    regimes = style.order_regimes(metrics["regime"])
    groups = {
        (regime, method): windowed(metrics, task, regime, method, ["gap_share", "d95"])
        for regime in regimes
        for method in style.order(metrics.loc[metrics["regime"] == regime, "method"])
    }
    runs, configurations = pd.concat(groups.values()), [_configuration(rows, resamples) for rows in groups.values()]
    main = Tables.read(sources).model_free().runs
    grid = set(main.loc[main["task"] == task, ["regime", "method"]].itertuples(index=False, name=None))
    of_grid = {key: rows for key, rows in groups.items() if key in grid}
    correlations = [
        _correlation(regime, {key: rows for key, rows in of_grid.items() if regime in (ALL, key[0])}, task, resamples)
        for regime in (ALL, *regimes)
    ]
    if len(groups) > len(of_grid):
        correlations.append(_correlation(EVERY, groups, task, resamples))
    panels = {"run": runs, "configuration": pd.DataFrame(configurations), "correlation": pd.DataFrame(correlations)}
    frames = [rows.assign(panel=panel) for panel, rows in panels.items()]
    return pd.concat(frames).assign(task=task, tasks=1, resamples=resamples)


def _configuration(rows: pd.DataFrame, resamples: int) -> dict[str, Any]:
    """A method in a regime; ``rows`` are its runs."""
    method = str(rows["method"].iloc[0])
    tail = mean(rows[["d95"]].to_numpy(), "d95", method, resamples)
    return {
        "regime": rows["regime"].iloc[0],
        "method": method,
        "gap_share": rows["gap_share"].mean(),
        "d95": tail.value,
        "low": tail.low,
        "high": tail.high,
        "seeds": len(rows),
        "note": tail.note,
    }


def _correlation(regime: str, groups: dict[tuple[str, str], pd.DataFrame], task: str, resamples: int) -> dict[str, Any]:
    """Pearson's r over configurations, with the interval that the seeds leave it; ``groups`` hold the runs of each."""
    values = {
        f"{method} {key}": rows[["gap_share", "d95"]].to_numpy()[:, None] for (key, method), rows in groups.items()
    }
    points = np.array([value.mean(axis=(0, 1)) for value in values.values()])
    lags = np.ptp(points[:, 0]) / points[:, 0].mean()
    logged = paper.group("lag_and_tail") if (task, regime) == (TASK, ALL) else {}
    published = [logged[key].value if key in logged else np.nan for key in ("r", "p")]
    row = {"regime": regime, "n": len(points), "r": np.nan, "p": np.nan, **dict(zip(PUBLISHED, published, strict=True))}
    row["seeds"] = min(map(len, groups.values()))
    if len(points) > 2 and lags > ONE_LAG and np.ptp(points[:, 1]) > 0:
        interval = estimate("pearson of gap_share and d95", values, one_by_one(_pearson), resamples, within=1)
        row |= {"r": interval.value, "low": interval.low, "high": interval.high, "note": interval.note}
        row["p"] = pearsonr(*points.T).pvalue
    return row


def _pearson(*configurations: Array) -> Array:
    """Pearson's r over the means of configurations [seeds, 1, 2] of (gap, D0.95)."""
    gaps, tails = np.array([runs.mean(axis=(0, 1)) for runs in configurations]).T
    return np.array([pearsonr(gaps, tails).statistic])


def draw(table: pd.DataFrame) -> Figure:
    """A large point per method and regime, a faint one per run, and the correlation."""
    configurations, runs = (table[table["panel"] == panel] for panel in ("configuration", "run"))
    looks = style.looks(configurations["method"])
    figure = Figure(figsize=(style.WIDTH, 4.6), layout="constrained")
    ax = figure.subplots()
    ax.set(xlabel="mean version gap of a batch (% of all updates)", ylabel="D0.95")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}"))
    for regime, lag in configurations.groupby("regime")["gap_share"].mean().items():
        ax.axvline(lag, color=style.MUTED, lw=1, ls=":", zorder=1)
        ax.text(lag, 1.01, str(regime), transform=ax.get_xaxis_transform(), ha="center", weight="bold")
    step = SPREAD * configurations["gap_share"].max() / len(looks)
    for i, (method, look) in enumerate(looks.items()):
        shift = (i - (len(looks) - 1) / 2) * step
        points: dict[str, Any] = {"color": look.colour, "marker": look.marker, "ls": "none"}
        faint = runs[runs["method"] == method]
        ax.plot(faint["gap_share"] + shift, faint["d95"], **points, markersize=5, markeredgewidth=0, alpha=0.4)
        means = configurations[configurations["method"] == method]
        x = means["gap_share"] + shift
        ax.vlines(x, means["low"], means["high"], color=look.colour, lw=1.6)
        ax.plot(x, means["d95"], **points, markersize=8, markeredgecolor="white")
    ax.set_xlim(0, (1 + SPREAD) * runs["gap_share"].max())
    ax.set_ylim(bottom=0)
    ax.text(0.2, 0.96, _words(table), transform=ax.transAxes, va="top", linespacing=1.5, bbox=BOX)
    style.legend(figure, *panels.entries(looks, ls="none", markersize=8))
    return figure


def _words(table: pd.DataFrame) -> str:
    overall = _correlations(table)[ALL]
    rows = _correlations(table)
    lines = [f"this study: {_r(overall)}"]
    if EVERY in rows:
        lines.append(f"with sweeps: {_r(rows[EVERY])}")
    if not np.isnan(overall["paper"]):
        lines.append(f"paper: r = {overall['paper']:.3f}, p = {overall['paper_p']:.3f}")
    return "\n".join(lines)


def _correlations(table: pd.DataFrame) -> dict[Hashable, dict[Hashable, Any]]:
    """Rows of the correlations by regime."""
    return table[table["panel"] == "correlation"].set_index("regime").to_dict("index")


def _r(row: dict[Hashable, Any]) -> str:
    """A row of the correlations in words."""
    if np.isnan(row["r"]):
        return f"r undefined, n = {row['n']:.0f}"
    p = "< 0.001" if row["p"] < 0.001 else f"= {row['p']:.3f}"
    return f"r = {numbers.words(row['r'], row['low'], row['high'])}, p {p}, n = {row['n']:.0f}"


def caption(table: pd.DataFrame) -> str:
    """Say what is shown, n, interval method, the correlations and the authors' value."""
    configurations = table[table["panel"] == "configuration"]
    sentences = [
        f"D0.95 (95th percentile of |log ρ|) against the mean version gap of a batch on {table['task'].iloc[0]}, both "
        "over the last 20 % of training: a large point per method and regime (mean over seeds, line: interval of "
        "D0.95), a faint one per run, methods side by side around the lag they share (dotted); "
        f"{words.runs(configurations)} per large point.",
        *_findings(table, configurations),
        words.intervals(configurations),
    ]
    if table["paper"].notna().any():
        words_ = paper.words("r = {lag_and_tail/r}, p = {lag_and_tail/p} [C]")
        sentences.append(f"Authors' value over their configurations on {TASK}: {words_}.")
    return " ".join(filter(None, sentences))


def _findings(table: pd.DataFrame, configurations: pd.DataFrame) -> list[str]:
    """Pearson's r over all configurations and within the paper's regime, with what they cannot show."""
    rows = _correlations(table)
    lags = np.sort(configurations["gap_share"].to_numpy())
    clusters = 1 + int((np.diff(lags) > ONE_LAG * lags[1:]).sum())
    found = [f"Pearson over the configurations{' of the main grid' if EVERY in rows else ''}: {_r(rows[ALL])}."]
    if EVERY in rows:
        found.append(f"With those of the sweeps, which have fewer seeds: {_r(rows[EVERY])}.")
    if clusters == 1:
        found.append("They all have one lag, so there is nothing to correlate it with.")
    elif clusters < len(lags):
        found.append(
            f"They form only {clusters} clusters of lag, so r mostly says how far D0.95 differs between these, and p, "
            "which takes configurations for independent, should not be trusted far."
        )
    if clusters > 1 and REGIME in rows:
        within = rows[REGIME]
        if not np.isnan(within["r"]):
            found.append(f"Within {REGIME}: {_r(within)}.")
        elif within["n"] > 2:
            found.append(f"Within {REGIME} its {within['n']:.0f} share one lag, so there is nothing to correlate.")
    return found
