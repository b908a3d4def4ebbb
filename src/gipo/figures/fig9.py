"""Figure 9: sigma sensitivity."""

from __future__ import annotations

import json
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from gipo import theory
from gipo.analysis import methods, statistics
from gipo.analysis.collect import Tables
from gipo.errors import GipoError
from gipo.figures import style, words
from gipo.figures.looks import GIPO
from gipo.figures.style import Look
from gipo.stages import StudyFolder

TITLE = "Figure 9"
SUBTITLE = "How sensitive GIPO is to sigma, and which sigma a cheap model would choose"

TASK = "handle-press-v3"
"""The paper's; the first in order where the sweep lacks it."""
SOURCE = "gipo-1-1"
"""Id of the method whose D0.95 goes into the model; the first GIPO in order where it is missing."""
TOLERANCE = 0.1
"""The model deems sigmas about as good as its best if their error is larger by no more than this share."""
PANELS = {"d95": "D0.95", "ess_eff_old": "ESS_Eff_Old", "score": "normalised score"}
APART = 2**0.15
"""Asymmetric configurations stand that factor beside their sigma_pos."""
RING: dict[str, Any] = {"marker": "o", "markersize": 13, "color": "none", "markeredgecolor": style.INK}
MODEL: dict[str, Any] = {"color": style.INK, "ls": (0, (3, 2)), "lw": 1.4, "zorder": 1}
RANGE: dict[str, Any] = {"color": style.INK, "alpha": 0.08, "lw": 0, "zorder": 0}


def table(sources: StudyFolder, resamples: int = 2000) -> pd.DataFrame:
    """Means over the last 20 % of training for every configuration, and the sigma that the model would choose.

    Args:
        sources: ``results/<scale>``, with ``sweeps/sigma`` beneath it.
        resamples: bootstrap resamples.

    Returns:
        A row per regime, ``statistic`` (of `PANELS`) and method, with ``sigma_pos`` and ``sigma_neg``, NaN if it has
        none. A row per regime with ``statistic`` best_sigma: ``value`` from D0.95 of ``method`` and from ``samples``,
        ``low`` to ``high`` the sigmas that the model deems about as good; no interval in the statistical sense.

    Raises:
        GipoError: a table is missing or damaged, the runs of a method are not comparable, or none is of GIPO.
    """
    tables = Tables.read(sources, "sweeps/sigma")
    present = sorted(set(tables.runs["task"]))
    task = TASK if TASK in present else present[0]
    runs = tables.runs[tables.runs["task"] == task]
    logged = {
        statistic: frame[frame["task"] == task]
        for statistic in PANELS
        for frame in [tables.evaluations if statistic == "score" else tables.metrics]
    }
    rows = []
    for regime in style.order_regimes(runs["regime"]):
        here = style.order(runs.loc[runs["regime"] == regime, "method"])
        for statistic, frame in logged.items():
            for method in here:
                values = statistics.curves(frame, regime, method, statistic).window()
                estimate = statistics.mean(values, statistic, method, resamples)
                size = {"tasks": values.shape[1], "seeds": len(values), **_sigmas(method)}
                rows.append({"statistic": statistic, "regime": regime, "method": method, **vars(estimate), **size})
        rows += _prediction(rows, regime, json.loads(runs["spec"].iloc[0])["learner"])
    if not any("sigma_pos" in row for row in rows):
        raise GipoError("the sigma sweep has no GIPO run")
    return pd.DataFrame(rows).assign(task=task, resamples=resamples)


def _sigmas(name: str) -> dict[str, float]:
    """Both sigmas of GIPO; empty for any other objective, another kernel, or another learner."""
    method = methods.read(name)
    if not method.sigmas or method.settings or method.vtrace:
        return {}
    return dict(zip(("sigma_pos", "sigma_neg"), method.sigmas, strict=True))


