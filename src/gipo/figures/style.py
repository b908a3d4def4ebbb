"""Labels, colours, order and matplotlib settings of all figures: the one place to change how they look.

Colours are from the Okabe-Ito set, told apart by colour-blind readers on white. GIPO (sigma_pos, sigma_neg) is blue,
darker with sigma_pos; dashed and ``<`` where sigma_neg is smaller than sigma_pos, dotted and ``>`` where it is larger.
``vtrace-<method>`` is a method with V-trace targets: it looks like the method, its line dash-dotted.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure

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

# label, colour, line, marker; the position is the order in legends
_KNOWN = {
    "no-clip": ("No-Clip", "#8C8C8C", "-", "D"),
    "ppo-clip": ("PPO-Clip", "#D55E00", "-", "s"),
    "sapo": ("SAPO", "#009E73", "-", "^"),
    "gipo": ("GIPO", "#0072B2", "-", "o"),
}
_GIPO = re.compile(r"gipo-([0-9.]+)-([0-9.]+)")
_BLUES = LinearSegmentedColormap.from_list("gipo", ["#A6DBF7", "#56B4E9", "#0072B2", "#0B3C6F", "#03172E"])
_VTRACE = "vtrace-"
_SPARE_COLOURS = ("#CC79A7", "#E69F00", "#882255", "#999933", "#7B4FA3")
_SPARE_LINES = ("-", "--", "-.")
_REGIMES = ("fresh", "stale")
_SUITES = {
    "libero_spatial": "LIBERO-Spatial",
    "libero_object": "LIBERO-Object",
    "libero_goal": "LIBERO-Goal",
    "libero_10": "LIBERO-Long",
}


def apply() -> None:
    """Make the settings of this module matplotlib's defaults in this process."""
    matplotlib.rcParams.update(RC)


def legend(figure: Figure, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    """One legend above all panels, at most five entries a row."""
    rows = math.ceil(len(labels) / 5)
    figure.legend(handles, labels, loc="outside upper center", ncols=math.ceil(len(labels) / rows))


def label(method: str) -> str:
    """Method name as the paper writes it: ``gipo-1-0.5`` is ``GIPO (1, 0.5)``; an unknown name stays as it is."""
    if method.startswith(_VTRACE):
        return f"{label(base(method))} + V-trace"
    sigmas = _sigmas(method)
    if sigmas:
        return f"GIPO ({sigmas[0]:g}, {sigmas[1]:g})"
    return _KNOWN[_name(method)][0] if _name(method) in _KNOWN else method


def colour(method: str) -> str:
    """Colour of a method as ``#rrggbb``; one that is not known gets one of the spare colours by its name."""
    method = base(method)
    sigmas = _sigmas(method)
    if sigmas:
        return to_hex(_BLUES((math.log2(sigmas[0]) + 2) / 4))
    return _KNOWN[_name(method)][1] if _name(method) in _KNOWN else _SPARE_COLOURS[_pick(method, "colour", 5)]


def line(method: str) -> str:
    """Matplotlib line style of a method."""
    if method.startswith(_VTRACE):
        return "-."
    sigmas = _sigmas(method)
    if sigmas:
        return "-" if sigmas[0] == sigmas[1] else "--" if sigmas[1] < sigmas[0] else ":"
    return _KNOWN[_name(method)][2] if _name(method) in _KNOWN else _SPARE_LINES[_pick(method, "line", 3)]


def marker(method: str) -> str:
    """Matplotlib marker of a method."""
    method = base(method)
    sigmas = _sigmas(method)
    if sigmas:
        return "o" if sigmas[0] == sigmas[1] else "<" if sigmas[1] < sigmas[0] else ">"
    return _KNOWN[_name(method)][3] if _name(method) in _KNOWN else "v"


def base(method: str) -> str:
    """Method that stands behind the same one with V-trace targets: ``vtrace-sapo`` is ``sapo``, as ``sapo`` is."""
    return method.removeprefix(_VTRACE)


def order(methods: Iterable[str]) -> list[str]:
    """Distinct methods in the order of legends and rows: the rivals, user-added methods, then GIPO by its sigmas.

    Those with V-trace targets follow in the same order.
    """
    return sorted(set(methods), key=_rank)


def order_regimes(regimes: Iterable[str]) -> list[str]:
    """Distinct regimes: fresh, stale, then any others by name."""
    present = set(regimes)
    return [r for r in _REGIMES if r in present] + sorted(present - set(_REGIMES))


def order_suites(tasks: Iterable[str]) -> list[str]:
    """Distinct LIBERO tasks: the whole suites as the paper orders them, then any others by name."""
    present = set(tasks)
    return [suite for suite in _SUITES if suite in present] + sorted(present - set(_SUITES))


def suite_label(task: str) -> str:
    """Name of a LIBERO suite as the paper writes it; a single task stays as it is."""
    return _SUITES.get(task, task)


def _rank(method: str) -> tuple[bool, int, tuple[float, ...], str]:
    known, name, vtrace = list(_KNOWN), _name(base(method)), method.startswith(_VTRACE)
    if sigmas := _sigmas(name):
        return vtrace, len(known) + 1, sigmas, method
    return vtrace, (known.index(name) if name in known else len(known)), (), method


def _name(method: str) -> str:
    return method.replace("_", "-")


def _sigmas(method: str) -> tuple[float, ...]:
    """(sigma_pos, sigma_neg) of a GIPO method, empty for any other."""
    match = _GIPO.fullmatch(_name(method))
    return tuple(float(sigma) for sigma in match.groups()) if match else ()


def _pick(method: str, purpose: str, count: int) -> int:
    """Index below ``count`` that depends on the name alone, so that a method looks the same in every figure."""
    return hashlib.sha256(f"{purpose}:{method}".encode()).digest()[0] % count
