"""Figures and tables of the study: each is one module from tidy tables to a picture and the CSV behind it.

A figure module ``gipo.figures.<name>`` has three functions::

    table(sources: Path) -> pd.DataFrame          data behind the figure; takes ``resamples`` too if it bootstraps
    draw(table: pd.DataFrame) -> Figure           the picture, from that table alone
    caption(table: pd.DataFrame) -> str           what is shown, n, interval method, the paper's value

To add one, write the module and put its name into `NAMES`; which figures a study has, `of_study` says.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Collection
from pathlib import Path
from types import ModuleType

from gipo.errors import GipoError
from gipo.files import atomic_path

NAMES = (
    *("fig1", "fig2", "fig3", "success", "table1", "fig4", "fig5", "fig6", "fig7", "fig8", "fig9"),
    *("iqm", "ranking", "vtrace", "lagsweep", "scorecard"),
)
"""Figures that can be built, in the order of the report."""

OF_NO_RUNS = ("fig1", "fig4")
"""Figures that rest on no training run; a scale that is made of scales has them once."""

SWEEPS = {"fig9": "sigma", "ranking": "ranking", "vtrace": "vtrace", "lagsweep": "lag"}
"""The sweep whose tables, ``<sources>/sweeps/<sweep>``, a figure reads; the others read the main grid's."""

SUITES = {
    **dict.fromkeys(("fig2", "table1", "fig6", "fig7", "fig8", *SWEEPS), "metaworld"),
    **dict.fromkeys(("fig3", "success"), "libero"),
}
"""The benchmark suite whose runs a figure shows; the others are about any runs, or about none."""


def of_study(suite: str, sweeps: Collection[str]) -> list[str]:
    """Figures of a study of that suite with those sweeps, in the order of the report."""
    return [name for name in NAMES if SUITES.get(name, suite) == suite and SWEEPS.get(name) in {None, *sweeps}]


def module(name: str) -> ModuleType:
    """Module of a figure.

    Raises:
        GipoError: no figure of that name.
    """
    if name not in NAMES:
        raise GipoError(f"unknown figure {name!r}; known: {', '.join(NAMES)}")
    return importlib.import_module(f"gipo.figures.{name}")


def build(name: str, sources: Path, out: Path, resamples: int = 2000) -> None:
    """Write ``out/<name>.csv``, ``.svg`` and ``.png``, the same bytes on every run.

    Args:
        name: one of `NAMES`.
        sources: ``results/<scale>``, with ``tables/`` and ``gridworld/`` beneath it.
        out: folder to write to; made if missing.
        resamples: bootstrap resamples, for figures with bootstrap intervals.

    Raises:
        GipoError: no figure of that name, or its source tables are missing or damaged.
    """
    from gipo.figures import style

    style.apply()
    figure = module(name)
    settings = {"resamples": resamples} if "resamples" in inspect.signature(figure.table).parameters else {}
    table = figure.table(sources, **settings)
    picture = figure.draw(table)
    with atomic_path(out / f"{name}.csv") as path:
        table.to_csv(path, index=False, float_format="%.10g")
    with atomic_path(out / f"{name}.svg") as path:
        picture.savefig(path, metadata={"Date": None})
    with atomic_path(out / f"{name}.png") as path:
        picture.savefig(path)
