"""A third suite: its modules put into a checkout, one into each room, and nothing else there is touched."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from checkout import ROOT, Checkout, copy_checkout, read_plan, snakemake_logs

TOY = ROOT / "tests" / "toy"
LABELS = ("--task", "near", "--method", "gipo-1-1", "--seed", "0")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A copy of this checkout with the toy suite and a scale of it."""
    copy = copy_checkout(ROOT, tmp_path_factory.mktemp("third") / "checkout")
    shutil.copytree(TOY / "gipo", copy.root / "src" / "gipo", dirs_exist_ok=True)
    shutil.copy2(TOY / "toy.yaml", copy.root / "workflow" / "config")
    return copy


def train(checkout: Checkout, run: Path, regime: str, scale: str = "toy") -> pd.DataFrame:
    """Means over the evaluation episodes of a run of the toy suite, by update."""
    done = checkout.run("gipo", "train", f"workflow/config/{scale}.yaml", str(run), "--regime", regime, *LABELS)
    assert done.returncode == 0, done.stderr
    return pd.read_parquet(run / "evaluation.parquet").groupby("update")[["return", "success_any"]].mean()


def test_a_lockstep_run_of_it_learns(checkout: Checkout, tmp_path: Path) -> None:
    evaluation = train(checkout, tmp_path, "fresh")
    assert (
        evaluation.loc[200, "return"] > evaluation.loc[0, "return"] + 5
    )  # of -10 to 10, with all random numbers seeded


@pytest.mark.slow
def test_an_asynchronous_run_of_it_learns(checkout: Checkout, tmp_path: Path) -> None:
    config = checkout.root / "workflow" / "config"
    engine = "asynchronous: {inference_batch: 8}\n"
    (config / "toy-asynchronous.yaml").write_text((config / "toy.yaml").read_text() + engine)
    evaluation = train(checkout, tmp_path, "stale", scale="toy-asynchronous")
    assert evaluation.loc[200, "return"] > evaluation.loc[0, "return"] + 5
    assert evaluation.loc[200, "success_any"] > 0


@pytest.mark.slow
def test_a_study_of_it_ends_in_its_report(checkout: Checkout, tmp_path: Path) -> None:
    done = checkout.snakemake(tmp_path, scale="toy")
    assert done.returncode == 0, done.stderr
    assert read_plan(snakemake_logs(tmp_path)[-1]).jobs["train"] == 4
    baselines = pd.read_parquet(tmp_path / "results" / "toy" / "tables" / "baselines.parquet")
    assert set(baselines["task"]) == {"near"}
    assert "Toy" in (tmp_path / "results" / "toy" / "report.html").read_text(encoding="utf-8")
