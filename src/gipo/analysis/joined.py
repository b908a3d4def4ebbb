"""One scorecard of several studies: each claim as the first study judges it that can, or that has runs for it."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from gipo.analysis.claims import COLUMNS, FILE, Claim, load, read_scorecard
from gipo.analysis.verdicts import JUDGED, NOT_RUN
from gipo.errors import GipoError
from gipo.stages import StudyFolder, csv_bytes


def join(scorecards: Mapping[str, pd.DataFrame | None], suites: Mapping[str, str], claims: list[Claim]) -> pd.DataFrame:
    """One row per claim, as in the scorecard of a single study.

    Args:
        scorecards: of each study by its name, in order of precedence; None where it has not run yet.
        suites: suite of each study.
        claims: all claims.

    Returns:
        Columns `COLUMNS`. A claim that no study has runs for has the note of the first study of its suite, or says
        that one has not run yet.

    Raises:
        GipoError: no study has run yet, or a scorecard lacks a claim.
    """
    finished = {name: card.set_index("id", drop=False) for name, card in scorecards.items() if card is not None}
    if not finished:
        raise GipoError(f"nothing is finished yet of {', '.join(scorecards)}")
    missing = [name for name in scorecards if name not in finished]
    rows = []
    for claim in claims:
        if lacking := [name for name, card in finished.items() if claim.id not in card.index]:
            raise GipoError(f"the scorecard of {lacking[0]} lacks claim {claim.id!r}; it is older than claims.yaml")
        own = [name for name in finished if suites[name] == claim.measure.suite]
        candidates = [finished[name].loc[claim.id] for name in dict.fromkeys([*own, *finished])]
        row = min(candidates, key=lambda row: 0 if row["verdict"] in JUDGED else 1 + (row["verdict"] == NOT_RUN)).copy()
        waiting = [name for name in missing if suites[name] == claim.measure.suite]
        if row["verdict"] == NOT_RUN and waiting:
            row["note"] = f"Not run yet: scale {waiting[0]}."
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS)).reset_index(drop=True).astype({"n": "Int64"})


def write_joined(folders: Mapping[str, StudyFolder], suites: Mapping[str, str], out: StudyFolder) -> None:
    """Write the scorecard of several studies, all of which have run, into a folder of its own.

    Raises:
        GipoError: a scorecard is missing or damaged.
    """
    table = join({name: read_scorecard(folder) for name, folder in folders.items()}, suites, load())
    out.write_stage("scorecard", {FILE: csv_bytes(table, 8)}, out.inputs_from(folders.values()))
