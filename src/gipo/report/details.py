"""Implementation details: the paper, the authors' code and this code side by side, each with its place in the source.

The content is in the folder details, a file for each topic. Only what a source says stands under `paper` and `code`,
else "not stated"; `code` names the single-file script as script, where that is the source or differs. Places are found
by parsing the sources: nothing that is described here gets imported.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from markupsafe import Markup, escape
from pydantic import Field, ValidationError

from gipo.config import Section, explain, read_yaml
from gipo.errors import GipoError

DETAILS = Path(__file__).with_name("details")
"""Folder of the texts, a file for each topic."""
PACKAGE = Path(__file__).parents[1]

Topic = Literal[
    "Objective and ratios",
    "Targets",
    "Data and lag",
    "Network and optimiser",
    "Environment",
    "Evaluation",
    "Gridworld",
    "LIBERO",
    "World model",
]
Method = Literal["all", "No-Clip", "PPO-Clip", "SAPO", "GIPO"]
Source = Literal["P", "C", "script", "AcceRL"]

TOPICS: tuple[Topic, ...] = get_args(Topic)
"""Headings, in order."""

INTRODUCTION = """\
What the paper says, what the authors' released code does and what is done here, with the name and file of the code that
does it and the key of the scale config (`workflow/config/*.yaml`) that changes it. The column *here* has the values
of scale `paper`, which are the defaults, and under LIBERO, which has only what is other there, those of scale `libero`.
A scale config may have others, and a report shows what its runs had.

- **[P]** the paper (arXiv 2603.03955) and its public summaries.
- **[C]** the authors' released training code and logs; values are those of the study's code, which is commit 7565764 in
  the history of [distanceLu/AcceRL](https://github.com/distanceLu/AcceRL). *AcceRL*: that repository as it is today
  (ec28b85), where other values stand. *script*: the single-file MetaWorld script in
  [distanceLu/GIPO](https://github.com/distanceLu/GIPO) (5aae0ad), whose conventions scale `released` has.
- **[H]** earlier public versions of the authors' AcceRL repository: less than [P], more than [R].
- **[R]** reconstructed here, because neither says.
- **≠** the source that is not followed here. Without a mark, all that is stated is followed.
- *not stated*: not in our notes on that source; it may stand there all the same.
"""


class Switch(Section):
    """A key of the scale config, the value it would be given, and what that does."""

    key: str = Field(pattern=r"^[a-z_]+(\.[a-z0-9_-]+)*$")
    value: bool | int | float | str | None = None
    gives: str = ""

    @property
    def setting(self) -> str:
        """For example ``learner.truncation_bootstraps: false``; the key alone where no value is given."""
        value = self.value if isinstance(self.value, str) else json.dumps(self.value)
        return self.key if self.value is None else f"{self.key}: {value}"


class Detail(Section):
    """One row; texts may hold `code` in backticks. The keys are those of the files."""

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    topic: Topic
    title: str
    methods: tuple[Method, ...] = ("all",)
    paper: str
    code: str
    here: str
    differs: tuple[Source, ...] = ()
    switches: tuple[Switch, ...] = ()
    symbol: str = Field(pattern=r"^gipo(\.\w+)*:\w+(\.\w+)*$")


@dataclass(frozen=True)
class Row:
    """A detail with its place in the source.

    Attributes:
        detail: the content.
        path: file, relative to the root of the repository, with ``/``.
        line: first line of the symbol's definition, from 1.
    """

    detail: Detail
    path: str
    line: int

    @property
    def name(self) -> str:
        """The symbol without its module, ``GIPO.weight``."""
        return self.detail.symbol.partition(":")[2]


def rows(folder: Path = DETAILS) -> list[Row]:
    """All details in the order of their topics.

    Raises:
        GipoError: A file is not YAML or holds no list, there is none, two rows share an id, a row is malformed, or its
            symbol does not exist; the message names row and key or symbol.
    """
    found = [row for path in sorted(folder.glob("*.yaml")) for row in _rows(path)]
    if not found:
        raise GipoError(f"no details in {folder}")
    ids = [row.detail.id for row in found]
    if doubles := sorted({name for name in ids if ids.count(name) > 1}):
        raise GipoError(f"{folder}: more than one detail has the id {doubles[0]!r}")
    return sorted(found, key=lambda row: TOPICS.index(row.detail.topic))


def _rows(path: Path) -> list[Row]:
    entries = read_yaml(path)
    if not isinstance(entries, list):
        raise GipoError(f"{path}: expected a list of details, found {type(entries).__name__}")
    return [_locate(_parse(entry, path), path) for entry in entries]


def by_topic(folder: Path = DETAILS) -> list[tuple[str, list[Row]]]:
    """The rows under their headings."""
    found = rows(folder)
    return [(topic, [row for row in found if row.detail.topic == topic]) for topic in TOPICS]


def markdown(folder: Path = DETAILS) -> str:
    """IMPLEMENTATION.md; links are relative to the root of the repository.

    A link names symbol and file, and no line: another line above the symbol makes nothing here stale.
    """
    lines = [
        "# Implementation details",
        "",
        "<!-- Generated from src/gipo/report/details: gipo details IMPLEMENTATION.md -->",
        "",
        INTRODUCTION,
    ]
    for topic, topic_rows in by_topic(folder):
        lines += [
            f"## {topic}",
            "",
            "| detail | paper [P] | released code [C] | here | switch |",
            "|---|---|---|---|---|",
        ]
        lines += [f"| {' | '.join(_cells(row))} |" for row in topic_rows]
        lines.append("")
    return "\n".join(lines)


def html(text: str) -> Markup:
    """A text of a detail for the template: escaped, code in backticks as ``<code>``."""
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if i % 2 else escape(part) for i, part in enumerate(text.split("`"))
    )


def _cells(row: Row) -> Iterator[str]:
    """A row of a Markdown table."""
    detail = row.detail
    methods = f"<br>*{', '.join(detail.methods)}*" if detail.methods != ("all",) else ""
    differs = f"**≠ {', '.join(detail.differs)}:** " if detail.differs else ""
    yield f"**{_escaped(detail.title)}**{methods}"
    yield _escaped(detail.paper)
    yield _escaped(detail.code)
    yield f"{differs}{_escaped(detail.here)}<br>[`{row.name}`]({row.path})"
    yield "<br>".join(f"`{s.setting}`" + (f" {_escaped(s.gives)}" if s.gives else "") for s in detail.switches) or "-"


def _escaped(text: str) -> str:
    """Text with what Markdown would read as markup escaped, but for code in backticks."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([\\*_<|])", r"\\\1", part) for part in parts[::2]]
    parts[1::2] = [part.replace("|", r"\|") for part in parts[1::2]]
    return "`".join(parts)


