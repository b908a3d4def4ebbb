"""Success rates on LIBERO, beside the published ones."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gipo import paper, suites
from gipo.analysis.collect import Tables
from gipo.analysis.statistics import curves, mean
from gipo.figures import style, words
from gipo.figures.style import Look
from gipo.stages import StudyFolder

TITLE = "Success rates"
SUBTITLE = "LIBERO by suite, method and regime, beside the published ones"

LIBERO = suites.get("libero")

PUBLISHED = {
    "AcceRL + GIPO": "success.accerl-gipo",
    "SimpleVLA-RL": "success.simplevla-rl",
    "RLinf-VLA": "success.rlinf-vla",
    "OpenVLA-OFT, fine-tuned": "success.openvla-oft",
}
"""Methods whose success rates the authors quote, with their group in paper.yaml."""

START = "before training"
"""Stands for the checkpoint that all runs of a task start from in the column ``method``."""

KINDS = ("start", "measured", "published")


def table(sources: StudyFolder, resamples: int = 2000) -> pd.DataFrame:
    """Mean success rate over the last 20 % of training, that of the checkpoint before it, and the published ones.

    Args:
        sources: ``results/<scale>``.
        resamples: bootstrap resamples.

    Returns:
        A row per ``kind`` (one of `KINDS`), ``method``, ``regime`` and ``task``.

    Raises:
        GipoError: a table is missing or damaged, or the runs of a method are not comparable.
    """
    evaluations = Tables.read(sources).evaluations
    runs = evaluations[["regime", "method"]].drop_duplicates()
    cells = [
        (regime, method)
        for regime in style.order_regimes(runs["regime"])
        for method in style.order(runs.loc[runs["regime"] == regime, "method"])
    ]
    rows = _start(evaluations, *cells[0], resamples)
    for regime, method in cells:
        rows += _measured(evaluations, regime, method, resamples)
    tasks = LIBERO.order_tasks(evaluations["task"])
    for method, group in PUBLISHED.items():
        rates = paper.group(group)
        for task in tasks:
            found = {"value": rates[task].value, "source": rates[task].source} if task in rates else {"value": np.nan}
            rows.append(_row("published", method, "", task, **found))
    return pd.DataFrame(rows).assign(tasks=len(tasks), resamples=resamples)


def _start(evaluations: pd.DataFrame, regime: str, method: str, resamples: int) -> list[dict[str, Any]]:
    """At update 0, where runs of one seed differ in neither policy nor episodes: of one method and regime."""
    runs = curves(evaluations[evaluations["update"] == 0], regime, method, "success_any")
    return [_estimate("start", START, "", task, runs.values[:, i], resamples) for i, task in enumerate(runs.tasks)]


def _measured(evaluations: pd.DataFrame, regime: str, method: str, resamples: int) -> list[dict[str, Any]]:
    runs = curves(evaluations, regime, method, "success_any")
    values = runs.window()
    return [
        _estimate("measured", method, regime, task, values[:, i : i + 1], resamples)
        for i, task in enumerate(runs.tasks)
    ]


def _estimate(
    kind: str, method: str, regime: str, task: str, values: np.ndarray[Any, Any], resamples: int
) -> dict[str, Any]:
    """One cell; ``values`` [seeds, 1]."""
    estimate = mean(values, "success", method, resamples)
    found = {"value": estimate.value, "low": estimate.low, "high": estimate.high, "note": estimate.note}
    return _row(kind, method, regime, task, **found, seeds=len(values))


def _row(kind: str, method: str, regime: str, task: str, **found: object) -> dict[str, Any]:
    nothing = {"low": np.nan, "high": np.nan, "seeds": np.nan, "note": "", "source": ""}
    return {"kind": kind, "method": method, "regime": regime, "task": task} | nothing | found


def draw(table: pd.DataFrame) -> Figure:
    """The table as a picture: a column per suite; before training, each method in each regime, then the published."""
    tasks = LIBERO.order_tasks(table["task"])
    looks = style.looks(table.loc[table["kind"] == "measured", "method"])
    lines = list(table[["kind", "method", "regime"]].fillna("").drop_duplicates().itertuples(index=False, name=None))
    figure = Figure(figsize=(style.WIDTH, 0.4 * (len(lines) + 2.6)), layout="constrained")
    ax = figure.subplots()
    ax.set(xlim=(0, 1), ylim=(len(lines) + 0.7, -1.4))
    ax.axis("off")
    keys = table[["kind", "method", "regime", "task"]].fillna("").itertuples(index=False, name=None)
    cells = dict(zip(keys, table.to_dict("records"), strict=True))
    edges = np.linspace(0.34, 1, len(tasks) + 1)
    centres = dict(zip(tasks, (edges[1:] + edges[:-1]) / 2, strict=True))
    for task, x in centres.items():
        ax.text(x, -0.95, LIBERO.task_title(task), weight="bold", ha="center", va="center")
    previous = lines[0][0]
    for y, line in enumerate(lines):
        kind, method, regime = line
        _label(ax, kind, method, regime, looks, y)
        for task, x in centres.items():
            if (*line, task) in cells:
                _cell(ax, cells[*line, task], x, y)
            else:
                ax.text(x, y, "not run", ha="center", va="center", color=style.MUTED)
        if line[0] != previous:
            ax.axhline(y - 0.5, color=style.FAINT, lw=0.8)
        previous = line[0]
    for rule, width in ((-1.35, 1.2), (-0.55, 0.8), (len(lines) - 0.45, 1.2)):
        ax.axhline(rule, color=style.INK, lw=width)
    ax.text(0, len(lines) + 0.1, "Small: 95 % interval over seeds.", fontsize=8.5, color=style.MUTED, va="center")
    return figure


def _label(ax: Axes, kind: str, method: str, regime: str, looks: dict[str, Look], y: float) -> None:
    if kind == "measured":
        ax.plot(0.012, y, marker=looks[method].marker, color=looks[method].colour, markersize=6)
        ax.text(0.03, y, f"{style.label(method)}, {regime}", va="center")
    else:
        ax.text(0, y, method + (" [C]" if kind == "published" else ""), va="center", color=style.MUTED)


def _cell(ax: Axes, cell: dict[Hashable, Any], x: float, y: float) -> None:
    has_interval = not np.isnan(cell["low"])
    colour = style.INK if cell["kind"] == "measured" else style.MUTED
    value = "–" if np.isnan(cell["value"]) else f"{100 * cell['value']:.1f} %"
    ax.text(x, y - 0.17 * has_interval, value, ha="center", va="center", color=colour)
    if has_interval:
        interval = f"[{100 * cell['low']:.1f}, {100 * cell['high']:.1f}]"
        ax.text(x, y + 0.22, interval, ha="center", va="center", fontsize=8, color=style.MUTED)


def caption(table: pd.DataFrame) -> str:
    """Say what the numbers are, n, interval method, sources of the published rates."""
    ours = table[table["kind"] != "published"].astype({"seeds": "int64"})
    return (
        f"Success rates of evaluations, {words.runs(ours)} per method and regime: mean over the evaluations in the "
        "last 20 % of env steps, and before training, where all runs of a suite have one policy. Episodes start from "
        f"10 of LIBERO's 50 initial states of a task, which training never sees. {words.intervals(ours)} Published: as "
        "the authors quote them [C], of all 50 initial states; AcceRL + GIPO is their own, from a checkpoint and in a "
        "regime that are not public."
    )
