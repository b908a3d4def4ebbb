"""Scorecards of several studies as one: each claim from the first study that could test it."""

from pathlib import Path

import pandas as pd
import pytest

from gipo.analysis.claims import load, read_scorecard
from gipo.analysis.joined import join, write_joined
from gipo.analysis.verdicts import CANNOT_TELL, NOT_RUN, REPRODUCED
from gipo.errors import GipoError
from gipo.stages import StudyFolder, csv_bytes

CLAIMS = load()
SUITES = {"first": "metaworld", "second": "metaworld", "libero": "libero"}
STALE = "stale-gipo-over-ppo"
STEPS = "libero-steps"


def card(note: str, **verdicts: str) -> pd.DataFrame:
    """A scorecard with one note and these verdicts; the others are not run."""
    table = pd.DataFrame([claim.row() | {"note": note, "verdict": NOT_RUN} for claim in CLAIMS]).astype({"n": "Int64"})
    for name, verdict in verdicts.items():
        table.loc[table["id"] == name.replace("_", "-"), "verdict"] = verdict
    return table


def joined(**scorecards: pd.DataFrame | None) -> pd.DataFrame:
    return join(scorecards, SUITES, CLAIMS).set_index("id")


def test_the_first_study_with_a_verdict_judges_a_claim():
    rows = joined(first=card("a"), second=card("b", stale_gipo_over_ppo=REPRODUCED), libero=card("c"))
    assert list(rows.index) == [claim.id for claim in CLAIMS]
    assert tuple(rows.loc[STALE, ["verdict", "note"]]) == (REPRODUCED, "b")
    both = [card(note, stale_gipo_over_ppo=REPRODUCED) for note in "ab"]
    assert joined(first=both[0], second=both[1]).loc[STALE, "note"] == "a"


def test_a_study_that_cannot_tell_gives_way_to_one_that_can_and_not_to_one_without_runs():
    short, told = (card(verdict, stale_gipo_over_ppo=verdict) for verdict in (CANNOT_TELL, REPRODUCED))
    assert joined(first=short, second=told).loc[STALE, "note"] == REPRODUCED
    assert joined(first=card("none"), second=short).loc[STALE, "note"] == CANNOT_TELL
    assert joined(first=short, libero=None).loc[STALE, "note"] == CANNOT_TELL


def test_a_claim_that_none_has_runs_for_has_the_reason_of_a_study_of_its_suite():
    rows = joined(first=card("needs more"), libero=card("no model"))
    assert rows.loc[STALE, "note"] == "needs more"
    assert rows.loc[STEPS, "note"] == "no model"


def test_a_claim_of_a_study_that_has_not_run_says_so():
    rows = joined(first=card("a", stale_gipo_over_ppo=REPRODUCED), libero=None)
    assert tuple(rows.loc[STEPS, ["verdict", "note"]]) == (NOT_RUN, "Not run yet: scale libero.")
    assert rows.loc[STALE, "note"] == "a"
    assert joined(first=None, libero=card("c")).loc[STALE, "note"] == "Not run yet: scale first."


def test_without_any_study_there_is_no_scorecard():
    with pytest.raises(GipoError, match="nothing is finished yet of first, libero"):
        joined(first=None, libero=None)


def test_a_scorecard_that_lacks_a_claim_is_named():
    with pytest.raises(GipoError, match=f"the scorecard of first lacks claim '{CLAIMS[-1].id}'"):
        joined(first=card("a").iloc[:-1])


def test_the_file_holds_what_was_joined(tmp_path: Path):
    folders = {name: StudyFolder(tmp_path / name) for name in ("first", "libero")}
    for name, folder in folders.items():
        folder.write_stage("scorecard", {"scorecard.csv": csv_bytes(card(name), 8)})
    whole = StudyFolder(tmp_path / "whole")
    write_joined(folders, SUITES, whole)
    rows = read_scorecard(whole).set_index("id")
    assert (rows.loc[STALE, "note"], rows.loc[STEPS, "note"]) == ("first", "libero")
    made_from = whole.manifest_of("scorecard").inputs
    assert made_from == {
        f"{name}/scorecard": folder.manifest_of("scorecard").digest() for name, folder in folders.items()
    }
