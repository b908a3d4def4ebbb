"""The update against numbers that the authors' released script computed."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from checkout import beside
from gipo import golden, learner, released_update, targets
from gipo.cli import cli
from gipo.errors import GipoError


@pytest.fixture(scope="module")
def fixture() -> Path:
    named = os.environ.get("GIPO_FIXTURES")
    fixtures = Path(named) if named else beside("shared/fixtures")
    if not fixtures or not (fixtures / "released_update").is_dir():
        pytest.skip("no released_update in $GIPO_FIXTURES or ../shared/fixtures")
    return fixtures / "released_update"


@pytest.fixture
def copy(fixture: Path, tmp_path: Path) -> Path:
    return shutil.copytree(fixture, tmp_path / "copy", copy_function=shutil.copyfile)


def test_thirty_updates_by_seven_objectives_are_those_of_the_released_code(fixture: Path):
    comparisons = released_update.compare(fixture)
    golden.check(comparisons)
    files = [row.file for row in comparisons]
    objectives = {path.name for path in fixture.glob("*.npz")} - {"initial.npz"}
    assert {*files} == objectives
    assert len(files) == 2 + 7 * (6 + 3 * 16 + 2)  # targets; losses, gradients and two sets of parameters, norms


def changed(path: Path, name: str, change) -> None:
    arrays = dict(np.load(path))
    arrays[name] = change(arrays[name])
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("file", "name", "tolerance"),
    [
        ("ppo.npz", "first/policy_loss", released_update.LOSSES),
        ("sapo.npz", "gradient/policy_head.0.weight", released_update.GRADIENTS),
        ("gipo-cauchy.npz", "final/value_head.3.bias", released_update.PARAMETERS),
        ("input.npz", "advantages", released_update.GRADIENTS),
    ],
)
def test_numbers_just_out_of_tolerance_are_found(copy: Path, file: str, name: str, tolerance: float):
    changed(copy / file, name, lambda array: array + np.float32(3 * tolerance * (1 + np.abs(array).max())))
    with pytest.raises(GipoError, match=name):
        golden.check(released_update.compare(copy))


@pytest.mark.parametrize(("module", "name"), [(learner, "log_prob_and_entropy"), (targets, "gae")])
def test_another_update_is_found(fixture: Path, monkeypatch: pytest.MonkeyPatch, module, name: str):
    original = getattr(module, name)

    def other(*arguments):
        first, *rest = original(*arguments)
        return 1.0001 * first, *rest

    monkeypatch.setattr(module, name, other)
    with pytest.raises(GipoError, match="quantities deviate"):
        golden.check(released_update.compare(fixture))


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"settings": ["ppo"]}', '{"settings": {"ppo": {"objective": "ppo"}}}']
)
def test_settings_that_are_no_settings_are_named(copy: Path, content: str):
    (copy / "settings.json").write_text(content)
    with pytest.raises(GipoError, match=r"settings\.json|input\.npz"):
        released_update.compare(copy)


@pytest.mark.parametrize("file", ["settings.json", "input.npz", "initial.npz", "batches.npy", "sapo.npz"])
def test_a_damaged_file_is_named(copy: Path, file: str):
    content = (copy / file).read_bytes()
    (copy / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(GipoError, match=file):
        released_update.compare(copy)


def test_the_command_shows_and_judges_every_quantity(copy: Path):
    assert CliRunner().invoke(cli, ["parity", str(copy)]).exit_code == 0
    changed(copy / "sapo.npz", "first/loss", lambda array: array + 1)
    failed = CliRunner().invoke(cli, ["parity", str(copy)])
    assert failed.exit_code == 1
    assert "FAILED" in failed.output
