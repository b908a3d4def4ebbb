"""The scorecard: claims of the paper with the rules that judge them (claims.yaml), against what a study measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError, model_validator

from gipo import paper
from gipo.analysis import history, numbers
from gipo.analysis.measures import Measure
from gipo.analysis.needs import Needs
from gipo.analysis.results import Results
from gipo.analysis.rules import Condition, Rule
from gipo.analysis.verdicts import CANNOT_TELL, MEASURED, VERDICTS, Kind, NotJudgedError
from gipo.config import Section, read_yaml
from gipo.errors import GipoError
from gipo.files import atomic_path
from gipo.stages import StudyFolder, csv_bytes

CLAIMS = Path(__file__).with_name("claims.yaml")

FILE = "scorecard.csv"

NUMBERS = ("measured", "low", "high", "n", "detectable")
COLUMNS = (
    *("id", "section", "kind", "claim", "reference", "source", *NUMBERS, "unit", "needs", "rule", "fixed"),
    *("verdict", "note"),
)
"""Columns of scorecard.csv; ``detectable`` as in `gipo.analysis.statistics.Estimate`, of measured claims."""

NO_VERDICTS = "Not judged: this scale tests the software."


class Remark(Section):
    """A sentence for the note, always or under a condition."""

    text: str
    when: Condition | None = None


class Aside(Section):
    """Another measure, whose estimate is said in the note and decides nothing."""

    text: str
    measure: Measure

    def words(self, results: Results) -> str:
        """Its text with the estimate; says so if there is none."""
        try:
            found = self.measure.estimate(results)
        except NotJudgedError as reason:
            return f"{self.text}: {reason}."
        return f"{self.text}: {numbers.words(found.value, found.low, found.high)}."


class Claim(Section):
    """One claim of the paper, how it is measured and how it is judged; the keys are those of claims.yaml."""

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    section: str
    kind: Kind
    figure: str | None = None
    """Where the report shows it."""
    claim: str
    reference: str
    source: str = Field(pattern=r"\[")
    unit: str = ""
    measure: Measure
    needs: Needs | None = None
    rule: Rule
    remarks: tuple[Remark, ...] = ()
    asides: tuple[Aside, ...] = ()
    fixed: str = "not committed"
    """Since when it has been judged so, in words; `load` fills it in from rules.yaml."""

    @model_validator(mode="after")
    def _measured_ones_have_needs(self) -> Claim:
        if (self.kind == MEASURED) != (self.needs is not None):
            raise ValueError("expected needs of claims that are measured, and of no others")
        return self

    def row(self) -> dict[str, Any]:
        """The part of its row in the scorecard that no study changes."""
        row = self.model_dump(include=set(COLUMNS) - {"needs", "rule"}) | dict.fromkeys(NUMBERS, np.nan) | {"n": None}
        return row | {"needs": self.needs.words() if self.needs else "", "rule": self.rule.words()}


def load(path: Path = CLAIMS) -> list[Claim]:
    """Read and check claims, and since when they have been judged so, from the rules.yaml beside them if it is there.

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
    rules = path.with_name(history.RULES.name)
    known = history.load(rules) if rules.exists() else {}
    today = history.digests(entries)
    return [
        claim.model_copy(update={"fixed": known[claim.id].words()})
        if claim.id in known and known[claim.id].rule_digest == today[claim.id]
        else claim
        for claim in claims
    ]


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


def write_scorecard(
    sources: StudyFolder, resamples: int, out: Path | None = None, claims: Path = CLAIMS, not_judged: str = ""
) -> None:
    """Write scorecard.csv.

    Args:
        sources: ``results/<scale>``.
        resamples: bootstrap resamples of every interval.
        out: the file to write; by default that of the sources, with its manifest.
        claims: the claims with their rules.
        not_judged: why no verdicts are given, a sentence; empty if they are.

    Raises:
        GipoError: The claims are malformed, or a file of the study is missing or damaged.
    """
    rows = scorecard(Results.read(sources, resamples), load(claims), not_judged)
    content = csv_bytes(rows, 8)
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
    numbers = {column: [""] for column in NUMBERS}
    rows = sources.read_csv(FILE, COLUMNS, keep_default_na=False, na_values=numbers)
    if unknown := sorted(set(rows["verdict"]) - set(VERDICTS)):
        raise GipoError(f"{sources.path / FILE}: verdict {unknown[0]!r}, expected one of {', '.join(VERDICTS)}")
    return rows.astype({"n": "Int64"})


def scorecard(results: Results, claims: list[Claim], not_judged: str = "") -> pd.DataFrame:
    """Measure and judge every claim.

    Args:
        results: of the study.
        claims: with their rules.
        not_judged: why no verdicts are given, a sentence; empty if they are.

    Returns:
        One row per claim in the given order, columns `COLUMNS`; numbers are NaN where nothing was measured.
    """
    rows = [claim.row() | _judge(claim, results, not_judged) for claim in claims]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"n": "Int64"})


def _judge(claim: Claim, results: Results, not_judged: str) -> dict[str, Any]:
    """Numbers, verdict and note of a claim."""
    try:
        estimate = claim.measure.estimate(results)
        lacks = claim.needs.unmet(claim.measure, results) if claim.needs and not not_judged else []
    except NotJudgedError as reason:
        return {"verdict": reason.verdict, "note": _sentence(str(reason))}
    numbers = {"measured": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}
    numbers |= {"detectable": estimate.detectable if claim.kind == MEASURED else np.nan}
    note = [_sentence(estimate.note)]
    note += [remark.text for remark in claim.remarks if remark.when is None or remark.when.holds(estimate)]
    note += [aside.words(results) for aside in claim.asides]
    verdict = claim.rule.verdict(estimate)
    if not_judged:
        verdict, note = CANNOT_TELL, [not_judged, *note]
    elif np.isnan([estimate.value, estimate.low, estimate.high]).any():
        verdict, note = CANNOT_TELL, [_sentence(estimate.note), "Without an interval there is no verdict."]
    elif lacks:
        verdict, note = CANNOT_TELL, [_sentence("; ".join(lacks)), *note]
    return numbers | {"verdict": verdict, "note": " ".join(note)}


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."
