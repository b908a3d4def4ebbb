"""Figure 7: KL against ESS_Eff_Old."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from gipo.analysis.statistics import mean
from gipo.figures import panels, style, words
from gipo.figures.style import Look
from gipo.figures.windowed import REGIME, TASK, every_configuration, one_run, shown_regime, shown_task, windowed
from gipo.stages import StudyFolder

TITLE = "Figure 7"
SUBTITLE = "How far the policy moves (KL) against how evenly it uses old samples (ESS_Eff_Old), and the return"


def table(sources: StudyFolder, resamples: int = 2000) -> pd.DataFrame:
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
    tables = every_configuration(sources)
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
    quoted = one_run("ess_eff_old", task, regime, method)
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
        "paper": quoted.value if quoted else np.nan,
        "source": f"{quoted.source}, one run" if quoted else "",
    }


def draw(table: pd.DataFrame) -> Figure:
    """Above a point per run, coloured by return; below the ESS_Eff_Old of each method on the same axis."""
    looks = style.looks(table["method"])
    height = 0.5 + 0.27 * len(looks)
    figure = Figure(figsize=(style.WIDTH, height + 5), layout="constrained")
    runs_ax, methods_ax = figure.subplots(2, 1, sharex=True, height_ratios=[3.8, height])
    _runs(figure, runs_ax, table[table["panel"] == "run"], looks)
    panels.method_rows(methods_ax, table[table["panel"] == "method"].set_index("method"), looks)
    panels.name_rows(methods_ax, looks)
    methods_ax.set_xlabel("ESS_Eff_Old  (1 = all old samples count alike)")
    methods_ax.set_xlim(*_limits(table))
    shown = panels.entries(looks, ls="none", markersize=9, markeredgewidth=2, markerfacecolor="white")
    panels.legend(figure, shown, "paper (one run)" if table["paper"].notna().any() else "")
    return figure


def _runs(figure: Figure, ax: Axes, rows: pd.DataFrame, looks: dict[str, Look]) -> None:
    rows = rows[rows["ess_eff_old"].notna()]
    ax.set_ylabel("KL(μ || π)")
    if rows.empty:
        ax.text(0.5, 0.5, "no old samples", transform=ax.transAxes, ha="center", va="center", color=style.MUTED)
        return
    for method, look in looks.items():
        one = rows[rows["method"] == method]
        points = ax.scatter(
            one["ess_eff_old"],
            one["kl"],
            c=one["return"],
            cmap="viridis",
            vmin=rows["return"].min(),
            vmax=rows["return"].max(),
            s=80,
            marker=look.marker,
            edgecolors=look.colour,
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
    """Say what is shown, n, interval method, the authors' values."""
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
