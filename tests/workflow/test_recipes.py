"""The recipes of docs/own-method.md, followed word for word in a copied checkout that has made the smoke scale."""

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from checkout import ROOT, Checkout, Plan, copy_checkout, copy_finished, read_plan, snakemake_logs
from gipo.analysis import methods
from gipo.study import Study

pytestmark = pytest.mark.slow

DOCUMENT = (ROOT / "docs" / "own-method.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def begun(checkout: Checkout, finished: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkout, Plan]:
    """A checkout with the results of scale smoke and scale mine by the first recipe, and what that one planned."""
    copy = copy_checkout(checkout.root, tmp_path_factory.mktemp("begun") / "mine")
    copy_finished(finished, copy.root)
    (plan,) = follow("A scale", copy)
    return copy, plan


@pytest.fixture
def mine(begun: tuple[Checkout, Plan], tmp_path: Path) -> Checkout:
    """The same, to be changed by one test."""
    return Checkout(copy_finished(begun[0].root, tmp_path / "mine"))


def follow(section: str, checkout: Checkout) -> Iterator[Plan]:
    """Do what a section says, block by block; of each command, what it planned.

    The first line of a block that is a file, or a part of one, is a comment with its path and where it goes.
    """
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```$", SECTIONS[section], re.MULTILINE | re.DOTALL):
        if language == "sh":
            for line in block.splitlines():
                done = checkout.run("sh", "-ec", line)
                assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
                if line.startswith("snakemake"):
                    dry = "-n" in line.split()
                    yield read_plan(done.stdout if dry else snakemake_logs(checkout.root)[-1])
            continue
        head, content = block.split("\n", 1)
        path, _, place = head.removeprefix("# ").partition(", ")
        put(checkout.root / path, content, place)


def put(path: Path, content: str, place: str) -> None:
    """Write a block to a file: the whole, ``under`` or ``instead of`` a line that begins so, or ``at the end``."""
    if not place:
        path.write_text(content)
        return
    if place == "at the end":
        path.write_text(f"{path.read_text()}\n{content}")
        return
    [(how, start)] = re.findall(r"^(under|instead of) (.+)$", place)
    lines = path.read_text().splitlines(keepends=True)
    found = next(i for i, line in enumerate(lines) if line.startswith(start))
    lines[found : found + 1] = [lines[found], content] if how == "under" else [content]
    path.write_text("".join(lines))


def labels(checkout: Checkout, scale: str) -> set[str]:
    """Methods with learning curves in the drawn figure 2."""
    names = pd.read_csv(checkout.root / "results" / scale / "figures" / "fig2.csv")["method"]
    return {methods.read(name).label for name in names}


def test_every_section_is_followed_here() -> None:
    assert set(SECTIONS) == {"A scale", "A method", "A task", "A figure", "A claim", "A suite"}


def test_a_copied_scale_plans_none_of_the_runs_that_are_there(begun: tuple[Checkout, Plan]) -> None:
    plan = begun[1]
    assert "train" not in plan.jobs
    assert plan.jobs["report"] == 1


def test_a_method_in_the_working_directory_trains_alone_is_drawn_and_makes_its_own_runs_stale(mine: Checkout) -> None:
    (plan,) = follow("A method", mine)
    assert plan.jobs["train"] == 2 * 2
    assert "baseline" not in plan.jobs
    assert "mine" in labels(mine, "mine")
    mine.edit("my_method.py", "clamp(max=self.cap)", "clamp(min=0.1, max=self.cap)")
    edited = mine.run("snakemake", "fig2", "-n", "--config", "scale=mine")
    assert read_plan(edited.stdout).jobs["train"] == 2 * 2


def test_a_method_elsewhere_is_found_through_pythonpath(
    mine: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "my_package").mkdir(parents=True)
    monkeypatch.setenv("PYTHONPATH", str(elsewhere))
    code, entry = re.findall(r"^```(?:python|yaml)\n.*\n((?:.*\n)+?)```$", SECTIONS["A method"], re.MULTILINE)
    name = "my_package.my_module"
    (elsewhere / "my_package" / "__init__.py").touch()
    (elsewhere / Path(*name.split("."))).with_suffix(".py").write_text(code)
    config = mine.root / "workflow" / "config" / "mine.yaml"
    put(config, entry.replace("my_method:", f"{name}:"), "under methods:")
    done = mine.run("snakemake", "fig2", "-n", "--config", "scale=mine")
    assert done.returncode == 0, done.stderr
    assert read_plan(done.stdout).jobs["train"] == 2 * 2
    run = ("--task", "door-open-v3", "--regime", "stale", "--method", "mine", "--seed", "0")
    done = mine.run("gipo", "train", str(config), str(tmp_path / "run"), *run)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "policy.pt").exists()


def test_a_task_is_trained_and_joins_the_figures(mine: Checkout) -> None:
    (plan,) = follow("A task", mine)
    assert plan.jobs["train"] == 2 * 2 * 2
    assert plan.jobs["baseline"] == 1
    tasks = pd.read_parquet(mine.root / "results" / "mine" / "tables" / "runs.parquet")["task"]
    assert set(tasks) == {"door-open-v3", "drawer-open-v3"}


def test_a_figure_is_drawn_from_runs_that_are_there_and_joins_the_report(mine: Checkout) -> None:
    (plan,) = follow("A figure", mine)
    assert "train" not in plan.jobs
    assert (mine.root / "results" / "smoke" / "figures" / "entropy.svg").stat().st_size > 0
    done = mine.run("snakemake", "--config", "scale=smoke")
    assert done.returncode == 0, done.stderr
    page = (mine.root / "results" / "smoke" / "report.html").read_text(encoding="utf-8")
    assert 'id="entropy"' in page


def test_a_claim_gets_its_verdict(mine: Checkout) -> None:
    (plan,) = follow("A claim", mine)
    assert "train" not in plan.jobs
    scorecard = pd.read_csv(mine.root / "results" / "smoke" / "scorecard.csv").set_index("id")
    assert scorecard.loc["entropy-stays", "verdict"] == "cannot tell"


def test_a_scale_made_of_scales_is_a_study_of_both(mine: Checkout) -> None:
    (words,) = re.findall(r"`(scales: .+?)`", SECTIONS["A scale"])
    (mine.root / "workflow" / "config" / "both.yaml").write_text(f"title: Both\n{words}\n")
    done = mine.run("snakemake", "-n", "--config", "scale=both")
    assert done.returncode == 0, done.stderr
    jobs = read_plan(done.stdout).jobs
    assert jobs["train_libero"] == len(Study.load(ROOT / "workflow" / "config" / "libero-smoke.yaml").all_runs())
    assert "train" not in jobs
