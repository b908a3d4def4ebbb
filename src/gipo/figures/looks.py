"""Colour, line and marker of every method of a figure: no two methods look alike.

The paper's methods look the same in every figure. Their colours are from the Okabe-Ito set, told apart by colour-blind
readers on white. GIPO (sigma_pos, sigma_neg) is darker with sigma_pos: blue where both are equal, purple, dashed and
``<`` where sigma_neg is smaller, olive, dotted and ``>`` where it is larger. Any other method gets a spare colour that
is far from those in the figure. With V-trace targets a method looks as without, its line dash-dotted.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import seaborn as sns
from matplotlib.colors import to_hex, to_rgb

from gipo.analysis import methods
from gipo.analysis.methods import Method

Line = str | tuple[int, tuple[float, ...]]


@dataclass(frozen=True)
class Look:
    """How a method is drawn: a colour ``#rrggbb``, a line style and a marker of matplotlib."""

    colour: str
    line: Line
    marker: str


GIPO = Look("#0072B2", "-", "o")
"""The family, and GIPO (1, 1)."""

_KNOWN = {
    "no-clip": Look("#8C8C8C", "-", "D"),
    "ppo-clip": Look("#D55E00", "-", "s"),
    "sapo": Look("#009E73", "-", "^"),
    "gipo": GIPO,
}
_TITLES = {
    **{"no-clip": "No-Clip", "ppo-clip": "PPO-Clip", "sapo": "SAPO", "gipo": "GIPO"},
    **{"cispo": "CISPO", "soft-clip": "Soft clip", "icepop": "IcePop", "decoupled-ppo": "Decoupled PPO"},
    **{name: name.upper() for name in ("topr", "m2po", "dppo-tv", "spo", "gspo", "gmpo", "vespo", "ce-gppo")},
}
_EQUAL, _SMALLER, _LARGER = (
    sns.blend_palette(colours, as_cmap=True)
    for colours in (
        ("#A6DBF7", "#56B4E9", GIPO.colour, "#0B3C6F", "#03172E"),
        ("#F3D3E6", "#E08CC0", "#B0378A", "#661A52", "#2E0A24"),
        ("#E9DF9F", "#CDB83F", "#9A8500", "#5A4E00", "#2A2400"),
    )
)
_SPARE_COLOURS = tuple(to_hex(c) for light in (0.5, 0.75, 0.35) for c in sns.husl_palette(14, s=0.85, l=light))
_SPARE_LINES: tuple[Line, ...] = ("-", "--", (0, (6, 1, 1, 1, 1, 1)), (0, (2, 1)))
_SPARE_MARKERS = ("v", "P", "X", "p", "h", "*", "d", "8")
_VTRACE_LINE = "-."
_NEAR = 0.12
"""Colours less far apart than that (of 1.7, black to white) pass for one."""


def title(method: Method) -> str:
    """Name of a method as the paper writes it, without the study's label."""
    written = methods.without_vtrace(method.id).partition("[")[0].rpartition(":")[2]
    words = _TITLES.get(method.objective, written)
    if method.sigmas:
        words = f"GIPO ({method.sigmas[0]:.6g}, {method.sigmas[1]:.6g})"
    if method.settings:
        words += f", {method.settings.replace('learner.', '').replace('=', ' ')}"
    return words + " + V-trace" * method.vtrace


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Look of every method of a figure, in any order of `names`; the paper's methods look alike in all figures.

    Returns:
        By name, sorted as in legends; no two are equal.
    """
    found = {name: methods.read(name) for name in sorted(set(names), key=methods.rank)}
    bases = {name: _base(method, found) for name, method in found.items()}
    known = {base: look for base in bases.values() if (look := _known(methods.read(base)))}
    given: dict[str, Look] = {}
    for base in sorted(bases.values(), key=lambda base: (base not in known, not _is_round(methods.read(base)))):
        if base not in given:
            look = known.get(base)
            given[base] = look if look and not _is_taken(look, given) else _spare(base, given)
    return {
        name: replace(given[bases[name]], line=_VTRACE_LINE) if method.vtrace else given[bases[name]]
        for name, method in found.items()
    }


def _base(method: Method, found: dict[str, Method]) -> str:
    """Name of what a method looks like, V-trace or not: its id, or its own name if an earlier one has that id."""
    first = next(name for name, other in found.items() if other.id == method.id)
    return methods.without_vtrace(method.id if first == method.name else method.name)


def _known(method: Method) -> Look | None:
    """Look of a method of the paper; None for any other."""
    if method.settings or method.label != method.id:
        return None
    if not method.sigmas:
        return _KNOWN.get(method.objective)
    positive, negative = method.sigmas
    shade = (math.log2(positive) + 2) / 4
    if positive == negative:
        return replace(GIPO, colour=to_hex(_EQUAL(shade)))
    if negative < positive:
        return Look(to_hex(_SMALLER(shade)), "--", "<")
    return Look(to_hex(_LARGER(shade)), ":", ">")


def _is_round(method: Method) -> bool:
    """Whether the sigmas are powers of two and one is the other, its half or its double, as in the paper."""
    if not method.sigmas:
        return True
    positive, negative = (math.log2(sigma) for sigma in method.sigmas)
    return positive.is_integer() and negative - positive in (-1, 0, 1)


def _is_taken(look: Look, given: dict[str, Look]) -> bool:
    """Whether another method has about this colour with the same line."""
    return any(look.line == other.line and _distance(look.colour, other.colour) < _NEAR for other in given.values())


def _spare(base: str, given: dict[str, Look]) -> Look:
    """A look that none has: of the colours far from all others the first from a place that the name gives."""
    taken = [look.colour for look in given.values()] + [look.colour for look in _KNOWN.values()]
    start = int.from_bytes(hashlib.sha256(base.encode()).digest()[:4], "big")
    turn = [_SPARE_COLOURS[(start + i) % len(_SPARE_COLOURS)] for i in range(len(_SPARE_COLOURS))]
    gaps = {colour: min(_distance(colour, other) for other in taken) for colour in turn}
    colour = next((colour for colour in turn if gaps[colour] > 2 * _NEAR), max(turn, key=gaps.__getitem__))
    number = sum(look.marker in _SPARE_MARKERS for look in given.values())
    lines, markers = len(_SPARE_LINES), len(_SPARE_MARKERS)
    return Look(colour, _SPARE_LINES[number % lines], _SPARE_MARKERS[number % markers])


def _distance(one: str, other: str) -> float:
    """Between two colours, from 0 to 1.7."""
    return math.dist(to_rgb(one), to_rgb(other))