def _prediction(rows: list[dict[str, Any]], regime: str, learner: dict[str, Any]) -> list[dict[str, Any]]:
    """The model's row for a regime; none without GIPO runs whose D0.95 is a positive number."""
    d95 = {
        row["method"]: row
        for row in rows
        if (row["regime"], row["statistic"]) == (regime, "d95") and "sigma_pos" in row and row["value"] > 0
    }
    if not d95:
        return []
    source = d95[(methods.find(d95, SOURCE) or style.order(d95))[0]]
    samples = learner["batch_size"] * learner["accumulation"]
    low, high = theory.good_sigmas(source["value"], samples, TOLERANCE)
    best = theory.best_sigma(source["value"], samples)
    size = {name: source[name] for name in ("method", "tasks", "seeds")}
    estimate = {"value": best, "low": low, "high": high, "samples": samples, "d95": source["value"]}
    return [{"statistic": "best_sigma", "regime": regime, **size, **estimate, "note": ""}]


def best_measured(rows: pd.DataFrame) -> pd.DataFrame:
    """The symmetric configuration with the highest score, as one row; none if none has a score."""
    scored = rows[(rows["statistic"] == "score") & (rows["sigma_pos"] == rows["sigma_neg"])]
    return scored.dropna(subset="value").nlargest(1, "value")


def draw(table: pd.DataFrame) -> Figure:
    """A column per regime, a row per statistic; the model's choice in the row of the score."""
    regimes = style.order_regimes(table["regime"])
    figure = Figure(figsize=(style.WIDTH, 7.6), layout="constrained")
    grid = figure.subplots(len(PANELS), len(regimes), sharex=True, sharey="row", squeeze=False)
    sigmas, looks = table["sigma_pos"], style.looks(table["method"])
    grid[0, 0].set_xscale("log", base=2)
    grid[0, 0].set_xlim(sigmas.min() / 1.5, sigmas.max() * 1.5)
    grid[0, 0].xaxis.set_major_formatter(FuncFormatter(lambda sigma, _: f"{sigma:g}"))
    for column, regime in zip(grid.T, regimes, strict=True):
        rows = table[table["regime"] == regime]
        column[0].set_title(regime)
        for ax, statistic in zip(column, PANELS, strict=True):
            _panel(ax, rows[rows["statistic"] == statistic], looks)
        _mark_best(column[-1], rows)
        column[-1].set_xlabel("σ  (asymmetric: σ for A > 0)")
    for ax, name in zip(grid[:, 0], PANELS.values(), strict=True):
        ax.set_ylabel(name)
    grid[0, 0].set_yscale("log")
    grid[0, 0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    grid[0, 0].yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    grid[0, 0].yaxis.set_minor_locator(NullLocator())
    figure.align_ylabels(grid[:, 0])
    _legend(figure, table, looks)
    return figure


def _panel(ax: Axes, rows: pd.DataFrame, looks: dict[str, Look]) -> None:
    symmetric = rows[rows["sigma_pos"] == rows["sigma_neg"]].sort_values("sigma_pos")
    ax.plot(symmetric["sigma_pos"], symmetric["value"], color=GIPO.colour, lw=1.4, zorder=1.5)
    for row in rows.to_dict("records"):
        look = looks[str(row["method"])]
        if np.isnan(row["sigma_pos"]):
            ax.axhline(row["value"], color=look.colour, ls=look.line, lw=1.4, zorder=1)
            continue
        side = np.sign(row["sigma_neg"] - row["sigma_pos"])
        x = row["sigma_pos"] * APART**side
        ax.vlines(x, row["low"], row["high"], color=look.colour, lw=2)
        ax.plot(x, row["value"], color=look.colour, marker=look.marker, markersize=6.5)
    if rows["value"].isna().all():
        words = "undefined: no sample is K versions old"
        ax.text(0.5, 0.5, words, transform=ax.transAxes, ha="center", color=style.MUTED, fontsize=9)


def _mark_best(ax: Axes, rows: pd.DataFrame) -> None:
    """A ring around the best measured sigma; the model's as a line with its range, or an arrow if it lies outside."""
    for row in best_measured(rows).to_dict("records"):
        ax.plot(row["sigma_pos"], row["value"], **RING)
    left, right = ax.get_xlim()
    for row in rows[rows["statistic"] == "best_sigma"].to_dict("records"):
        ax.axvspan(row["low"], min(row["high"], 2 * right), **RANGE)
        if left < row["value"] < right:
            ax.axvline(row["value"], **MODEL)
        else:
            below = row["value"] <= left
            words = f"← model: {row['value']:.2g}" if below else f"model: {row['value']:.2g} →"
            edge, side = (0.01, "left") if below else (0.99, "right")
            text = ax.text(edge, 0.02, words, transform=ax.transAxes, ha=side, va="bottom", fontsize=9)
            text.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1})


