"""Videos of final policies: of which run, how large, what is played, and what is left where nothing draws."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from drawing_needs import skip_without_drawing
from factories import write_baseline
from gipo import videos
from gipo.analysis.collect import collect
from gipo.engines import lockstep
from gipo.errors import GipoError
from gipo.runs.finished import FinishedRun
from gipo.stages import VIDEO_INDEX, VIDEOS, StudyFolder
from gipo.study import Study
from small_study import STUDY

skip_without_drawing()

SEEDS = (5, 6, 7)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three finished runs that differ in their seed, and their tables."""
    results = tmp_path_factory.mktemp("results")
    study = Study.model_validate(STUDY | {"seeds": list(SEEDS)})
    runs = [study.run("door-open-v3", "stale", "gipo-1-1", seed) for seed in SEEDS]
    for run in runs:
        lockstep.train(run, results / "runs" / run.run_id, tell=lambda line: None)
    baseline = write_baseline(results / "baselines", "door-open-v3")
    collect([results / "runs" / run.run_id for run in runs], [baseline], StudyFolder(results / "small"))
    return results


def evaluations(returns: dict[int, list[float]]) -> pd.DataFrame:
    """Of one method, by seed, two episodes at update 0 and two at update 9."""
    rows = [
        {"seed": seed, "run_id": f"run{seed}", "update": update, "return": value - update}
        for seed, values in returns.items()
        for update in (0, 9)
        for value in values
    ]
    return pd.DataFrame(rows).assign(task="door-open-v3", regime="stale", method="gipo-1-1")


@pytest.mark.parametrize(
    ("returns", "seed"),
    [
        ({0: [1, 9], 1: [2, 2], 2: [30, 0]}, 0),  # means 5, 2, 15
        ({0: [1, 1], 1: [4, 4], 2: [3, 3], 3: [2, 2]}, 3),  # the lower one of 2 and 3
        ({4: [1, 1]}, 4),
        ({3: [1, 1], 1: [1, 1], 2: [1, 1]}, 2),
    ],
)
def test_the_run_is_that_of_the_median_seed_at_the_last_evaluation(returns: dict[int, list[float]], seed: int):
    table = evaluations(returns)
    table.loc[(table["update"] == 0) & (table["seed"] == 1), "return"] = 1e6  # what was before does not count
    [row] = videos.median_runs(table).to_dict("records")
    assert (row["seed"], row["run_id"], row["seeds"]) == (seed, f"run{seed}", len(returns))


def test_each_task_regime_and_method_has_a_run():
    one = evaluations({0: [1, 1], 1: [2, 2], 2: [3, 3]})
    other = one.assign(method="sapo", run_id="sapo-" + one["run_id"])
    chosen = videos.median_runs(pd.concat([one, other, one.assign(task="push-v3", run_id="push-" + one["run_id"])]))
    assert set(chosen["run_id"]) == {"run1", "sapo-run1", "push-run1"}


@pytest.mark.slow
def test_the_video_is_of_the_runs_own_episode(results: Path):
    study, lines = StudyFolder(results / "small"), []
    videos.film(results, study, lines.append)
    index = json.loads(study.read_bytes(VIDEO_INDEX))
    assert index["note"] == ""
    [film] = index["films"]
    content = study.read_bytes(film["file"])
    assert lines == [f"{film['file']}: {len(content) / 1000:.0f} kB"]
    assert len(content) < videos.MOST_BYTES
    own = FinishedRun.read(results / "runs" / film["run_id"]).evaluation()
    own = own[(own["update"] == own["update"].max()) & (own["episode"] == 0)]
    assert film["return"] == pytest.approx(own["return"].item(), rel=1e-6)
    assert film["success"] == own["success_any"].item()
    with Image.open(io.BytesIO(content)) as video:
        assert (video.format, video.size) == ("WEBP", (videos.WIDTH, videos.HEIGHT))
        assert 2 < video.n_frames <= STUDY["environment"]["episode_steps"] + 1  # equal ones are joined
        assert video.info["loop"] == 0
        first = np.array(video.convert("RGB"), dtype=int)
        video.seek(video.n_frames - 1)
        assert np.abs(np.array(video.convert("RGB")) - first).max() > 50
    assert study.manifest_of(VIDEOS).inputs == {"tables": study.manifest_of("tables").digest()}
    left = study.path / VIDEOS / "of-another-run.webp"
    left.write_bytes(b"")
    videos.film(results, StudyFolder(results / "small"), lines.append)
    assert StudyFolder(results / "small").read_bytes(film["file"]) == content
    assert not left.exists()


@pytest.mark.slow
def test_where_nothing_draws_a_line_says_why_and_the_file_too(results: Path):
    arguments = [sys.executable, "-m", "gipo", "videos", str(results), str(results / "small")]
    done = subprocess.run(arguments, env=os.environ | {"MUJOCO_GL": "glfw"}, capture_output=True, text=True, check=True)
    note = "nothing draws on the machine that made this: MUJOCO_GL is 'glfw', expected one of egl, osmesa, or nothing"
    assert done.stderr.splitlines()[-1] == f"no videos: {note}"
    study = StudyFolder(results / "small")
    assert json.loads(study.read_bytes(VIDEO_INDEX)) == {"note": note, "films": []}
    assert not list((study.path / VIDEOS).glob("*.webp"))


def test_a_video_gets_as_small_as_it_has_to_be_or_says_so():
    rng = np.random.default_rng(0)
    shape = (videos.HEIGHT, videos.WIDTH, 3)
    still = [np.full(shape, 200, np.uint8)] * 61
    assert len(videos.webp(still)) < 5_000
    noise = [rng.integers(256, size=shape, dtype=np.uint8) for _ in range(40)]
    few = noise[:8]
    assert len(videos.webp(few)) <= videos.MOST_BYTES
    with pytest.raises(GipoError, match=r"^a video of 40 frames has [\d,]+ bytes at the lowest quality$"):
        videos.webp(noise)
