"""The report of a made-up LIBERO study says what was run, and what does not follow from it."""

from pathlib import Path

import pytest

from factories import write_libero_study
from gipo import figures
from gipo.analysis.claims import write_scorecard
from gipo.report import Part, assemble
from scales import write_scale

pytestmark = pytest.mark.slow  # builds every figure once


def report(root: Path, **study: object) -> str:
    runs = write_libero_study(root / "study", **study)  # type: ignore[arg-type]
    folder = write_scale(runs, root, sweeps=False)
    write_scorecard(folder, resamples=20)
    for name in figures.of_study("libero", ()):
        figures.build(name, folder, resamples=20)
    part = Part("some-libero", "A LIBERO study", "libero", folder, figures.of_study("libero", ()), [])
    assemble("A LIBERO study", [part], "snakemake {target}", folder)
    return " ".join((root / "report.html").read_text(encoding="utf-8").split())


def test_a_study_of_the_paper(tmp_path: Path):
    page = report(tmp_path, seeds=2)
    for words in (
        "tasks libero_10, libero_goal, libero_object, libero_spatial.",
        "A regime is a number of rollout actors",
        "8 H200 for about 2 days [P]",
        "PPO-Clip needs 7.5 times the env steps of GIPO",
        "A run here has 10 % of the paper's learner updates.",
        "From which checkpoints the paper started is not public",
        '<figure id="fig3">',
        '<figure id="success">',
    ):
        assert words in page
    absent = ("mean nothing about the paper", "Nothing here is about LIBERO", '<figure id="fig2">', "MetaWorld, libero")
    for words in absent:
        assert words not in page


def test_a_tiny_random_model_is_named_before_anything_else(tmp_path: Path):
    openvla = {"repository": "tiny-random", "revision": "seed-0"}
    page = report(tmp_path, tasks=["libero_spatial_0"], regimes=["stale"], seeds=1, openvla=openvla)
    warning = page.index("These numbers mean nothing about the paper:</strong> the policy is a tiny random model")
    assert warning < page.index("training runs</dt>")
