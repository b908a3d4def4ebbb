"""The scorecard: claims of the paper with the rules that judge them (claims.yaml), against what a study measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError, model_validator

from gipo import paper
from gipo.analysis.measures import Measure
from gipo.analysis.results import NotTestedError, Results
from gipo.analysis.statistics import Estimate
from gipo.config import Section, read_yaml
from gipo.errors import GipoError
from gipo.files import atomic_path
from gipo.stages import StudyFolder, csv_bytes

CLAIMS = Path(__file__).with_name("claims.yaml")

REPRODUCED, PARTLY, NOT_REPRODUCED = "reproduced", "partly", "not reproduced"
NOT_TESTED = "not tested at this scale"
VERDICTS = (REPRODUCED, PARTLY, NOT_REPRODUCED, NOT_TESTED)

FILE = "scorecard.csv"

COLUMNS = (
    *("id", "section", "claim", "reference", "source", "measured", "low", "high", "n", "unit", "rule"),
    *("verdict", "note"),
)
"""Columns of scorecard.csv."""


class Bounds(Section):
    """Limits on one number; all that are given must hold."""

    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> Bounds:
        if not self.model_fields_set:
            raise ValueError("expected at least one of above, at_least, below, at_most")
        return self

    def hold(self, x: float) -> bool:
        """Whether `x` lies within; never for NaN."""
        return (
            (self.above is None or x > self.above)
            and (self.at_least is None or x >= self.at_least)
            and (self.below is None or x < self.below)
            and (self.at_most is None or x <= self.at_most)
        )

    def words(self, name: str) -> str:
        """For example ``low > 0``."""
        signs = {"above": ">", "at_least": "≥", "below": "<", "at_most": "≤"}
        limits = self.model_dump(exclude_none=True)
        return " and ".join(f"{name} {signs[key]} {limit:.12g}" for key, limit in limits.items())


class Condition(Section):
    """Bounds on the estimate and on the ends of its interval; all that are given must hold."""

    value: Bounds | None = None
    low: Bounds | None = None
    high: Bounds | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> Condition:
        if not self.model_fields_set:
            raise ValueError("expected at least one of value, low, high")
        return self

    def _parts(self) -> dict[str, Bounds]:
        return {name: bounds for name, bounds in self if bounds is not None}

    def holds(self, estimate: Estimate) -> bool:
        """Whether the estimate meets it."""
        return all(bounds.hold(getattr(estimate, name)) for name, bounds in self._parts().items())

    def words(self) -> str:
        """For example ``low ≥ -0.1 and high ≤ 0.1``."""
        return " and ".join(bounds.words(name) for name, bounds in self._parts().items())


class Rule(Section):
    """Alternatives that settle a verdict; what meets neither list is *partly*."""

    reproduced: list[Condition] = Field(min_length=1)
    not_reproduced: list[Condition] = Field(min_length=1)
    why: str

    def verdict(self, estimate: Estimate) -> str:
        """One of the first three of `VERDICTS`."""
        if any(condition.holds(estimate) for condition in self.reproduced):
            return REPRODUCED
        if any(condition.holds(estimate) for condition in self.not_reproduced):
            return NOT_REPRODUCED
        return PARTLY

    def words(self) -> str:
        """The rule as a sentence."""
        yes, no = (" or ".join(c.words() for c in cs) for cs in (self.reproduced, self.not_reproduced))
        return f"reproduced if {yes}; not reproduced if {no}; otherwise partly ({self.why})"


class Remark(Section):
    """A sentence for the note, always or under a condition."""

    text: str
    when: Condition | None = None


class Claim(Section):
    """One claim of the paper, how it is measured and how it is judged; the keys are those of claims.yaml."""

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    section: str
    claim: str
    reference: str
    source: str = Field(pattern=r"\[")
    unit: str = ""
    measure: Measure
    rule: Rule
    remarks: tuple[Remark, ...] = ()


def load(path: Path = CLAIMS) -> list[Claim]:
    """Read and check claims.

    Raises:
        GipoError: The file is missing or not YAML, two claims share an id, or a claim is malformed; the message names
            the claim and the key.
    """
    entries = read_yaml(path)
    if not isinstance(entries, list):
        raise GipoError(f"{path}: expected a list of claims, found {type(entries).__name__}")
    claims = [_parse(_filled(entry), path) for entry in entries]
    ids = [claim.id for claim in claims]
    if doubles := sorted({name for name in ids if ids.count(name) > 1}):
        raise GipoError(f"{path}: more than one claim has the id {doubles[0]!r}")
    return claims


def _filled(entry: Any) -> Any:
    """With the numbers of paper.yaml in all texts."""
    if isinstance(entry, dict):
        return {key: _filled(value) for key, value in entry.items()}
    if isinstance(entry, list):
        return [_filled(value) for value in entry]
    return paper.words(entry) if isinstance(entry, str) else entry


def _parse(entry: Any, path: Path) -> Claim:
    try:
        return Claim.model_validate(entry)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "the whole"
        name = entry.get("id") if isinstance(entry, dict) else entry
        raise GipoError(f"{path}: claim {name!r}, {key}: {first['msg']}, found {first['input']!r}") from error


def write_scorecard(sources: StudyFolder, resamples: int, out: Path | None = None, claims: Path = CLAIMS) -> None:
    """Write scorecard.csv.

    Args:
        sources: ``results/<scale>``.
        resamples: bootstrap resamples of every interval.
        out: the file to write; by default that of the sources, with its manifest.
        claims: the claims with their rules.

    Raises:
        GipoError: The claims are malformed, or a file of the study is missing or damaged.
    """
    content = csv_bytes(scorecard(Results.read(sources, resamples), load(claims)), 8)
    if out is None:
        sources.write_stage("scorecard", {FILE: content}, sources.inputs_from([sources]))
        return
    with atomic_path(out) as path:
        path.write_bytes(content)


def read_scorecard(sources: StudyFolder) -> pd.DataFrame:
    """``scorecard.csv`` as `write_scorecard` wrote it.

    Raises:
        GipoError: the file is missing, lacks a column or holds an unknown verdict.
    """
    numbers = {column: [""] for column in ("measured", "low", "high", "n")}
    rows = sources.read_csv(FILE, COLUMNS, keep_default_na=False, na_values=numbers)
    if unknown := sorted(set(rows["verdict"]) - set(VERDICTS)):
        raise GipoError(f"{sources.path / FILE}: verdict {unknown[0]!r}, expected one of {', '.join(VERDICTS)}")
    return rows.astype({"n": "Int64"})


def scorecard(results: Results, claims: list[Claim]) -> pd.DataFrame:
    """Measure and judge every claim.

    Returns:
        One row per claim in the given order, columns `COLUMNS`; numbers are NaN where a claim was not tested.
    """
    return pd.DataFrame([_judge(claim, results) for claim in claims], columns=list(COLUMNS)).astype({"n": "Int64"})


def _judge(claim: Claim, results: Results) -> dict[str, Any]:
    row = claim.model_dump(include=set(COLUMNS) - {"rule"})
    row |= {"measured": np.nan, "low": np.nan, "high": np.nan, "n": None, "verdict": NOT_TESTED}
    row["rule"] = claim.rule.words()
    try:
        estimate = claim.measure.estimate(results)
    except NotTestedError as reason:
        return row | {"note": _sentence(str(reason))}
    row |= {"measured": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}
    if np.isnan([estimate.value, estimate.low, estimate.high]).any():
        return row | {"note": f"{_sentence(estimate.note)} Without an interval there is no verdict."}
    remarks = [remark.text for remark in claim.remarks if remark.when is None or remark.when.holds(estimate)]
    return row | {"verdict": claim.rule.verdict(estimate), "note": " ".join([_sentence(estimate.note), *remarks])}


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."
