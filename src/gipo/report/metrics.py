"""The glossary of every logged number, docs/metrics.md, from metrics.yaml beside this module."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from gipo.config import Section, explain, read_yaml
from gipo.errors import GipoError

METRICS = Path(__file__).with_name("metrics.yaml")

INTRODUCTION = """\
# Every logged number

<!-- Generated from src/gipo/report/metrics.yaml: gipo metrics docs/metrics.md -->

A run writes `metrics.parquet`, a row every `diagnostics.every` updates about the batch of that update, and
`evaluation.parquet`, a row per evaluation episode. MLflow has the mean over the episodes of an evaluation.

| symbol | meaning |
|---|---|
| π, μ | the policy that learns; the policy that collected the sample |
| ρ | π(a\\|s) / μ(a\\|s), per action dimension, or of the whole action with `learner.joint_ratio: true` |
| A | advantage, normalised over the batch |
| V, target | the value's estimate of the scaled return; its target |
| m | multiplier: what the objective makes of a sample's gradient A ∇log π |
| c | contribution, \\|m A\\| |
| g | version gap: learner updates since the sample was collected |
| K | gap from which a sample is old, `diagnostics.old_gap` times all updates |
| Q, mean, Σ | over the batch and action dimensions; of accumulated batches, over the last one |
| [x] | 1 where x holds, else 0 |
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
    lines = [INTRODUCTION]
    for table, columns in tables(path).items():
        lines += [f"## {table}", "", "| column | meaning | formula | unit | in MLflow |", "|---|---|---|---|---|"]
        for name, metric in columns.items():
            recorded = f"`{metric.recorded_as(name)}`" if metric.group else "-"
            cells = (f"`{name}`", metric.meaning, metric.formula or "-", metric.unit, recorded)
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
        lines.append("")
    return "\n".join(lines)
