"""The guide page, from numbers that are known."""

import pandas as pd
import pytest

from checkout import ROOT
from gipo.report import guide
from gipo.stages import StudyFolder

SHARED = {"task": "door-open-v3", "tasks": 1, "seeds": 5, "resamples": 100, "env_steps": 30000.0, "updates": 1000.0}
SCORES = {0.01: {"topr": 0.9, "spo": 0.8, "gipo-1-1": 0.5}, 0.8: {"topr": 0.1, "spo": 0.3, "gipo-1-1": 0.4}}
BEHIND = {
    0.01: {"spo": (-0.1, -0.2, 0.05), "gipo-1-1": (-0.4, -0.5, -0.3)},
    0.8: {"topr": (-0.3, -0.4, -0.2), "spo": (-0.1, -0.15, -0.05)},
}


DISCARDING = {
    ("spo", 1.0): (0.3, 0.2, 0.4),
    ("spo", 0.0125): (0.5, 0.4, 0.6),
    ("topr", 1.0): (0.1, 0.0, 0.2),
    ("topr", 0.0125): (-0.2, -0.3, 0.1),
    ("gipo-1-1", 1.0): (0.4, 0.3, 0.5),
    ("gipo-1-1", 0.0125): (-0.2, -0.3, -0.1),
}
"""Value and interval by method and newest share."""


@pytest.fixture
def page() -> list[str]:
    rows = []

    def add(statistic: str, method: str, value: float, low: float, high: float, lifetime: float = float("nan")) -> None:
        estimate = {"value": value, "low": low, "high": high, "n": 5, "note": ""}
        rows.append({"statistic": statistic, "method": method, "lifetime": lifetime} | estimate)

    for lifetime, scores in SCORES.items():
        for method, score in scores.items():
            add("score", method, score, score - 0.05, score + 0.05, lifetime)
            add("d95", method, lifetime * 2, 0, 1, lifetime)
        for method, behind in BEHIND[lifetime].items():
            add("behind", method, *behind, lifetime)
    for rank, (method, half) in enumerate({"spo": 0.8, "topr": 0.123, "gipo-1-1": float("nan")}.items(), 1):
        add("area", method, 0.6 - rank / 10, 0.1, 0.7)
        add("rank", method, rank, rank - 0.5, rank + 0.5)
        add("half_life", method, half, 0.1, 0.8)
        add("against", method, 0.3 - rank / 10, -0.1, 0.2)
    names = ["method", "newest", "value", "low", "high"]
    discarding = pd.DataFrame([[*which, *numbers] for which, numbers in DISCARDING.items()], columns=names)
    return guide.page(pd.DataFrame(rows).assign(**SHARED), discarding).splitlines()


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def rows_of(page: list[str], head: str) -> list[list[str]]:
    """The three rows of the table whose head begins so."""
    start = next(i for i, line in enumerate(page) if line.startswith(head))
    return [cells(line) for line in page[start + 2 : start + 5]]


def test_the_page_is_that_of_the_published_arena():
    stored = (ROOT / "docs" / "which-objective.md").read_text(encoding="utf-8")
    again = "gipo guide docs/which-objective.md reports/arena"
    assert stored == guide.markdown(StudyFolder(ROOT / "reports" / "arena")), (
        f"out of date; write it again with: {again}"
    )


def test_a_row_for_each_lifetime(page: list[str]):
    fresh, stale = (cells(line) for line in page if "updates)" in line and line.startswith("|"))
    assert fresh == ["0.5% (5 updates)", "0.02", "TOPR 0.90", "SPO 0.80", "GIPO (1, 1) 0.50"]
    assert stale == ["40.0% (400 updates)", "1.6", "GIPO (1, 1) 0.40", "", "SPO 0.30, TOPR 0.10"]


def test_objectives_stand_in_the_order_of_their_area(page: list[str]):
    rows = rows_of(page, "| objective | score")
    assert [row[0] for row in rows] == ["SPO", "TOPR", "GIPO (1, 1)"]
    assert [row[-1] for row in rows] == ["over 0.8", "0.123", ""]
    assert rows[0][1] == "0.500 [0.100, 0.700]"


def test_discarding_is_said_for_each_objective_and_counted(page: list[str]):
    assert "| objective | all data | newest 1.2% |" in page
    rows = rows_of(page, "| objective | all data")
    assert [row[0] for row in rows] == ["GIPO (1, 1)", "SPO", "TOPR"]
    assert rows[1][1:] == ["0.300 [0.200, 0.400]", "0.500 [0.400, 0.600]"]
    assert "Of 3 differences, 1 are above 0 with their whole interval, 1 below." in page
