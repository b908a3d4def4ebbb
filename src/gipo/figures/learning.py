"""Learning curves: what the figures of MetaWorld and of LIBERO share."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, MaxNLocator

from gipo.analysis.statistics import curves, mean_curve
from gipo.figures import panels, style
from gipo.figures.style import Look


def learning(evaluations: pd.DataFrame, column: str, name: str, resamples: int) -> pd.DataFrame:
    """Mean of a column over seeds at every evaluation, with its interval, for every regime, method and task.

    Args:
        evaluations: of `gipo.analysis.collect.Tables`.
        column: what is evaluated, ``return`` or ``success_any``.
        name: what its mean is called in the table.
        resamples: bootstrap resamples.

    Raises:
        GipoError: the runs of a method are not comparable.
    """
    runs = evaluations[["regime", "method"]].drop_duplicates()
    return pd.concat(
        [
            rows
            for regime in style.order_regimes(runs["regime"])
            for method in style.order(runs.loc[runs["regime"] == regime, "method"])
            for rows in _rows(evaluations, regime, method, column, name, resamples)
        ]
    )


def _rows(
    evaluations: pd.DataFrame, regime: str, method: str, column: str, name: str, resamples: int
) -> list[pd.DataFrame]:
    runs = curves(evaluations, regime, method, column)
    band = mean_curve(runs.values, method, resamples)
    return [
        pd.DataFrame(
            {
                "task": task,
                "regime": regime,
                "method": method,
                "update": runs.updates,
                "env_steps": runs.env_steps[:, i].mean(axis=0),
                name: band.value[i],
                "low": band.low[i],
                "high": band.high[i],
                "tasks": len(runs.tasks),
                "seeds": len(runs.values),
                "resamples": resamples,
                "note": band.note,
            }
        )
        for i, task in enumerate(runs.tasks)
    ]


def panel(ax: Axes, rows: pd.DataFrame, looks: dict[str, Look], x: str, y: str, ticks: int) -> None:
    """A curve and its band per method, against ``x`` with that many ticks."""
    panels.curves(ax, rows, looks, x, y)
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.xaxis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10]))
