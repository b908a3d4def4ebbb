"""The glossary: words and symbols, from glossary.yaml, and every logged number, from metrics.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from markupsafe import Markup, escape
from pydantic import TypeAdapter, ValidationError

from gipo.config import Section, explain, read_yaml
from gipo.errors import GipoError

METRICS = Path(__file__).with_name("metrics.yaml")
GLOSSARY = Path(__file__).with_name("glossary.yaml")

INTRODUCTION = """\
# Every logged number

<!-- Generated from src/gipo/report/metrics.yaml: gipo metrics docs/metrics.md -->

A run writes `metrics.parquet`, a row every `diagnostics.every` updates about the batch of that update, and
`evaluation.parquet`, a row per evaluation episode. MLflow has the mean over the episodes of an evaluation. A run with a
world model also writes `imagination.parquet`, a row per branch and step at which it is compared with the simulator.
"""


class Metric(Section):
    """One column; `unit` is ``1`` for a plain number, and `formula` is empty where the meaning says it all."""

    group: Literal["return", "lag", "use", "loss", "cost"] | None = None
    """Where it stands in MLflow; None: it is not there."""
    meaning: str
    formula: str = ""
    unit: str

    def recorded_as(self, column: str) -> str:
        """Its name in MLflow."""
        return f"{self.group}/{column}"


class Glossary(Section):
    """Meanings of words and symbols, in the order in which they are shown."""

    words: dict[str, str]
    symbols: dict[str, str]


def glossary(path: Path = GLOSSARY) -> Glossary:
    """Words and symbols.

    Raises:
        GipoError: The file is missing, not YAML or malformed.
    """
    return Glossary.load(path)


def html(text: str) -> Markup:
    """A meaning for the template: escaped, what stands between ``*`` as ``<em>``."""
    return Markup("").join(
        Markup("<em>{}</em>").format(part) if i % 2 else escape(part) for i, part in enumerate(text.split("*"))
    )


def tables(path: Path = METRICS) -> dict[str, dict[str, Metric]]:
    """Entries by table and column, in the order of the file.

    Raises:
        GipoError: The file is missing, not YAML or malformed; the message names table, column and key.
    """
    try:
        return TypeAdapter(dict[str, dict[str, Metric]]).validate_python(read_yaml(path))
    except ValidationError as error:
        raise GipoError(f"{path}: {explain(error)}") from error


def markdown(path: Path = METRICS) -> str:
    """The text of docs/metrics.md."""
    lines = [INTRODUCTION, "| symbol | meaning |", "|---|---|"]
    lines += [f"| {_cell(symbol)} | {_cell(meaning)} |" for symbol, meaning in glossary().symbols.items()] + [""]
    for table, columns in tables(path).items():
        lines += [f"## {table}", "", "| column | meaning | formula | unit | in MLflow |", "|---|---|---|---|---|"]
        for name, metric in columns.items():
            recorded = f"`{metric.recorded_as(name)}`" if metric.group else "-"
            cells = (f"`{name}`", metric.meaning, metric.formula or "-", metric.unit, recorded)
            lines.append(f"| {' | '.join(map(_cell, cells))} |")
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    """A text in a table of Markdown."""
    return text.replace("|", r"\|")
