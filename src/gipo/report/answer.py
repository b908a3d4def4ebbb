"""The question that every study is asked, and its answer in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from gipo import suites
from gipo.analysis import claims, joined
from gipo.analysis.verdicts import ANSWERS
from gipo.figures import scorecard
from gipo.report.part import Part

QUESTION = "Does GIPO beat PPO-Clip and SAPO on stale data?"


def entry(row: pd.Series) -> dict[str, Any]:
    """A scorecard row in words, with what else it has."""
    words: dict[str, Any] = {str(column): str(value) for column, value in row.items()}
    words |= {"measured": scorecard.measured_words(row), "mark": scorecard.MARKS[row["verdict"]]}
    words |= {"detectable": "" if pd.isna(row["detectable"]) else f"{row['detectable']:.2g}"}
    return words | {"n": "" if pd.isna(row["n"]) else f"{row['n']:,}"}


def answers(judged: pd.DataFrame, parts: Sequence[Part]) -> list[dict[str, Any]]:
    """The claims that answer the question, of every suite that has some: entries with an ``answer``.

    Args:
        judged: the scorecard of all parts.
        parts: the studies.
    """
    rows = {str(row["id"]): row for _, row in judged.iterrows()}
    return [
        entry(rows[name]) | {"suite": suite.title, "answer": ANSWERS[rows[name]["verdict"]]}
        for suite in (suites.get(name) for name in dict.fromkeys(part.suite for part in parts))
        for name in suite.answers
    ]


def lines(parts: Sequence[Part]) -> Iterator[str]:
    """Question and answers for a terminal.

    Raises:
        GipoError: a scorecard is missing or damaged.
    """
    scorecards: dict[str, pd.DataFrame | None] = {part.name: claims.read_scorecard(part.folder) for part in parts}
    judged = joined.join(scorecards, {part.name: part.suite for part in parts}, claims.load())
    yield QUESTION
    for row in answers(judged, parts):
        measured = f"{row['measured']} ({row['unit']}, n = {row['n']} runs); in the paper {row['reference']}"
        yield f"{row['answer']}. Claim: {row['claim']}" + (f" Measured: {measured}." if row["measured"] else "")
