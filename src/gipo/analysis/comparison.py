"""Two studies side by side: which of their tables are equal, and what each says of every claim."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from gipo.analysis import numbers
from gipo.analysis.verdicts import MEASURED
from gipo.errors import GipoError
from gipo.stages import StudyFolder
from gipo.tables import PROVENANCE

DATA = (".csv", ".parquet")
FINDING = ("measured", "low", "high", "n", "verdict")
"""Columns of a scorecard that are set side by side."""


@dataclass(frozen=True)
class Comparison:
    """Common and different parts of two studies."""

    first: StudyFolder
    second: StudyFolder
    equal: list[str]
    """Tables that are the same in both, bit for bit; of ``runs.parquet`` not how, when and where a run was made."""
    different: list[str]
    lonely: list[str]
    """Tables that only one of them has."""
    claims: pd.DataFrame
    """A row for each claim: id, kind, claim, `FINDING` of both with suffixes ``_first`` and ``_second``, `changed`,
    whether the verdicts differ, and `apart`, whether no number lies in both intervals."""

    def lines(self) -> Iterator[str]:
        """All of it for people."""
        yield f"first:  {self.first.path}"
        yield f"second: {self.second.path}"
        both = len(self.equal) + len(self.different)
        yield f"{len(self.equal)} of {both} tables are equal bit for bit"
        yield from (f"  differs: {name}" for name in self.different)
        if self.lonely:
            yield f"  only in one: {', '.join(self.lonely)}"
        changed = self.claims[self.claims["changed"]]
        yield f"{len(changed)} of {len(self.claims)} claims have another verdict"
        for row in changed.to_dict("records"):
            yield f"  {row['id']}: {_finding(row, 'first')} -> {_finding(row, 'second')}"
        apart = self.claims.loc[self.claims["apart"], "id"]
        yield f"{len(apart)} of {len(self.claims)} claims have intervals without a common number"
        yield from (f"  {name}" for name in apart)


def as_published(here: StudyFolder, published: StudyFolder) -> str:
    """How many tables of a study are the published ones, and what differs, in a line.

    Raises:
        GipoError: as `compare`.
    """
    (runs, cpus), (runs_published, cpus_published) = map(_made, (here, published))
    if runs != runs_published:
        return f"{published.path} was made of other runs: its settings were others"
    found = compare(here, published)
    both = len(found.equal) + len(found.different) + len(found.lonely)
    line = f"{len(found.equal)} of {both} tables equal the published ones in {published.path} bit for bit"
    if not (others := found.different + found.lonely):
        return line
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    return f"{line}; {', '.join(others[:3])}{more} differ; published on {cpus_published}, made here on {cpus}"


def _made(folder: StudyFolder) -> tuple[set[str], str]:
    """Runs of a study, and the CPUs on which they were made."""
    runs = pd.read_parquet(io.BytesIO(folder.read_bytes("tables/runs.parquet")), columns=["run_id", "cpu"])
    return set(runs["run_id"]), " and ".join(sorted(runs["cpu"].unique()))


def compare(first: StudyFolder, second: StudyFolder) -> Comparison:
    """Set two studies side by side.

    Raises:
        GipoError: they are one folder, one has no results, they have none in common, or a table is not as it was made.
    """
    if first.path.samefile(second.path):
        raise GipoError(f"{first.path} and {second.path} are one folder: give two studies")
    for folder in (first, second):
        if not (folder.path / "manifests").is_dir():
            raise GipoError(f"{folder.path} holds no results: give a scale that ran here, or such as reports/laptop")
    claims = _claims(first, second)
    measured = claims[["measured_first", "measured_second"]].notna().all(axis=1) & (claims["kind"] == MEASURED)
    if not measured.any():
        raise GipoError(
            f"{first.path} and {second.path} have nothing in common: no claim was measured on training runs of both; "
            "give studies of one benchmark with a regime and methods in common"
        )
    ours, theirs = _tables(first), _tables(second)
    equal = {name: _content(first, name) == _content(second, name) for name in sorted(ours & theirs)}
    return Comparison(
        first,
        second,
        equal=[name for name, same in equal.items() if same],
        different=[name for name, same in equal.items() if not same],
        lonely=sorted(ours ^ theirs),
        claims=claims,
    )


def _tables(folder: StudyFolder) -> set[str]:
    return {path.relative_to(folder.path).as_posix() for path in folder.path.rglob("*") if path.suffix in DATA}


def _content(folder: StudyFolder, name: str) -> bytes:
    content = folder.read_bytes(name)
    if not name.endswith("runs.parquet"):
        return content
    return pd.read_parquet(io.BytesIO(content)).drop(columns=list(PROVENANCE)).to_csv().encode()


def _claims(first: StudyFolder, second: StudyFolder) -> pd.DataFrame:
    columns = ("id", "kind", "claim", *FINDING)
    found = [folder.read_csv("scorecard.csv", columns) for folder in (first, second)]
    both = found[0].merge(found[1], "outer", on="id", suffixes=("_first", "_second"), sort=False)
    for name in ("claim", "kind"):
        both.insert(1, name, both.pop(f"{name}_first").fillna(both.pop(f"{name}_second")))
    changed = both["verdict_first"] != both["verdict_second"]
    apart = (both["low_first"] > both["high_second"]) | (both["low_second"] > both["high_first"])
    return both.assign(changed=changed, apart=apart)


def _finding(row: dict[Any, Any], side: str) -> str:
    measured, low, high, verdict = (row[f"{name}_{side}"] for name in ("measured", "low", "high", "verdict"))
    if not isinstance(verdict, str):
        return "no such claim"
    if math.isnan(measured):
        return verdict
    return f"{verdict} {numbers.words(measured, low, high)}"
