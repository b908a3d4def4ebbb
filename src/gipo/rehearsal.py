"""A rehearsal: the jobs of a scale, with runs of seconds and in a folder of its own, before days are spent on it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from gipo.config import read_yaml
from gipo.files import atomic_path
from gipo.runs.spec import LEAST_SEGMENTS
from gipo.scale import Scale, config
from gipo.study import Study

FOLDER = "rehearsal"
"""Beside ``results``. Nothing that is made there can be taken for a result, nor the other way round."""
SHARED = ("images", "pretrained", "assets")
"""Folders of ``results`` that the rehearsal uses too."""
UPDATES = 20
"""Learner updates of a run that collects in the learner's process."""
BIG_UPDATES = 3
"""Learner updates of a run of the asynchronous engine."""


def begin(scale: str, configs: Path, write: bool) -> Path:
    """Go to the rehearsal's folder, and say where its scales lie.

    Args:
        scale: name of the scale.
        configs: where the real scales lie.
        write: whether to make what is needed there; jobs find it.

    Raises:
        GipoError: the scale is unknown or wrong.
    """
    results, folder = Path("results").resolve(), Path(FOLDER).resolve()
    scales = folder / "scales"
    if write:
        scales.mkdir(parents=True, exist_ok=True)
        (folder / "results").mkdir(exist_ok=True)
        for name in SHARED:
            (results / name).mkdir(parents=True, exist_ok=True)
            if not (link := folder / "results" / name).is_symlink():
                link.symlink_to(results / name)
        path = config(scale, configs)
        whole = Scale.load(path)
        if whole.is_composed:
            _write(scales / f"{scale}.yaml", read_yaml(path) | {"title": _title(whole.title)})
        for name, study in whole.parts.items():
            _write(scales / f"{name}.yaml", short(study).model_dump(mode="json"))
    os.chdir(folder)
    return scales


def short(study: Study) -> Study:
    """The same tasks, regimes, methods, seeds and networks, with as little work as there can be."""
    content = study.model_dump(mode="json")
    asynchronous = study.asynchronous is not None
    updates = BIG_UPDATES if asynchronous else UPDATES
    least = max(4, 2 * study.imagination.length + 1) if study.imagination else 4
    segment = min(least, study.replay.segment_length) if asynchronous else study.replay.segment_length
    round_steps = segment * study.replay.environments
    batch = min(study.learner.batch_size, round_steps)
    rounds = -(-LEAST_SEGMENTS // study.replay.environments) if study.imagination else 1
    size = rounds * round_steps
    content["title"] = _title(study.title)
    content["verdicts"] = False
    content["replay"] |= {"capacity": size, "segment_length": segment, "warmup_steps": size}
    if study.imagination:
        content["imagination"] |= {"warmup_steps": size, "fit_steps": 1, "branches": 1}
    content["learner"] |= {"updates": updates, "batch_size": batch, "warmup_updates": 1, "policy_start": 0}
    content["evaluation"] |= {"every": updates, "episodes": 1}
    content["diagnostics"] |= {"every": 1}
    content["baselines"] |= {"episodes": 1}
    content["gridworld"] |= {"pairs": 20}
    content["statistics"] |= {"resamples": 20}
    changes = [content["learner"], *(sweep["learner"] for sweep in content["sweeps"].values())]
    changes += [method["learner"] for grid in (content, *content["sweeps"].values()) for method in _methods(grid)]
    for learner in changes:
        if learner.get("refresh_every"):
            learner["refresh_every"] = updates // 2
    return Study.model_validate(content)


def _methods(grid: dict[str, Any]) -> list[dict[str, Any]]:
    return list((grid["methods"] or {}).values())


def _title(title: str) -> str:
    return f"Rehearsal, whose numbers mean nothing: {title}"


def _write(path: Path, content: object) -> None:
    with atomic_path(path) as new:
        new.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
