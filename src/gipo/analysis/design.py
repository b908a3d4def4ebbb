"""The suite of a table of runs, and whether anything about the paper follows from them."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from gipo.runs.spec import TINY


def suite(runs: pd.DataFrame) -> str:
    """The benchmark of a study's runs; one that names none is older than the choice."""
    return str(_first_spec(runs).get("suite", "metaworld"))


def no_evidence(runs: pd.DataFrame) -> str:
    """Why nothing about the paper follows from these runs, whatever they measured; empty if something does."""
    spec = _first_spec(runs)
    if (spec.get("openvla") or {}).get("repository") == TINY:
        return "the policy is a tiny random model, no vision-language-action model"
    if spec.get("states"):
        return "the policy sees states and not frames, and its reward is shaped"
    return ""


def _first_spec(runs: pd.DataFrame) -> dict[str, Any]:
    return dict(json.loads(runs["spec"].iloc[0])) if len(runs) else {}
