"""Figure 7: how far the policy moves (KL) against how evenly it uses old samples (ESS_Eff_Old), and the return."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator

from gipo.analysis.collect import Tables
from gipo.analysis.statistics import mean
from gipo.figures import style, words
from gipo.figures.windowed import REGIME, TASK, method_rows, shown_regime, shown_task, windowed

PAPER = {"ppo-clip": 0.864, "gipo-0.5-0.5": 0.802, "gipo-1-1": 0.801, "gipo-2-2": 0.595, "sapo": 0.830}
"""ESS_Eff_Old, one run each on `TASK` in `REGIME` [C]; the one sigma of the log stands for both [R]."""

SOURCE = "[C], one run"


def table(sources: Path, resamples: int = 2000) -> pd.DataFrame:
    """KL, ESS_Eff_Old and return of every run over the last 20 % of training, and ESS_Eff_Old by method.

    Args:
        sources: ``results/<scale>``.
        resamples: bootstrap resamples.

    Returns:
        ``panel`` is ``run`` (a row per run: ``kl``, ``ess_eff_old``, ``return``) or ``method`` (a row per method:
        mean ESS_Eff_Old as ``value`` with its interval, and the ``paper``'s).

    Raises:
        GipoError: a table is missing or damaged, or the runs of a method are not comparable.
    """
    tables = Tables.read(sources / "tables")
    task = shown_task(tables.metrics["task"])
    regime = shown_regime(tables.metrics.loc[tables.metrics["task"] == task, "regime"])
    metrics, evaluations = (
        t[(t["task"] == task) & (t["regime"] == regime)] for t in (tables.metrics, tables.evaluations)
    )
    frames = []
    for method in style.order(metrics["method"]):
        runs = windowed(metrics, task, regime, method, ["kl", "ess_eff_old"])
        returns = windowed(evaluations, task, regime, method, ["return"])
        row = _row(runs["ess_eff_old"].to_numpy()[:, None], task, regime, method, resamples)
        frames += [runs.merge(returns).assign(panel="run"), pd.DataFrame([row])]
    return pd.concat(frames).assign(tasks=1, resamples=resamples).sort_values("panel", ascending=False, kind="stable")


def _row(values: np.ndarray[Any, Any], task: str, regime: str, method: str, resamples: int) -> dict[str, Any]:
    """ESS_Eff_Old of a method; ``values`` [seeds, 1]."""
    estimate = mean(values, "ess_eff_old", method, resamples)
    quoted = (task, regime) == (TASK, REGIME) and method in PAPER
    return {
        "panel": "method",
        "task": task,
        "regime": regime,
        "method": method,
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "seeds": len(values),
        "note": "no old samples in a batch" if np.isnan(estimate.value) else estimate.note,
        "paper": PAPER[method] if quoted else np.nan,
        "source": SOURCE if quoted else "",
    }


def draw(table: pd.DataFrame) -> Figure:
    """Above a point per run, coloured by return; below the ESS_Eff_Old of each method on the same axis."""
    methods = style.order(table["method"])
    height = 0.5 + 0.27 * len(methods)
    figure = Figure(figsize=(style.WIDTH, height + 5), layout="constrained")
    runs_ax, methods_ax = figure.subplots(2, 1, sharex=True, height_ratios=[3.8, height])
    _runs(figure, runs_ax, table[table["panel"] == "run"], methods)
    method_rows(methods_ax, table[table["panel"] == "method"].set_index("method"), methods)
    methods_ax.set_yticks(range(len(methods)), [style.label(method) for method in methods])
    methods_ax.set_xlabel("ESS_Eff_Old  (1 = all old samples count alike)")
    methods_ax.set_xlim(*_limits(table))
    handles = [Line2D([], [], ls="none", **_marker(method), color="white") for method in methods]
    labels = [style.label(method) for method in methods]
    if table["paper"].notna().any():
        handles.append(Line2D([], [], ls="none", **style.PAPER))
        labels.append("paper (one run)")
    style.legend(figure, handles, labels)
    return figure


def _marker(method: str) -> dict[str, Any]:
    return {
        "marker": style.marker(method),
        "markersize": 9,
        "markeredgecolor": style.colour(method),
        "markeredgewidth": 2,
    }


def _runs(figure: Figure, ax: Axes, rows: pd.DataFrame, methods: list[str]) -> None:
    rows = rows[rows["ess_eff_old"].notna()]
    ax.set_ylabel("KL(μ || π)")
    if rows.empty:
        ax.text(0.5, 0.5, "no old samples", transform=ax.transAxes, ha="center", va="center", color=style.MUTED)
        return
    for method in methods:
        one = rows[rows["method"] == method]
        points = ax.scatter(
            one["ess_eff_old"],
            one["kl"],
            c=one["return"],
            cmap="viridis",
            vmin=rows["return"].min(),
            vmax=rows["return"].max(),
            s=80,
            marker=style.marker(method),
            edgecolors=style.colour(method),
            linewidths=2,
            zorder=3,
        )
    figure.colorbar(points, ax=ax, label="evaluation return", pad=0.02)
    if rows["kl"].min() > 0:
        ax.set_yscale("log")
        ax.set_ylim(rows["kl"].min() / 1.5, rows["kl"].max() * 1.5)
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda kl, _: f"{kl:g}"))
        ax.yaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))


def _limits(table: pd.DataFrame) -> tuple[float, float]:
    """A little beyond all values; from 0 to 1 where there are none."""
    values = table[["ess_eff_old", "low", "high", "paper"]].stack()
    if values.empty:
        return 0, 1
    margin = max(0.05 * (values.max() - values.min()), 0.01)
    return float(values.min() - margin), float(values.max() + margin)


def caption(table: pd.DataFrame) -> str:
    """What is shown, n, interval method, the authors' values."""
    runs, methods = table[table["panel"] == "run"], table[table["panel"] == "method"]
    paper = left_out = ""
    if table["paper"].notna().any():
        paper = (
            f" Diamonds: ESS_Eff_Old in the authors' logs of {TASK}, {REGIME}, one run each [C], their one sigma read "
            "as both [R]; the public text has no KL beside them."
        )
    if runs["ess_eff_old"].isna().any():
        left_out = f" {runs['ess_eff_old'].isna().sum()} of {len(runs)} runs had no old samples and are not shown."
    return (
        f"KL(μ || π) against ESS_Eff_Old on {runs['task'].iloc[0]} in regime {runs['regime'].iloc[0]}, "
        f"{words.runs(methods)} per method. Above: a point per run, its values averaged over the last 20 % of env "
        "steps, filled by its evaluation return and edged in the colour of its method. ESS_Eff_Old is (Σm)² / (N Σm²) "
        f"of the multipliers m of the N old samples (version gap ≥ K).{left_out} Below: its mean over runs by method. "
        f"{words.intervals(methods)}{paper}"
    )
