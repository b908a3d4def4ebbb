"""Trust weights of the objectives against the importance ratio: the numbers behind figure 1."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import torch

from gipo.objectives.base import Objective
from gipo.objectives.gipo import GIPO
from gipo.objectives.no_clip import NoClip
from gipo.objectives.ppo_clip import PPOClip
from gipo.objectives.sapo import SAPO
from gipo.stages import StudyFolder, csv_bytes

METHODS: dict[str, Objective] = {
    "no-clip": NoClip(),
    "ppo-clip": PPOClip(),
    "sapo": SAPO(),
    "gipo-0.5-0.5": GIPO(0.5, 0.5),
    "gipo-1-1": GIPO(1.0, 1.0),
    "gipo-1-0.5": GIPO(1.0, 0.5),
    "gipo-2-2": GIPO(2.0, 2.0),
}
"""Method id to objective: the rivals with their defaults, GIPO with a selection of the study's sigmas."""

LOG_RHO = np.linspace(-4, 4, 161)
"""Log-ratios of the table: contains log rho = sigma^2, where each GIPO multiplier is largest."""


def write(study: StudyFolder) -> None:
    """Write weights.csv, with its manifest."""
    study.write_stage("weights", {"weights.csv": csv_bytes(trust_weights(), 10)})


def trust_weights() -> pd.DataFrame:
    """Multiplier ``m`` and trust weight ``m / rho`` of every method, for either sign of the advantage (float64).

    Returns:
        One row per method, sign and ratio: method, parameters (JSON), log_rho, rho, advantage_sign, multiplier, weight.
    """
    return pd.concat([_rows(method, sign) for method in METHODS for sign in (1, -1)], ignore_index=True)


def _rows(method: str, sign: int) -> pd.DataFrame:
    log_ratio = torch.from_numpy(LOG_RHO)
    multiplier = METHODS[method].multiplier(log_ratio, torch.full_like(log_ratio, sign)).numpy()
    return pd.DataFrame(
        {
            "method": method,
            "parameters": json.dumps(dataclasses.asdict(METHODS[method]), sort_keys=True),  # type: ignore[call-overload]
            "log_rho": LOG_RHO,
            "rho": np.exp(LOG_RHO),
            "advantage_sign": sign,
            "multiplier": multiplier,
            "weight": multiplier / np.exp(LOG_RHO),
        }
    )
