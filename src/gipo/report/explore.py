"""Learning curves that can be explored in the page: methods are shown or hidden, and values read, by Bokeh.

The page reads as well without: the pictures stay, and what is said here is offered only where scripts run.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import pandas as pd
from bokeh.embed import json_item
from bokeh.layouts import column, gridplot, row
from bokeh.models import ColumnDataSource, HoverTool
from bokeh.models.widgets import Toggle
from bokeh.plotting import figure
from bokeh.resources import Resources

from gipo.figures import style


@dataclass(frozen=True)
class Axes:
    """Columns of a figure's table that are drawn, with their words."""

    x: str
    x_words: str
    y: str
    y_words: str


CURVES = {
    "fig2": Axes("update", "learner updates", "mean_return", "return"),
    "fig3": Axes("env_steps", "env steps (chunks)", "success", "success rate"),
    "success_curves": Axes("update", "learner updates", "success", "success rate"),
}
"""Figures whose tables have a curve with its band for every task, regime and method."""

DASHES = {"--": "dashed", ":": "dotted", "-.": "dashdot"}
"""Line styles of matplotlib in Bokeh's words; any other is solid."""


def library() -> str:
    """Bokeh's scripts, for a page with at least one figure of `CURVES`."""
    return "\n".join(Resources(mode="inline", components=["bokeh", "bokeh-widgets"]).js_raw)


def document(name: str, table: pd.DataFrame) -> str:
    """A figure as JSON that ``Bokeh.embed.embed_item`` takes; the same text on every run.

    Args:
        name: one of `CURVES`.
        table: of the figure.
    """
    axes, looks = CURVES[name], style.looks(table["method"])
    toggles = {
        method: Toggle(
            label=style.label(method),
            active=True,
            stylesheets=[f".bk-btn {{border-bottom: 4px solid {look.colour} !important}}"],
        )
        for method, look in looks.items()
    }
    rows: list[list[Any]] = []
    for task, of_task in table.groupby("task", sort=False):
        plots = []
        for regime in style.order_regimes(of_task["regime"]):
            plot = figure(width=410, height=280, title=f"{task}, {regime}", tools="pan,wheel_zoom,box_zoom,reset")
            plot.xaxis.axis_label, plot.yaxis.axis_label = axes.x_words, axes.y_words
            plot.toolbar.logo, plot.toolbar.active_scroll, plot.toolbar.autohide = None, None, True
            for method, look in looks.items():
                one = of_task[(of_task["regime"] == regime) & (of_task["method"] == method)]
                columns = {"x": axes.x, "y": axes.y, "low": "low", "high": "high"}
                source = ColumnDataSource({key: one[column].tolist() for key, column in columns.items()})
                dash = DASHES.get(str(look.line), "solid")
                line = plot.line("x", "y", source=source, color=look.colour, line_width=2, line_dash=dash)
                band = plot.varea("x", "low", "high", source=source, color=look.colour, alpha=0.1)
                for curve in (line, band):
                    toggles[method].js_link("active", curve, "visible")
                values = [("", style.label(method)), (axes.x_words, "@x{0,0}"), (axes.y_words, "@y{0.000}")]
                plot.add_tools(
                    HoverTool(renderers=[line], tooltips=[*values, ("interval", "@low{0.000} to @high{0.000}")])
                )
            plots.append(plot)
        rows.append(plots)
    grid = gridplot(rows, merge_tools=False, toolbar_location=None, sizing_mode="scale_width")
    shown = row(*toggles.values(), sizing_mode="scale_width", styles={"flex-wrap": "wrap"})
    item = json_item(column(shown, grid, sizing_mode="scale_width"))
    text = _numbered(json.dumps(item, separators=(",", ":"), allow_nan=False))
    return text.replace("<", r"\u003c")  # so that no label ends the script that holds it


def _numbered(text: str) -> str:
    """Names of models by the order in which they appear; Bokeh goes on counting from one document to the next."""
    order: dict[str, str] = {}
    return re.sub(r'(?<=")p\d+(?=")', lambda found: order.setdefault(found[0], f"p{len(order)}"), text)
