"""Sentences that several captions share."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from gipo.analysis import numbers

FEW_SEEDS = 5


def runs(table: pd.DataFrame) -> str:
    """How many runs stand behind a table with columns ``tasks`` and ``seeds``: ``2 tasks x 3 seeds``."""
    return f"{_count(table['tasks'], 'task')} x {_count(table['seeds'], 'seed')}"


def tasks(column: Iterable[str]) -> str:
    """Distinct tasks, sorted, in a row."""
    return ", ".join(sorted(set(column)))


def intervals(table: pd.DataFrame) -> str:
    """How intervals were made and what to mind; columns ``seeds``, ``resamples``, ``low`` and ``note``."""
    sentences = []
    if table["low"].notna().any():
        sentences.append(
            "Intervals: 95 %, percentile method, bootstrap over seeds stratified by task, "
            f"{table['resamples'].iloc[0]:,} resamples."
        )
        if table["seeds"].max() < FEW_SEEDS:
            sentences.append(f"With fewer than {FEW_SEEDS} seeds such intervals tend to be too narrow.")
    notes = sorted(set(table["note"].fillna("")) - {""})
    if notes:
        sentences.append(f"In places: {'; '.join(notes)}.")
    return " ".join(sentences)


def told(changes: pd.DataFrame, names: Iterable[str]) -> str:
    """Which changes can be told from none, with their intervals, of a table with a name for each row."""
    listed = "; ".join(
        f"{name}: {numbers.words(row['value'], row['low'], row['high'])}"
        for name, row in zip(names, changes.to_dict("records"), strict=True)
        if row["low"] > 0 or row["high"] < 0
    )
    if not listed:
        return f"None of {len(changes)} changes can be told from none."
    return f"A change that can be told from none, of {len(changes)}: {listed}."


def _count(column: pd.Series[int], noun: str) -> str:
    low, high = column.min(), column.max()
    number = str(high) if low == high else f"{low}-{high}"
    return f"{number} {noun}" + ("" if high == 1 else "s")
