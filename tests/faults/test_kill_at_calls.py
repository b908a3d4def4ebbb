"""A tiny run that is killed at its calls that change a file, one after the other, and started again."""

import random
import shutil
import signal
from pathlib import Path

import pytest
import yaml

from gipo.runs.manifest import RunManifest
from shim import Control, build, compiler
from workshop import make_checkout
from zygote import Zygote

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C compiler: `cc` builds what kills at a chosen call")

RESULTS = ("spec.json", "metrics.parquet", "evaluation.parquet", "policy.pt")


class Place:
    """Where the run is made, killed and made again."""

    def __init__(self, folder: Path) -> None:
        checkout = make_checkout(folder / "checkout")
        config = checkout.root / "workflow" / "config" / "faults.yaml"
        study = yaml.safe_load(config.read_text())
        study["learner"] |= {"updates": 8, "warmup_updates": 1}
        study["evaluation"]["every"] = 4
        study["replay"] |= {"capacity": 64, "warmup_steps": 32}
        config.write_text(yaml.safe_dump(study))
        self.folder = folder / "place"
        self.folder.mkdir()
        self.control = Control(folder / "control", self.folder)
        environment = checkout.environment | self.control.environment(build(folder))
        environment |= {"PYTHONPATH": checkout.environment["PYTHONPATH"], "OMP_NUM_THREADS": "1"}
        modules = ("torch._dynamo", "gipo.engines.lockstep", "gipo.engines.suites.toy", "gipo.scale")
        self.zygote = Zygote(environment, folder / "said", modules)
        labels = ("--task", "near", "--regime", "stale", "--method", "gipo-1-1", "--seed", "0")
        self.command = ("train", str(config), *labels, "--checkpoint-seconds", "0", "--quiet")

    def train(self, name: str) -> tuple[int | None, str]:
        """Exit code and error output of the run in a directory."""
        done = self.zygote.run(*self.command[:2], name, *self.command[2:], cwd=self.folder)
        return done.status, done.errors


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory):
    made = Place(tmp_path_factory.mktemp("kills"))
    yield made
    made.zygote.close()


@pytest.fixture(scope="module")
def undisturbed(place: Place) -> tuple[dict[str, bytes], int]:
    """Results of the run that nothing disturbed, and how many calls it made."""
    place.control.count()
    assert place.train("undisturbed") == (0, "")
    run = place.folder / "undisturbed"
    return {name: (run / name).read_bytes() for name in RESULTS}, place.control.calls


def kill_and_start_again(place: Place, call: int, action: str, expected: dict[str, bytes]) -> None:
    name = f"killed-{action}-{call}"
    place.control.strike(call, action, signal.SIGKILL)
    status, _ = place.train(name)
    struck = f"{action} at call {call}, {place.control.struck}"
    assert status == -signal.SIGKILL, struck
    place.control.count()
    assert place.train(name) == (0, ""), struck
    run = place.folder / name
    for result, content in expected.items():
        assert (run / result).read_bytes() == content, f"{result} after {struck}"
    manifest = RunManifest.read(run / "manifest.json")
    assert {*expected} < manifest.files.keys(), struck
    for result in manifest.files:
        manifest.read_bytes(run, result)  # which checks it
    left = [path.name for path in run.rglob(".*")]
    assert left == [], struck
    shutil.rmtree(run)


@pytest.mark.parametrize("action", ["signal", "half"])
def test_a_run_killed_at_any_of_a_few_calls_ends_with_the_same_bytes(place: Place, undisturbed, action: str):
    expected, calls = undisturbed
    for call in random.Random(action).sample(range(1, calls + 1), 5):
        kill_and_start_again(place, call, action, expected)


@pytest.mark.slow
def test_a_run_killed_at_each_of_its_calls_ends_with_the_same_bytes(place: Place, undisturbed):
    expected, calls = undisturbed
    assert calls > 50
    for call in range(1, calls + 1):
        kill_and_start_again(place, call, ("signal", "half")[call % 2], expected)
