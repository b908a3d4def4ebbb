"""Every figure builds from any study, to the same bytes, and touches only its own files."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from gipo import figures
from gipo.errors import GipoError
from gipo.figures import style
from gipo.stages import StudyFolder
from pictures import overhang
from scales import put

NAMES = ("fig1", "fig2", "table1", "fig5", "fig6", "fig7", "fig8", "iqm")
ALL = (*NAMES, *figures.SWEEPS)
GRIDS = {
    "one run each": {"tasks": ["door-open-v3"], "methods": ["ppo-clip", "gipo-1-1"], "seeds": 1},
    "no gipo, one regime": {"tasks": ["door-open-v3"], "methods": ["ppo-clip", "sapo"], "regimes": ["stale"]},
    "user-added method": {"methods": ["sapo", "a_method_with_a_rather_long_name", "gipo-1-0.5"], "seeds": 2},
    "not run when fresh": {"methods": ["sapo", "gipo-1-1", "gipo-2-2"], "seeds": 2, "drop": "fresh/sapo"},
    "five tasks": {"tasks": [f"task-{i}-v3" for i in range(5)], "methods": ["sapo", "gipo-1-1"], "seeds": 2},
}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["fig1", "iqm"])  # all of them in another process, below
def test_a_second_build_gives_the_same_bytes(name: str, results: StudyFolder, tmp_path: Path):
    figures.build(name, results, tmp_path / "a", resamples=20)
    figures.build(name, results, tmp_path / "b", resamples=20)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert set(contents(tmp_path / "a")) == {f"{name}.csv", f"{name}.svg", f"{name}.png"}


@pytest.mark.slow
def test_another_process_gives_the_same_bytes(results: StudyFolder, tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from gipo import figures; from gipo.stages import StudyFolder;"
        "[figures.build(n, StudyFolder(Path(sys.argv[1])), Path(sys.argv[2]), resamples=20) for n in sys.argv[3:]]"
    )
    subprocess.run([sys.executable, "-c", code, results.path, tmp_path / "a", *reversed(ALL)], check=True)
    for name in ALL:
        figures.build(name, results, tmp_path / "b", resamples=20)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_rebuilt_figure_touches_only_its_own_files(results: StudyFolder, tmp_path: Path):
    for other in ("fig2.svg", "fig1.txt", "fig11.csv"):
        (tmp_path / other).write_text("mine")
    figures.build("fig1", results, tmp_path)
    assert {path.name for path in tmp_path.iterdir() if path.read_bytes() != b"mine"} == {
        "fig1.csv",
        "fig1.svg",
        "fig1.png",
    }


def test_the_png_has_200_dots_per_inch(results: StudyFolder, tmp_path: Path):
    figures.build("fig1", results, tmp_path)
    with Image.open(tmp_path / "fig1.png") as image:
        assert image.width == style.WIDTH * 200


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_any_study_can_be_drawn_with_nothing_cut_off(grid: dict, results_of: Callable[..., StudyFolder]):
    style.apply()
    results = results_of(**grid)
    for name in NAMES:
        module = figures.module(name)
        table = module.table(results, **({} if name == "fig1" else {"resamples": 20}))
        assert overhang(module.draw(table)) < 0.01
        assert module.caption(table)


@pytest.mark.parametrize("name", ALL)
def test_the_caption_can_be_had_from_the_csv(name: str, results: StudyFolder, tmp_path: Path):
    figures.build(name, results, tmp_path, resamples=20)
    module = figures.module(name)
    table = module.table(results, **({} if name == "fig1" else {"resamples": 20}))
    assert module.caption(pd.read_csv(tmp_path / f"{name}.csv")) == module.caption(table)


@pytest.mark.parametrize("name", ["fig2", "table1", "iqm"])
def test_captions_state_the_size_of_the_study_and_how_intervals_were_made(name: str, results: StudyFolder):
    module = figures.module(name)
    words = module.caption(module.table(results, resamples=20))
    for part in ("2 tasks x 3 seeds", "95 %, percentile", "20 resamples", "[P"):
        assert part in words


def test_a_single_seed_is_said_in_the_caption(results_of: Callable[..., StudyFolder]):
    module = figures.module("iqm")
    words = module.caption(module.table(results_of(**GRIDS["one run each"]), resamples=20))
    assert "1 task x 1 seed " in words
    assert "a single seed, so no interval" in words
    assert "resamples" not in words


def test_an_unknown_figure_and_a_missing_table_are_named(results: StudyFolder, tmp_path: Path):
    with pytest.raises(GipoError, match=r"unknown figure 'fig99'; known: .*fig1, fig2"):
        figures.build("fig99", results, tmp_path)
    for name, missing in (("fig1", "weights.csv"), ("fig2", "tables")):
        with pytest.raises(GipoError, match=missing):
            figures.build(name, StudyFolder(tmp_path / "nowhere"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_weights_without_a_column_are_an_error(tmp_path: Path):
    sources = StudyFolder(tmp_path)
    put(sources, "weights.csv", b"method,parameters,log_rho,rho,advantage_sign,weight\n")
    with pytest.raises(GipoError, match=r"weights\.csv: column 'multiplier' is missing"):
        figures.build("fig1", sources)
