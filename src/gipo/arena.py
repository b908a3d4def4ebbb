"""The arena's small version: one more objective, run as the arena's own were and placed among them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from gipo import figures, objectives
from gipo.analysis.collect import Tables
from gipo.config import read_yaml
from gipo.errors import GipoError
from gipo.figures import arena
from gipo.files import atomic_path
from gipo.runs.provenance import CHECKOUT
from gipo.scale import CONFIGS, config
from gipo.stages import StudyFolder
from gipo.study import Study

ARENA = "arena"
"""The scale, and its sweep."""
SEEDS = 2
"""How many of the arena's seeds the small version has."""


def add(objective: str, resamples: int) -> tuple[pd.DataFrame, Path]:
    """Train an objective in the arena's regimes with its first seeds, as scale ``arena-<name>``, and place it there.

    Runs that are finished are not made again. The arena is that of ``results/arena`` or else of ``reports/arena``.

    Args:
        objective: a registered name, or ``module:name``.
        resamples: bootstrap resamples.

    Returns:
        The rows of `gipo.figures.arena.table` for all objectives, and the folder in which they lie as a figure.

    Raises:
        GipoError: there is no such objective, it is one of the arena's, there is no arena to place it in, that one has
            other settings, or a run failed.
    """
    objectives.make(objective)
    published = _arena()
    scale = _write_scale(objective)
    _check_settings(Study.load(config(scale)).sweep(ARENA), published.runs)
    done = subprocess.run([sys.executable, "-m", "snakemake", ARENA, "--config", f"scale={scale}"], check=False)
    if done.returncode:
        raise GipoError(f"scale {scale} did not end, see above; the same command goes on where it stopped")
    own = Tables.read(StudyFolder(Path("results", scale)), f"sweeps/{ARENA}")
    both = {f.name: pd.concat([getattr(published, f.name), getattr(own, f.name)]) for f in fields(Tables)}
    table = arena.summary(Tables(**both), resamples)
    folder = Path("results", f"{scale}-placed")
    figures.write(ARENA, table, folder)
    return table, folder


def _arena() -> Tables:
    for folder in (Path("results", ARENA), CHECKOUT / "reports" / ARENA):
        study = StudyFolder(folder)
        if study.has_sweep(ARENA):
            return Tables.read(study, f"sweeps/{ARENA}")
    raise GipoError("there is no arena yet, neither in results nor in reports: run `make reproduce SCALE=arena` first")


def _write_scale(objective: str) -> str:
    """Write the scale of an objective, the arena's with fewer seeds, and say its name."""
    label = objective.rpartition(":")[2].replace("_", "-")
    content = read_yaml(config(ARENA))
    sweep = content["sweeps"][ARENA]
    if label in sweep["methods"]:
        raise GipoError(f"{label!r} is one of the arena's own objectives: register yours under another name")
    own: dict[str, Any] = {label: {"name": objective}}
    content |= {
        "title": f"{label} in the arena, {SEEDS} seeds",
        "methods": own,
        "seeds": content["seeds"][:SEEDS],
        "sweeps": {ARENA: sweep | {"methods": own}},
    }
    name = f"{ARENA}-{label}"
    with atomic_path(CONFIGS / f"{name}.yaml") as path:
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return name


def _check_settings(study: Study, published: pd.DataFrame) -> None:
    """See to it that runs can be compared with the published ones.

    Raises:
        GipoError: a regime is not among the published ones, or has other settings there.
    """
    here = _settings(run.model_dump(mode="json") for run in study.runs())
    there = _settings(map(json.loads, published["spec"]))
    for regime in sorted(here.keys() | there.keys()):
        if here.get(regime) != there.get(regime):
            raise GipoError(
                f"regime {regime!r} of this arena has other settings than that of the published one: "
                "its runs cannot be placed there"
            )


def _settings(specs: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of each regime, all that a run depends on but its objective and seed."""
    return {
        spec["regime"]: {key: spec[key] for key in spec if key not in {"method", "objective", "seed"}} for spec in specs
    }
