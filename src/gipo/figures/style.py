"""Settings, order and words of all figures: with `gipo.figures.looks` the one place to change how they look."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from gipo.analysis import methods
from gipo.figures.looks import Look, looks, title

__all__ = ["FAINT", "INK", "MUTED", "PAPER", "WIDTH", "Look", "apply", "label", "legend", "looks", "order"]

WIDTH = 9.0
"""Width of every figure in inches: 864 CSS pixels in a web page."""

INK, MUTED, FAINT = "#222222", "#666666", "#DDDDDD"
"""Text, secondary text and reference lines, rules and grids."""

PAPER: dict[str, Any] = {
    "marker": "D",
    "markersize": 6,
    "color": "none",
    "markeredgecolor": INK,
    "markeredgewidth": 1.2,
}
"""Line properties of a value quoted from the paper: a hollow diamond."""

RC: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.unicode_minus": True,
    "figure.constrained_layout.h_pad": 0.07,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "savefig.dpi": 200,
    "svg.fonttype": "path",
    "svg.hashsalt": "gipo",
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 9,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 9,
}

_REGIMES = ("fresh", "stale")
_LONGEST = 24
"""Letters of a label that are shown."""


def apply() -> None:
    """Make the settings of this module matplotlib's defaults in this process."""
    _prefer_the_fonts_of_matplotlib()
    sns.set_theme(context="paper", style="ticks", palette="colorblind", rc=RC)


@cache
def _prefer_the_fonts_of_matplotlib() -> None:
    """A DejaVu Sans that is installed may be of another version, with which a figure has other bytes."""
    own = Path(matplotlib.get_data_path(), "fonts", "ttf")
    for path in sorted(own.glob("DejaVuSans*.ttf")):  # the list is a file in the user's cache, and may lack them
        fontManager.addfont(path)
    fontManager.ttflist.sort(key=lambda font: Path(font.fname).parent != own)


def legend(figure: Figure, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    """One legend above all panels, at most five entries a row and no wider than the figure."""
    columns = next(n for n in range(min(5, len(labels)), 0, -1) if n == 1 or _inches(labels, n) < WIDTH)
    rows = -(-len(labels) // columns)
    figure.legend(handles, labels, loc="outside upper center", ncols=-(-len(labels) // rows))


def _inches(labels: Sequence[str], columns: int) -> float:
    """About how wide a legend with so many columns is; it fills them one after the other."""
    rows = -(-len(labels) // columns)
    return sum(0.6 + 0.075 * max(map(len, labels[i : i + rows])) for i in range(0, len(labels), rows))


def label(name: str) -> str:
    """A method as the paper writes it; the study's label before it where that says something else.

    ``gipo-1-0.5`` is ``GIPO (1, 0.5)``, and ``mine: gipo-1-0.5`` is ``mine: GIPO (1, 0.5)``.
    """
    method = methods.read(name)
    words = title(method)
    if method.label in (method.id, words):
        return words
    shown = method.label
    if len(shown) > _LONGEST:
        shown = f"{shown[: _LONGEST // 2]}…{shown[-_LONGEST // 3 :]}"
    return f"{shown}: {words}"


def order(names: Iterable[str]) -> list[str]:
    """Distinct methods in the order of legends and rows: the rivals, other objectives, then GIPO by its sigmas.

    Those with V-trace targets follow in the same order.
    """
    return sorted(set(names), key=methods.rank)


def order_regimes(regimes: Iterable[str]) -> list[str]:
    """Distinct regimes: fresh, stale, then any others by name."""
    present = set(regimes)
    return [r for r in _REGIMES if r in present] + sorted(present - set(_REGIMES))
