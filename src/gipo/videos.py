"""Videos of final policies: for each task, regime and method the run of the median seed, one evaluation episode each.

A video is an animated WebP, which every browser plays without a script and pillow writes. The pixels depend on the
machine's OpenGL, so videos are compared with those of no other machine.
"""

from __future__ import annotations

import importlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from PIL import Image

from gipo.analysis.collect import Tables
from gipo.engines.suites import make_suite
from gipo.errors import GipoError, lacks_memory, shortened
from gipo.runs.finished import FinishedRun
from gipo.runs.spec import RunSpec
from gipo.stages import VIDEO_INDEX, VIDEOS, StudyFolder

WIDTH, HEIGHT = 240, 180  # pixels
MOST_FRAMES = 60
"""Frames of a video; of longer episodes steps are left out evenly."""
FRAME_MS = 100
"""Milliseconds that a frame stays: 500 steps take as long as in the simulator, shorter episodes longer."""
MOST_BYTES = 300_000
"""Of a video."""
QUALITIES = (70, 50, 30, 10)
"""Of WebP, the first that fits."""

Frames = list[npt.NDArray[np.uint8]]


class Episode(NamedTuple):
    """Return and success of an episode."""

    total: float
    """Return."""
    success: bool
    """At any step."""


def film(results: Path, study: StudyFolder, tell: Callable[[str], None]) -> None:
    """Write the videos of a study's main grid as its stage ``videos``.

    Args:
        results: folder with ``runs``.
        study: has the tables of those runs.
        tell: takes a line for each video, or why there is none.

    Raises:
        GipoError: a table or a run is missing or damaged, or an episode broke off.
    """
    torch.set_num_threads(1)
    chosen = median_runs(Tables.read(study).evaluations)
    some = FinishedRun.read(results / "runs" / chosen["run_id"].iloc[0])
    try:
        check_drawing(some.spec)
    except Exception as error:  # of many kinds, whatever an OpenGL that is not there raises
        if lacks_memory(error):
            raise
        note = f"nothing draws on the machine that made this: {shortened(str(error) or type(error).__name__)}"
        tell(f"no videos: {note}")
        _write(study, {}, {"note": note, "films": []})
        return
    films, files = [], {}
    for row in chosen.to_dict("records"):
        run = FinishedRun.read(results / "runs" / row["run_id"])
        frames, episode = play(run.spec, run.read_bytes(run.directory.policy.name))
        name = f"{VIDEOS}/{row['run_id'].replace('/', '--')}.webp"
        files[name] = webp(frames)
        films.append({**row, "file": name, "return": episode.total, "success": episode.success})
        tell(f"{name}: {len(files[name]) / 1000:.0f} kB")
    _write(study, files, {"note": "", "films": films})


def median_runs(evaluations: pd.DataFrame) -> pd.DataFrame:
    """For each task, regime and method the run of the median seed by its mean return at the last evaluation.

    Of an even number of seeds the lower one of the two in the middle.

    Args:
        evaluations: of `gipo.analysis.collect.Tables`.

    Returns:
        A row each: task, regime, method, seed, run_id and ``seeds``, of how many it is the median.
    """
    last = evaluations[evaluations["update"] == evaluations.groupby("run_id")["update"].transform("max")]
    cell = ["task", "regime", "method"]
    final = last.groupby([*cell, "seed", "run_id"])["return"].mean().reset_index()
    rows = []
    for _, seeds in final.sort_values([*cell, "return", "seed"]).groupby(cell, sort=False):
        rows.append(seeds.iloc[(len(seeds) - 1) // 2].drop("return").to_dict() | {"seeds": len(seeds)})
    return pd.DataFrame(rows)


def check_drawing(spec: RunSpec) -> None:
    """Draw a frame of a run's task.

    Raises:
        Exception: it cannot be drawn here.
    """
    camera = _camera(spec.suite)(make_suite(spec, Path()).make_environment(), WIDTH, HEIGHT)
    camera.close()


def play(spec: RunSpec, weights: bytes) -> tuple[Frames, Episode]:
    """Play a run's first evaluation episode by the most probable tokens, and look.

    Args:
        spec: the run.
        weights: content of its policy.pt.

    Returns:
        At most `MOST_FRAMES` frames [height, width, 3] and one more, from the first to the last step; and the episode.
    """
    suite = make_suite(spec, Path())
    actor = suite.make_actor(torch.device("cpu"))
    actor.load(torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True))
    environment: Any = suite.make_environment()
    first, _ = environment.reset(seed=suite.start_of(0)["seed"])
    observation = np.asarray(first, dtype=np.float32)
    camera = _camera(spec.suite)(environment, WIDTH, HEIGHT)
    every = -(-spec.environment.episode_steps // MOST_FRAMES)
    frames, total, steps, ended, info = [camera.frame()], 0.0, 0, False, {}
    while not ended:
        following, reward, terminated, truncated, info = environment.step(actor.best(observation[None])[0])
        observation = np.asarray(following, dtype=np.float32)
        total, steps, ended = total + reward, steps + 1, terminated or truncated
        if ended or steps % every == 0:
            frames.append(camera.frame())
    camera.close()
    return frames, Episode(float(total), bool(info["success_any"]))


def webp(frames: Frames) -> bytes:
    """An animated WebP that starts again when it is over, of at most `MOST_BYTES`.

    Raises:
        GipoError: at no quality are these frames so small.
    """
    first, *others = map(Image.fromarray, frames)
    for quality in QUALITIES:
        file = io.BytesIO()
        first.save(file, "WEBP", save_all=True, append_images=others, duration=FRAME_MS, loop=0, quality=quality)
        if file.tell() <= MOST_BYTES:
            return file.getvalue()
    raise GipoError(f"a video of {len(frames)} frames has {file.tell():,} bytes at the lowest quality")


def _camera(suite: str) -> Any:
    """Class that looks at a suite's environments."""
    return importlib.import_module(f"gipo.envs.{suite}_camera").Camera


def _write(study: StudyFolder, files: dict[str, bytes], index: dict[str, Any]) -> None:
    """Write the stage, and remove the videos of other runs."""
    for path in (study.path / VIDEOS).glob("*.webp"):
        if f"{VIDEOS}/{path.name}" not in files:
            path.unlink()
    content = (json.dumps(index, indent=1) + "\n").encode()
    study.write_stage(VIDEOS, files | {VIDEO_INDEX: content}, study.inputs_from([study]))