def _legend(figure: Figure, table: pd.DataFrame, looks: dict[str, Look]) -> None:
    sigmas = table[["method", "sigma_pos", "sigma_neg"]].drop_duplicates("method").set_index("method")
    symmetric, rivals = sigmas["sigma_pos"] == sigmas["sigma_neg"], sigmas["sigma_pos"].isna()
    handles: list[Artist] = []
    labels = []
    for method in style.order(sigmas.index[~symmetric]):
        look = looks[method]
        line, marker = (look.line, "") if rivals[method] else ("none", look.marker)
        handles.append(Line2D([], [], color=look.colour, ls=line, marker=marker))
        labels.append(style.label(method))
    if symmetric.any():
        handles.append(Line2D([], [], color=GIPO.colour, marker="o"))
        labels.append("GIPO (σ, σ)")
    handles.append(Line2D([], [], **RING))
    labels.append("best (σ, σ) measured")
    if (table["statistic"] == "best_sigma").any():
        handles += [Line2D([], [], **MODEL), Patch(**RANGE)]
        labels += ["best σ of the model", "about as good by it"]
    style.legend(figure, handles, labels)


def caption(table: pd.DataFrame) -> str:
    """Say what is shown, n, interval method, and what the model says beside what was measured."""
    shown = table[(table["statistic"] != "best_sigma") & table["value"].notna()]
    return (
        f"Sigma sensitivity of GIPO on {table['task'].iloc[0]}, {words.runs(shown)} per configuration and regime: "
        "D0.95 (95th percentile of |log ρ|), ESS_Eff_Old (effective share of the samples at least K versions old; "
        "undefined where none is) and normalised score, means over the last 20 % of env steps. Line: equal "
        "sigmas; triangles: asymmetric configurations beside their sigma for A > 0, pointing left where the other one "
        f"is smaller. {words.intervals(shown)} {_model_words(table)}The paper's figure 9 has curves and no numbers [P]."
    )


def _model_words(table: pd.DataFrame) -> str:
    rows = table[table["statistic"] == "best_sigma"]
    if rows.empty:
        return ""
    regimes = "; ".join(_regime_words(table, row) for row in rows.to_dict("records"))
    return (
        "Dashed: the sigma that a crude model would choose, ours and not the paper's [R]. It takes log ρ to be normal "
        "with the measured D0.95 and minimises squared bias plus variance of one gradient step for advantages of unit "
        f"size from N = {rows['samples'].iloc[0]:,.0f} samples (batch x accumulation, as if independent); the band is "
        f"where its error is within {100 * TOLERANCE:.0f} % of the least. It knows nothing of learning beyond that "
        f"step. {regimes}. "
    )


def _regime_words(table: pd.DataFrame, row: dict[Hashable, Any]) -> str:
    """``stale: D0.95 of GIPO (1, 1) 1.5, hence σ 14, band from 5.1 up; the best measured σ, 1, lies outside it``."""
    band = f"from {row['low']:.2g} up" if np.isinf(row["high"]) else f"{row['low']:.2g} to {row['high']:.2g}"
    source = f"D0.95 of {style.label(row['method'])} {row['d95']:.2g}"
    words = f"{row['regime']}: {source}, hence σ {row['value']:.2g}, band {band}"
    for best in best_measured(table[table["regime"] == row["regime"]]).to_dict("records"):
        inside = row["low"] <= best["sigma_pos"] <= row["high"]
        words += f"; the best measured σ, {best['sigma_pos']:g}, lies {'inside' if inside else 'outside'} it"
    return words
