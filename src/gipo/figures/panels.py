"""Panels and legend entries that several figures share."""

from __future__ import annotations

from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gipo.analysis import numbers
from gipo.figures import style
from gipo.figures.style import Look

FEW = 5
"""Curves whose bands and lines can be told apart where they overlap; more get markers, and bands that hardly show."""


def curves(ax: Axes, rows: pd.DataFrame, looks: dict[str, Look], x: str = "x", y: str = "value") -> None:
    """A curve and its band, from ``low`` to ``high``, for each method of `rows`."""
    shown = {method: look for method, look in looks.items() if (rows["method"] == method).any()}
    many = len(looks) > FEW
    for i, (method, look) in enumerate(shown.items()):
        one = rows[rows["method"] == method]
        ax.fill_between(one[x], one["low"], one["high"], color=look.colour, alpha=0.04 if many else 0.14, lw=0)
        (line,) = ax.plot(one[x], one[y], color=look.colour, ls=look.line)
        if many:
            apart = i / len(shown)  # markers of neighbours stand beside each other
            line.set(lw=1.4, marker=look.marker, markersize=4.5, markeredgewidth=0, markevery=(0.2 * apart, 0.2))


def estimates(ax: Axes, rows: pd.DataFrame, looks: dict[str, Look]) -> None:
    """A line per method from the top down: point, interval, and both in figures at the right; ``rows`` by method."""
    cells = rows.to_dict("index")
    for y, (name, look) in enumerate(looks.items()):
        words = "not run"
        if name in cells:
            value, low, high = (cells[name][key] for key in ("value", "low", "high"))
            ax.plot([low, high], [y, y], color=look.colour, lw=2.2)
            ax.plot(value, y, color=look.colour, marker=look.marker, markersize=6)
            words = numbers.words(value, low, high)
        ax.text(1.02, y, words, transform=ax.get_yaxis_transform(), fontsize=9, va="center", color=style.MUTED)
    ax.set_ylim(len(looks) - 0.4, -0.6)
    ax.grid(visible=False, axis="y")


def method_rows(ax: Axes, rows: pd.DataFrame, looks: dict[str, Look]) -> None:
    """A line per method from the top down: point, interval and, just above, the paper's value.

    Args:
        ax: where to draw; names of the methods are left to the caller.
        rows: columns ``value``, ``low``, ``high`` and ``paper`` by method.
        looks: the methods in order of the lines.
    """
    cells = rows.to_dict("index")
    for y, (method, look) in enumerate(looks.items()):
        value, low, high, paper = (cells[method][key] for key in ("value", "low", "high", "paper"))
        ax.plot([low, high], [y, y], color=look.colour, lw=2.2)
        ax.plot(value, y, color=look.colour, marker=look.marker, markersize=6, clip_on=False)
        ax.plot(paper, y - 0.3, **style.PAPER, clip_on=False)
    ax.set_ylim(len(looks) - 0.4, -0.7)
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)


def points(ax: Axes, rows: pd.DataFrame, looks: dict[str, Look], tasks: list[str]) -> None:
    """A point per run in a line per method from the top down, by colour of its task, on the quartiles of the method.

    Args:
        ax: where to draw; names of the methods are left to the caller.
        rows: columns ``method``, ``task`` and ``value``.
        looks: the methods in order of the lines.
        tasks: in order of their colours.
    """
    where: dict[str, Any] = {"data": rows, "x": "value", "y": "method", "order": list(looks), "ax": ax, "legend": False}
    box = {"color": "#EEEEEE", "linecolor": style.MUTED, "linewidth": 0.8, "width": 0.7, "fliersize": 0, "whis": 0}
    sns.boxplot(**where, **box)
    dots = {"jitter": False, "dodge": len(tasks) > 1, "size": 3.5, "alpha": 0.8, "linewidth": 0}
    sns.stripplot(**where, **dots, hue="task", hue_order=tasks, palette=task_colours(len(tasks)))
    ax.set_ylabel("")
    ax.set_ylim(len(looks) - 0.4, -0.6)
    ax.grid(visible=False, axis="y")


def task_colours(count: int) -> list[tuple[float, float, float]]:
    """Colours of so many tasks."""
    return list(sns.color_palette("colorblind" if count <= 10 else "husl", count))


def task_legend(figure: Figure, tasks: list[str]) -> None:
    """Colours of the tasks of `points`, below all panels; nothing for a single task."""
    if len(tasks) > 1:
        dots = [Line2D([], [], ls="none", marker="o", markersize=4, color=c) for c in task_colours(len(tasks))]
        look: dict[str, Any] = {"fontsize": 8.5, "handletextpad": 0.1, "columnspacing": 1.2}
        words = {"title": "Runs by task", "title_fontsize": 8.5}
        figure.legend(dots, tasks, loc="outside lower center", ncols=min(len(tasks), 4), **look, **words)


def name_rows(ax: Axes, looks: dict[str, Look]) -> None:
    """Methods as the ticks of the vertical axis, from the top down."""
    ax.set_yticks(range(len(looks)), [style.label(method) for method in looks])


def entries(looks: dict[str, Look], **properties: Any) -> tuple[list[Line2D], list[str]]:
    """Handles and labels of a legend; `properties` of matplotlib's lines replace those of the look."""
    handles = [
        Line2D([], [], **{"color": look.colour, "ls": look.line, "marker": look.marker} | properties)
        for look in looks.values()
    ]
    return handles, [style.label(method) for method in looks]


def curve_entries(looks: dict[str, Look]) -> tuple[list[Line2D], list[str]]:
    """Handles and labels for `curves`."""
    return entries(looks) if len(looks) > FEW else entries(looks, marker="")


def legend(figure: Figure, shown: tuple[list[Line2D], list[str]], paper: str) -> None:
    """A legend of methods, and of the paper's values unless `paper`, the words for them, is empty."""
    handles, labels = shown
    if paper:
        handles, labels = [*handles, Line2D([], [], ls="none", **style.PAPER)], [*labels, paper]
    style.legend(figure, handles, labels)
