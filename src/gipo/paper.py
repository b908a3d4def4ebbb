"""Published numbers, each with its source and place: the content of paper.yaml, checked when it is first asked for."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from gipo.config import Section, explain, read_yaml
from gipo.errors import GipoError

NUMBERS = Path(__file__).with_name("paper.yaml")

_DIGITS = r"\d[\d,]*(\.\d+)?"
_PLACEHOLDER = re.compile(r"\{(?P<one>[^{}]+?)(?: (?P<sign>[-/]) (?P<other>[^{}]+?))?(?P<form> %| mean)?\}")


class Group(Section):
    """Numbers of one kind and one source; keys are methods, regimes or the like."""

    source: Literal["P", "P article", "C", "H", "R"]
    place: str = Field(min_length=1)
    values: dict[str, Annotated[str, Field(pattern=rf"^{_DIGITS}( ± {_DIGITS})?$")]] = Field(min_length=1)


class Number(Section):
    """One published number."""

    text: str
    """As printed, without what stands behind ±."""
    spread_text: str | None
    """The number behind ±, the standard deviation across tasks."""
    source: str
    """Tag with brackets, ``[P]``."""

    @property
    def value(self) -> float:
        """The number."""
        return float(self.text.replace(",", ""))

    @property
    def spread(self) -> float:
        """Standard deviation across tasks; NaN where none is published."""
        return float((self.spread_text or "nan").replace(",", ""))

    @property
    def decimals(self) -> int:
        """Digits behind the point."""
        return len(self.text.partition(".")[2])


@cache
def groups(path: Path = NUMBERS) -> dict[str, Group]:
    """All groups by name.

    Raises:
        GipoError: the file is missing, not YAML or no map, or a group is malformed; names the group and the key.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise GipoError(f"{path}: expected groups of numbers by name, found {type(content).__name__}")
    found = {}
    for name, group in content.items():
        try:
            found[name] = Group.model_validate(group)
        except ValidationError as error:
            raise GipoError(f"{path}: {name}: {explain(error)}") from error
    return found


def group(name: str) -> dict[str, Number]:
    """Numbers of a group by key.

    Raises:
        GipoError: there is no such group.
    """
    if name not in groups():
        raise GipoError(f"paper.yaml has no group {name!r}; it has: {', '.join(groups())}")
    source = f"[{groups()[name].source}]"
    numbers = {}
    for key, printed in groups()[name].values.items():
        text, _, spread = printed.partition(" ± ")
        numbers[key] = Number(text=text, spread_text=spread or None, source=source)
    return numbers


def number(key: str) -> Number:
    """A number by the name of its group and its own, ``iqm/gipo-1-1``.

    Raises:
        GipoError: there is no such number.
    """
    name, _, entry = key.partition("/")
    numbers = group(name)
    if entry not in numbers:
        raise GipoError(f"paper.yaml: {name} has no number {entry!r}; it has: {', '.join(numbers)}")
    return numbers[entry]


def words(text: str) -> str:
    """A text with its placeholders filled in.

    ``{iqm/ppo-clip}`` is a number as printed, ``{a - b}`` a difference with as many decimals as its terms, ``{a / b}``
    a ratio to two digits, ``{a %}`` a share in per cent, ``{a mean}`` one without what stands behind ±.

    Raises:
        GipoError: a placeholder names no number.
    """
    return _PLACEHOLDER.sub(_filled, text)


def _filled(match: re.Match[str]) -> str:
    one = number(match["one"])
    if match["form"] == " %":
        return f"{100 * one.value:.3g} %"
    if match["form"] == " mean":
        return one.text
    if not match["sign"]:
        return one.text if one.spread_text is None else f"{one.text} ± {one.spread_text}"
    other = number(match["other"])
    if match["sign"] == "/":
        return f"{one.value / other.value:.2g}"
    difference = f"{one.value - other.value:.{max(one.decimals, other.decimals)}f}"
    return difference.rstrip("0").rstrip(".").replace("-", "\N{MINUS SIGN}")
