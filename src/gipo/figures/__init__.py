"""Figures and tables of the study: each is one module from tidy tables to a picture and the CSV behind it.

A figure module ``gipo.figures.<name>`` has three functions::

    table(sources: StudyFolder) -> pd.DataFrame   data behind the figure; takes ``resamples`` too if it bootstraps
    draw(table: pd.DataFrame) -> Figure           the picture, from that table alone
    caption(table: pd.DataFrame) -> str           what is shown, n, interval method, the paper's value

and two constants, ``TITLE`` and ``SUBTITLE``. In tables the column ``method`` holds names of `gipo.analysis.methods`.

To add one, write the module and put its name into `ORDER`; one of the runs of a single suite stands in that suite's
entry of the catalogue, `gipo.suites`. Which figures a study has, `of_study` says.
"""

from __future__ import annotations

import importlib
import inspect
import io
from collections.abc import Collection
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from gipo import suites
from gipo.errors import GipoError
from gipo.files import atomic_path

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from gipo.stages import StudyFolder

ORDER = (
    *(
        "fig1",
        "fig2",
        "fig3",
        "success_curves",
        "success",
        "table1",
        "fig4",
        "field",
        "fig5",
        "fig6",
        "fig7",
        "fig8",
        "fig9",
    ),
    *("iqm", "effects", "ranking", "vtrace", "lagsweep", "arena", "knobs", "pace"),
    *("imagination", "world_model", "scorecard"),
)
"""Order in the report; what a suite has beside these comes before the last, the scorecard."""

OF_NO_RUNS = ("fig1", "fig4", "field")
"""Figures that rest on no training run; a scale that is made of scales has them once."""

OF_WORLD_MODELS = ("imagination", "world_model")
"""Figures of studies in which runs have a world model."""

_SUITES = [suites.get(name) for name in suites.names()]

SWEEPS = {sweep.figure: name for suite in _SUITES for name, sweep in suite.sweeps.items()}
"""The sweep whose tables, ``<sources>/sweeps/<sweep>``, a figure reads; the others read the main grid's."""

_OWN = {suite.name: (*suite.figures, *(sweep.figure for sweep in suite.sweeps.values())) for suite in _SUITES}
"""Figures of single suites; the others are about any runs, or about none."""

_OF_SUITES = [name for own in _OWN.values() for name in own]

NAMES = (*ORDER[:-1], *dict.fromkeys(name for name in _OF_SUITES if name not in ORDER), ORDER[-1])
"""Figures that can be built, in the order of the report."""


def of_study(suite: str, sweeps: Collection[str], imagines: bool = False) -> list[str]:
    """Figures of a study of that suite with those sweeps, and with world models or without, in order of the report."""
    shown = [name for name in NAMES if name in _OWN[suite] or name not in _OF_SUITES]
    left_out = () if imagines else OF_WORLD_MODELS
    return [name for name in shown if SWEEPS.get(name) in {None, *sweeps} and name not in left_out]


def module(name: str) -> ModuleType:
    """Module of a figure.

    Raises:
        GipoError: no figure of that name.
    """
    if name not in NAMES:
        raise GipoError(f"unknown figure {name!r}; known: {', '.join(NAMES)}")
    return importlib.import_module(f"gipo.figures.{name}")


def build(name: str, sources: StudyFolder, out: Path | None = None, resamples: int = 2000) -> None:
    """Write ``<name>.csv``, ``.svg`` and ``.png``, the same bytes on every run.

    Args:
        name: one of `NAMES`.
        sources: ``results/<scale>``, with ``tables/`` and ``gridworld/`` beneath it.
        out: folder to write to, made if missing; by default the ``figures`` of the sources, with their manifest.
        resamples: bootstrap resamples, for figures with bootstrap intervals.

    Raises:
        GipoError: no figure of that name, or its source tables are missing or damaged.
    """
    figure = module(name)
    settings = {"resamples": resamples} if "resamples" in inspect.signature(figure.table).parameters else {}
    table = figure.table(sources, **settings)
    if out:
        write(name, table, out)
    else:
        files = {f"figures/{file}": content for file, content in _files(name, table).items()}
        sources.write_stage(f"figures/{name}", files, sources.inputs_from([sources]))


def write(name: str, table: pd.DataFrame, out: Path) -> None:
    """Write the files of a figure, drawn from its table, into a folder that is made if missing."""
    for file, content in _files(name, table).items():
        with atomic_path(out / file) as path:
            path.write_bytes(content)


def _files(name: str, table: pd.DataFrame) -> dict[str, bytes]:
    from gipo.figures import style
    from gipo.stages import csv_bytes

    style.apply()
    picture = module(name).draw(table)
    return {
        f"{name}.csv": csv_bytes(table, 10),
        f"{name}.svg": picture_bytes(picture, "svg", metadata={"Date": None}),
        f"{name}.png": picture_bytes(picture, "png"),
    }


def picture_bytes(picture: Figure, kind: Literal["svg", "png"], **options: Any) -> bytes:
    """A picture as the content of a file; `options` are passed on to ``savefig``."""
    file = io.BytesIO()
    picture.savefig(file, format=kind, **options)
    return file.getvalue()