def _parse(entry: Any, path: Path) -> Detail:
    try:
        return Detail.model_validate(entry)
    except ValidationError as error:
        name = entry.get("id") if isinstance(entry, dict) else entry
        raise GipoError(f"{path}: detail {name!r}: {explain(error)}") from error


def _locate(detail: Detail, path: Path) -> Row:
    """Find the detail's symbol."""
    module, _, name = detail.symbol.partition(":")
    base = PACKAGE.joinpath(*module.split(".")[1:])
    source = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    if not source.is_file():
        raise GipoError(f"{path}: detail {detail.id!r}: there is no module {module!r} (symbol {detail.symbol!r})")
    line = _lines(source).get(name)
    if line is None:
        raise GipoError(f"{path}: detail {detail.id!r}: module {module!r} has no {name!r} (symbol {detail.symbol!r})")
    return Row(detail, f"src/gipo/{source.relative_to(PACKAGE).as_posix()}", line)


@cache
def _lines(source: Path) -> dict[str, int]:
    """Dotted names of the classes, functions and variables of a module and its classes, with their lines."""
    return dict(_definitions(ast.parse(source.read_bytes()), ""))


def _definitions(parent: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[str, int]]:
    for node in parent.body:
        match node:
            case ast.ClassDef(name=name):
                yield prefix + name, node.lineno
                yield from _definitions(node, f"{prefix}{name}.")
            case ast.FunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                yield prefix + name, node.lineno
            case ast.Assign(targets=[ast.Name(id=name)]):
                yield prefix + name, node.lineno
