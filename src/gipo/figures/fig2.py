"""Figure 2: learning curves of the main grid."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from gipo.analysis.collect import Tables
from gipo.figures import panels, style, words
from gipo.figures.learning import learning, panel
from gipo.stages import StudyFolder

TITLE = "Figure 2"
SUBTITLE = "Learning curves on every task, fresh and stale"


def table(sources: StudyFolder, resamples: int = 2000) -> pd.DataFrame:
    """Mean evaluation return over seeds at every evaluation, with its interval and the two reference policies.

    Args:
        sources: ``results/<scale>``.
        resamples: bootstrap resamples.

    Raises:
        GipoError: a table is missing or damaged, or the runs of a method are not comparable.
    """
    tables = Tables.read(sources).model_free()
    curve = learning(tables.evaluations, "return", "mean_return", resamples)
    references = tables.baselines.pivot_table(index="task", columns="policy", values="return", aggfunc="mean")
    return curve.merge(references.reset_index(), on="task", how="left")


def draw(table: pd.DataFrame) -> Figure:
    """A row of panels per task, a column per regime; panels of a row share their axes."""
    tasks = sorted(set(table["task"]))
    regimes, looks = style.order_regimes(table["regime"]), style.looks(table["method"])
    height = 2.3 if len(tasks) > 1 else 3.0
    figure = Figure(figsize=(style.WIDTH, 0.8 + height * len(tasks)), layout="constrained")
    grid = figure.subplots(len(tasks), len(regimes), sharex=True, sharey="row", squeeze=False)
    for i, task in enumerate(tasks):
        for j, regime in enumerate(regimes):
            rows = table[(table["task"] == task) & (table["regime"] == regime)]
            panel(grid[i, j], rows, looks, "update", "mean_return", ticks=5)
            if i == 0:
                steps = EngFormatter(sep="", places=0)(table.loc[table["regime"] == regime, "env_steps"].max())
                grid[i, j].set_title(f"{regime}  ({steps} env steps)")
        _references(grid[i], table[table["task"] == task])
        grid[i, 0].set_ylabel(f"{task}\nreturn")
    for ax in grid[-1]:
        ax.set_xlabel("learner updates")
    style.legend(figure, *panels.curve_entries(looks))
    return figure


def _references(axes: list[Axes], rows: pd.DataFrame) -> None:
    """Lines at the returns of the random policy and the expert; the expert's only if the curves come near it."""
    random, expert = rows[["random", "expert"]].iloc[0]
    top = rows[["mean_return", "high"]].max().max()
    near = top > random + 0.4 * (expert - random)
    for ax in axes:
        ax.axhline(random, color=style.MUTED, ls=":", lw=1.2, zorder=1)
        if near:
            ax.axhline(expert, color=style.MUTED, ls="--", lw=1.2, zorder=1)
    side = axes[-1].get_yaxis_transform()
    axes[-1].text(1.02, random, "random", transform=side, color=style.MUTED, fontsize=9, va="center")
    if near:
        axes[-1].text(1.02, expert, "expert", transform=side, color=style.MUTED, fontsize=9, va="center")
    else:
        low, high = axes[-1].get_ylim()
        line = (random - low) / (high - low)
        height = 1 if line < 0.6 else line - 0.08  # below the other label where that is in the way
        away = f"expert\n{expert:,.0f} ↑"
        axes[-1].text(1.02, height, away, transform=axes[-1].transAxes, color=style.MUTED, fontsize=9, va="top")


def caption(table: pd.DataFrame) -> str:
    """Say what is shown, n, interval method."""
    return (
        f"Evaluation return over training, {words.runs(table)} per method and regime: mean over seeds, band: its "
        "pointwise interval. The regimes share the axis of learner updates; they differ in how much new data arrives "
        "per update, hence in the env steps named above each column. Lines: random policy (dotted) and MetaWorld's "
        f"scripted expert (dashed, or an arrow where it is far above). {words.intervals(table)} The paper's figure 2 "
        "shows three tasks in both regimes, methods close when fresh and GIPO > SAPO > PPO when stale [P]."
    )
