"""Numbers of a batch, and of each objective on it: those of `gipo.diagnostics`."""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from gipo import diagnostics, objectives
from gipo.analysis.methods import identify
from gipo.errors import GipoError
from gipo.gridworld.field import FIELD
from gipo.objectives import Objective, Samples

QUANTILES = {"multiplier_q05": 0.05, "multiplier_q50": 0.5, "multiplier_q95": 0.95}


def usual_old_gap(samples: Samples) -> float | None:
    """Half of the largest gap, 1 at least; None where gaps are not known."""
    return None if samples.gap is None else max(1.0, samples.gap.max().item() / 2)


def of_batch(samples: Samples, old_gap: float | None) -> dict[str, float]:
    """How stale a batch is.

    Args:
        samples: with a mask.
        old_gap: K, the gap in updates from which a sample is old; None where gaps are not known.

    Returns:
        Number of ``samples`` that count, ``zero_advantage``, the share whose advantage is 0, and the results of
        `diagnostics.ratio_tails` and `diagnostics.staleness`; of the latter nothing without gaps.
    """
    kept = _counting(samples)
    found = {"zero_advantage": (kept["advantage"] == 0).double().mean(), **diagnostics.ratio_tails(kept["log_ratio"])}
    numbers: dict[str, float] = {"samples": len(kept["advantage"])}
    if old_gap is not None:
        numbers["old_gap"] = old_gap
        found |= diagnostics.staleness(kept["gap"], old_gap)
    return numbers | {name: number.item() for name, number in found.items()}


def of_objectives(samples: Samples, old_gap: float | None) -> pd.DataFrame:
    """A row for each objective of `FIELD`, at its setting there.

    Args:
        samples: with a mask.
        old_gap: as for `of_batch`.

    Returns:
        Columns ``method`` (its id), ``objective``, ``parameters`` (JSON), ``left_out``, which says why an objective has
        no numbers, and those of `of_objective`.
    """
    rows = []
    for name, parameters in FIELD:
        row: dict[str, Any] = {"method": identify(name, parameters), "objective": name}
        row |= {"parameters": json.dumps(parameters, sort_keys=True), "left_out": ""}
        try:
            row |= of_objective(objectives.make(name, **parameters), samples, old_gap)
        except GipoError as error:
            row["left_out"] = str(error).partition(":")[0]
        rows.append(row)
    return pd.DataFrame(rows)


def of_objective(objective: Objective, samples: Samples, old_gap: float | None) -> dict[str, float]:
    """Multipliers of one objective, and how much of the batch still counts under it.

    Returns:
        Mean and quantiles of the multiplier; ``ess_eff``, the effective share of all samples, and ``zero_gradient``,
        the share with ``m A = 0``; those of `diagnostics.utilisation` by the paper's definitions. NaN where they are
        over old samples and there is none, or gaps are not known.

    Raises:
        GipoError: the objective needs what the batch does not have.
    """
    kept = _counting(samples)
    log_ratio, advantage = kept["log_ratio"], kept["advantage"]
    multiplier = objective.multiplier(**vars(samples))[_mask(samples)]

    def used(multiplier: Tensor, gap: Tensor, old_gap: float) -> dict[str, Tensor]:
        return diagnostics.utilisation(multiplier, log_ratio, advantage, gap, old_gap)

    now = torch.zeros(())
    by_age = used(multiplier, kept.get("gap", now), math.inf if old_gap is None else old_gap)
    found = {
        "multiplier_mean": multiplier.mean(),
        **dict(zip(QUANTILES, diagnostics.quantiles(multiplier.float(), tuple(QUANTILES.values())), strict=True)),
        "ess_eff": used(multiplier, now, 0)["ess_eff_old"],  # as if all were old
        "zero_gradient": used(multiplier * advantage, now, 0)["dead"],
        **{name: number for name, number in by_age.items() if not name.endswith("_code")},
    }
    return {name: number.item() for name, number in found.items()}


def _counting(samples: Samples) -> dict[str, Tensor]:
    """All that is known of the samples that count, each [N]."""
    known = {name: tensor for name, tensor in vars(samples).items() if tensor is not None}
    return {name: samples.for_all(tensor)[_mask(samples)] for name, tensor in known.items()}


def _mask(samples: Samples) -> Tensor:
    assert samples.mask is not None
    return samples.mask != 0
