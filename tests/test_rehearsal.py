"""What a rehearsal keeps of a scale, and that it cannot be mixed up with it."""

from pathlib import Path

import pytest

import asynchronous_study
from checkout import ROOT
from gipo import rehearsal
from gipo.cluster import requests
from gipo.scale import Scale
from gipo.study import Study

SCALES = sorted((ROOT / "workflow" / "config").glob("*.yaml"))


@pytest.mark.parametrize("path", SCALES, ids=[path.stem for path in SCALES])
def test_it_has_the_runs_of_the_scale_with_next_to_no_work(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    scales = rehearsal.begin(path.stem, path.parent, write=True)
    assert Path.cwd() == tmp_path / "rehearsal"
    real, short = Scale.load(path), Scale.load(scales / path.name)
    assert short.figures() == real.figures()
    for part in real.parts:
        labels = [
            [(run.task, run.regime, run.method, run.seed) for run in scale.parts[part].all_runs()]
            for scale in (real, short)
        ]
        assert labels[0] == labels[1]
    assert not set(real.runs) & set(short.runs)
    for run in short.runs.values():
        assert requests.minutes(run, threads=3) < requests.START_MINUTES + 10
    assert {run.openvla for run in short.runs.values()} == {run.openvla for run in real.runs.values()}
    assert not any(study.verdicts for study in short.parts.values())


def test_models_images_and_assets_are_those_of_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results" / "images").mkdir(parents=True)
    (tmp_path / "results" / "images" / "base.sif").touch()
    for _ in range(2):
        monkeypatch.chdir(tmp_path)
        rehearsal.begin("smoke", ROOT / "workflow" / "config", write=True)
    assert Path("results/images/base.sif").exists()
    assert not Path("results/runs").exists()


def test_branches_of_an_asynchronous_study_fit_into_its_short_segments():
    content = asynchronous_study.STUDY | {"environment": {"bins": 8, "episode_steps": 30}}
    content |= {
        "regimes": {"five": {"lifetime": 0.874, "imagined": 5}},
        "imagination": {"length": 3, "warmup_steps": 192},
    }
    study = rehearsal.short(Study.model_validate(content))
    assert study.runs()[0].replay.segment_length == 7
