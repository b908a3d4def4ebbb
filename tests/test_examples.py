"""The examples run, and do what they say."""

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from checkout import ROOT
from gipo import objectives

EXAMPLES = ROOT / "examples"


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(EXAMPLES)
    return EXAMPLES


def printed(name: str) -> list[str]:
    """Lines that an example prints."""
    command = [sys.executable, str(EXAMPLES / name)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_the_token_loss_has_a_gradient_on_every_token_and_on_nothing_else() -> None:
    (line,) = printed("token_loss.py")
    assert line.endswith("gradient on 36 of 36 tokens")


def test_the_token_loss_is_that_of_the_tokens_one_by_one(examples: Path) -> None:
    from token_loss import token_loss

    mask = torch.tensor([[True, True, False], [True, False, False]])
    log_pi = torch.tensor([[-0.5, -1.0, math.nan], [-0.2, math.inf, math.nan]])
    log_mu = torch.tensor([[-0.7, -0.4, math.nan], [-0.9, 0.0, -math.inf]])
    found = token_loss(objectives.make("gipo"), log_pi, log_mu, torch.tensor([2.0, -1.0]), mask)
    by_hand = [(0.2, 2.0, 1.0), (-0.6, 2.0, 1.0), (0.7, -1.0, 0.5)]  # log rho, A, sigma
    expected = [-math.exp(x - x**2 / (2 * sigma**2)) * a for x, a, sigma in by_hand]
    assert found.item() == pytest.approx(sum(expected) / 3)


def test_the_diagnosis_finds_dead_samples_of_clipping_alone() -> None:
    tails, *methods = printed("diagnose.py")
    assert "of the batch is old" in tails
    dead = {line.split()[0]: line.split()[2] for line in methods}
    assert float(dead["ppo_clip"].rstrip("%")) > 20
    assert dead["gipo"] == "0.0%"


@pytest.mark.slow
def test_cartpole_learns(examples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from cartpole import train

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        returns = train(seed=0, iterations=40)
    finally:
        torch.set_num_threads(threads)
    assert returns[0] < 40  # a random policy has 22
    assert max(returns[-5:]) > 100
    assert "iteration 40" in capsys.readouterr().out
