"""Success rates by task, method and regime; on LIBERO beside the published ones."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gipo import paper, suites
from gipo.analysis import design
from gipo.analysis.collect import Tables
from gipo.analysis.statistics import Array, curves, mean
from gipo.figures import style, words
from gipo.figures.learning import MOST_TASKS
from gipo.figures.style import Look
from gipo.stages import StudyFolder

TITLE = "Success rates"
SUBTITLE = "By task, method and regime, before training and in its last 20 %"

PUBLISHED = {
    "libero": {
        "AcceRL + GIPO": "success.accerl-gipo",
        "SimpleVLA-RL": "success.simplevla-rl",
        "RLinf-VLA": "success.rlinf-vla",
        "OpenVLA-OFT, fine-tuned": "success.openvla-oft",
    }
}
"""Methods whose success rates the authors quote, with their group in paper.yaml, by suite."""

START = "before training"
"""Stands in the column ``method`` for the policy that all runs of a task and seed start from."""

ALL = "all tasks"
"""Stands in the column ``task`` for the mean over them; there where the study has several."""

KINDS = ("start", "measured", "published")


def table(sources: StudyFolder, resamples: int = 2000) -> pd.DataFrame:
    """Mean success rate over the last 20 % of training, that of the policy before it, and the published ones.

    Args:
        sources: ``results/<scale>``.
        resamples: bootstrap resamples.

    Returns:
        A row per ``kind`` (one of `KINDS`), ``method``, ``regime`` and ``task``: ``value`` with its interval is the
        share of episodes with a success at some step, ``at_end`` that with one at the last step.

    Raises:
        GipoError: a table is missing or damaged, or the runs of a method are not comparable.
    """
    tables = Tables.read(sources).model_free()
    suite, evaluations = suites.get(design.suite(tables.runs)), tables.evaluations
    runs = evaluations[["regime", "method"]].drop_duplicates()
    cells = [
        (regime, method)
        for regime in style.order_regimes(runs["regime"])
        for method in style.order(runs.loc[runs["regime"] == regime, "method"])
    ]
    start = evaluations[evaluations["update"] == 0]
    # Runs of one seed start alike, in policy and in episodes: those of one method and regime stand for all.
    rows = _rows("start", start, *cells[0], resamples) if len(start) else []
    for regime, method in cells:
        rows += _rows("measured", evaluations, regime, method, resamples)
    tasks = suite.order_tasks(evaluations["task"])
    for method, group in PUBLISHED.get(suite.name, {}).items():
        rates = paper.group(group)
        for task in tasks:
            found = {"value": rates[task].value, "source": rates[task].source} if task in rates else {"value": np.nan}
            rows.append(_row("published", method, "", task, **found))
    return pd.DataFrame(rows).assign(suite=suite.name, tasks=len(tasks), resamples=resamples)


def _rows(kind: str, evaluations: pd.DataFrame, regime: str, method: str, resamples: int) -> list[dict[str, Any]]:
    """Of one method in one regime: a row per task, and one for all."""
    somewhere, at_end = (curves(evaluations, regime, method, f"success_{when}") for when in ("any", "last"))
    values, ends = somewhere.window(), at_end.window()
    named = (START, "") if kind == "start" else (method, regime)
    columns = {task: slice(i, i + 1) for i, task in enumerate(somewhere.tasks)}
    columns |= {ALL: slice(None)} if len(columns) > 1 else {}
    return [_estimate(kind, *named, task, values[:, at], ends[:, at], resamples) for task, at in columns.items()]


def _estimate(
    kind: str, method: str, regime: str, task: str, values: Array, ends: Array, resamples: int
) -> dict[str, Any]:
    """One cell; ``values`` and ``ends`` [seeds, tasks]."""
    estimate = mean(values, "success", method, resamples)
    found = {"value": estimate.value, "low": estimate.low, "high": estimate.high, "note": estimate.note}
    return _row(kind, method, regime, task, **found, at_end=float(ends.mean()), seeds=len(values))


def _row(kind: str, method: str, regime: str, task: str, **found: object) -> dict[str, Any]:
    nothing = {"low": np.nan, "high": np.nan, "at_end": np.nan, "seeds": np.nan, "note": "", "source": ""}
    return {"kind": kind, "method": method, "regime": regime, "task": task} | nothing | found


def draw(table: pd.DataFrame) -> Figure:
    """A column per task, in blocks; before training, each method in each regime, the published ones."""
    suite = suites.get(table["suite"].iloc[0])
    columns = [*([ALL] if (table["task"] == ALL).any() else []), *suite.order_tasks(set(table["task"]) - {ALL})]
    blocks = [columns[i : i + MOST_TASKS + 1] for i in range(0, len(columns), MOST_TASKS + 1)]
    looks = style.looks(table.loc[table["kind"] == "measured", "method"])
    lines = list(table[["kind", "method", "regime"]].fillna("").drop_duplicates().itertuples(index=False, name=None))
    figure = Figure(figsize=(style.WIDTH, 0.45 * (len(lines) + 2.6) * len(blocks)), layout="constrained")
    keys = table[["kind", "method", "regime", "task"]].fillna("").itertuples(index=False, name=None)
    cells = dict(zip(keys, table.to_dict("records"), strict=True))
    edges = np.linspace(0.27, 1, max(map(len, blocks)) + 1)
    for ax, block in zip(figure.subplots(len(blocks), squeeze=False)[:, 0], blocks, strict=True):
        centres = dict(zip(block, (edges[1:] + edges[:-1]) / 2, strict=False))
        _draw_block(ax, lines, cells, {task: (suite.task_title(task), x) for task, x in centres.items()}, looks)
    return figure


def _draw_block(
    ax: Axes, lines: list[tuple[str, str, str]], cells: dict[tuple[Hashable, ...], dict[Hashable, Any]],
    columns: dict[str, tuple[str, float]], looks: dict[str, Look],
) -> None:  # fmt: skip
    """One table; ``columns``: task to title and place."""
    ax.set(xlim=(0, 1), ylim=(len(lines) + 0.7, -1.4))
    ax.axis("off")
    for title, x in columns.values():
        ax.text(x, -0.95, title, weight="bold", ha="center", va="center", fontsize=9 if len(title) < 16 else 7.5)
    previous = lines[0][0]
    for y, line in enumerate(lines):
        _label(ax, *line, looks, y)
        for task, (_, x) in columns.items():
            if (*line, task) in cells:
                _cell(ax, cells[*line, task], x, y)
            elif task != ALL:
                ax.text(x, y, "not run", ha="center", va="center", color=style.MUTED)
        if line[0] != previous:
            ax.axhline(y - 0.5, color=style.FAINT, lw=0.8)
        previous = line[0]
    for rule, width in ((-1.35, 1.2), (-0.55, 0.8), (len(lines) - 0.45, 1.2)):
        ax.axhline(rule, color=style.INK, lw=width)
    note = "Small: 95 % interval over seeds; and the share with a success at the last step."
    ax.text(0, len(lines) + 0.1, note, fontsize=8.5, color=style.MUTED, va="center")


def _label(ax: Axes, kind: str, method: str, regime: str, looks: dict[str, Look], y: float) -> None:
    if kind == "measured":
        ax.plot(0.012, y, marker=looks[method].marker, color=looks[method].colour, markersize=6)
        ax.text(0.03, y, f"{style.label(method)}, {regime}", va="center")
    else:
        ax.text(0, y, method + (" [C]" if kind == "published" else ""), va="center", color=style.MUTED)


def _cell(ax: Axes, cell: dict[Hashable, Any], x: float, y: float) -> None:
    small = [f"[{100 * cell['low']:.1f}, {100 * cell['high']:.1f}]"] if not np.isnan(cell["low"]) else []
    small += [f"end {100 * cell['at_end']:.1f}"] if not np.isnan(cell["at_end"]) else []
    colour = style.INK if cell["kind"] == "measured" else style.MUTED
    value = "–" if np.isnan(cell["value"]) else f"{100 * cell['value']:.1f} %"
    ax.text(x, y - 0.17 * bool(small), value, ha="center", va="center", color=colour)
    ax.text(x, y + 0.22, "  ".join(small), ha="center", va="center", fontsize=7.5, color=style.MUTED)


def caption(table: pd.DataFrame) -> str:
    """Say what the numbers are, n, interval method, sources of the published rates."""
    ours = table[table["kind"] != "published"].astype({"seeds": "int64"})
    theirs = ""
    if (table["kind"] == "published").any():
        theirs = (
            " Episodes start from 10 of LIBERO's 50 initial states of a task, which training never sees. Published: as "
            "the authors quote them [C], of all 50 initial states; AcceRL + GIPO is their own, from a checkpoint and "
            "in a regime that are not public."
        )
    return (
        f"Share of evaluation episodes with a success at some step, {words.runs(ours)} per method and regime: mean "
        "over the evaluations in the last 20 % of env steps; and before training, the control arm: the policy that all "
        f"runs of a seed start from, on the same episodes. {words.intervals(ours)}{theirs}"
    )
