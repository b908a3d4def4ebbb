"""The line that says what training will cost: counts, the paper's hours, and those of a plan."""

import subprocess
import sys
from pathlib import Path

import pytest

from gipo.cluster import requests, upfront
from gipo.files import write_json
from gipo.scale import Scale, config


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory without a plan."""
    monkeypatch.chdir(tmp_path)


def test_the_full_reproduction_costs_what_the_paper_says():
    full = Scale.load(config("full"))
    # 1,080 runs of 10 hours, and 72 of 8 GPUs for 2 days
    words = "scale full: 1,152 training runs to do of 1,152 (MetaWorld 1,080, LIBERO 72); about 38,448 H200-hours [P]"
    assert upfront.line(full, set(full.runs)) == words


def test_only_what_is_to_do_is_counted():
    paper = Scale.load(config("paper"))
    to_do = list(paper.runs)[:3]
    assert upfront.line(paper, to_do) == "scale paper: 3 training runs to do of 1,080; about 30 H200-hours [P]"


def test_of_other_runs_nothing_is_claimed():
    for name in ("laptop", "full-smoke"):
        scale = Scale.load(config(name))
        assert upfront.line(scale, set(scale.runs)).endswith(f"; hours: `gipo plan --scale {name}`")


def test_a_plan_comes_before_the_papers_hours():
    laptop = Scale.load(config("laptop"))
    one, two, *others = laptop.runs
    hours = {"acting": 3600.0, "learning": 7200.0}
    runs = {one: hours | {"gpu_learning": 0.0}, two: hours | {"gpu_learning": 10_800.0}}
    write_json(requests.PLAN, {"runs": runs})
    line = upfront.line(laptop, set(laptop.runs))
    # cores: 1 + 2 h of the first, 1 h of the second, whose learner is on a GPU for 3 h
    assert line.endswith(
        f"about 4 CPU-hours and 3 GPU-hours as planned, hours of {len(others)} runs: `gipo plan --scale laptop`"
    )


def test_it_needs_no_torch():
    code = "import sys, gipo.cluster.upfront; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
