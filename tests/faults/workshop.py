"""A whole small study, made once by the real workflow, of which every fault gets a copy to break."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from checkout import ROOT, Checkout, copy_checkout
from shim import Control, build
from zygote import Done

STUDY = Path("results/faults")
SETTINGS = ("--cores", "2", "--set-resources", "train:checkpoint_seconds=0", "--config", "scale=faults")
MODULES = (
    *("torch._dynamo", "gipo.engines.lockstep", "gipo.engines.suites.toy", "gipo.envs.baselines", "gipo.gridworld"),
    *("gipo.scale", "gipo.trust_weights", "gipo.analysis.claims", "gipo.analysis.collect", "gipo.report", "arch"),
    *("gipo.tracking.follow", "mlflow.tracking", "matplotlib.pyplot", "seaborn", "rliable.library", "pyarrow.parquet"),
)


@dataclass(frozen=True)
class Step:
    """A job of the workflow."""

    rule: str
    command: tuple[str, ...]
    """What gipo is called with."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def name(self) -> str:
        """Rule, and what it makes."""
        return f"{self.rule} {self.outputs[0]}"


def make_checkout(folder: Path) -> Checkout:
    """A copy of this checkout with the toy suite and the scale that faults break."""
    copy = copy_checkout(ROOT, folder)
    shutil.copytree(ROOT / "tests" / "toy" / "gipo", copy.root / "src" / "gipo", dirs_exist_ok=True)
    shutil.copy2(Path(__file__).with_name("faults.yaml"), copy.root / "workflow" / "config")
    return copy


class Workshop:
    """The checkout, the finished study, and how each of its files is made.

    Args:
        folder: where all lies; what is there already is used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.finished = self.folder / "finished"
        self.library = self.folder / "kill_at.so"
        self.checkout = Checkout(self.folder / "checkout")
        if not self.library.exists():
            make_checkout(self.checkout.root)
            build(self.folder)
        if not self.finished.exists():
            making = self.folder / "making"
            done = self.snakemake(making)
            assert done.status == 0, done.errors
            making.rename(self.finished)
        self.steps = self._steps()

    def snakemake(self, place: Path, *arguments: str, seconds: float = 1800.0) -> Done:
        """Run the workflow in a place, in a session of its own."""
        return self.wait(self.start_snakemake(place, *arguments), seconds)

    def start_snakemake(self, place: Path, *arguments: str, control: Control | None = None) -> subprocess.Popen:
        """Start it."""
        environment = self.checkout.environment | {"XDG_CACHE_HOME": str(self.folder / "cache")}
        if control:
            environment |= {"LD_PRELOAD": str(self.library), "KILL_AT_CONTROL": str(control.path)}
        command = ["snakemake", "--snakefile", str(self.checkout.root / "Snakefile"), "--directory", str(place)]
        command += [*arguments, *SETTINGS]
        return subprocess.Popen(
            command, cwd=self.checkout.root, env=environment, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    @staticmethod
    def wait(process: subprocess.Popen, seconds: float = 1800.0) -> Done:
        """Wait for a process that leads a session; beyond `seconds` all of it is killed."""
        try:
            said = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            said = process.communicate()
            return Done(None, said[1])
        return Done(process.returncode, said[1] + (said[0] or ""))

    def _steps(self) -> list[Step]:
        """All jobs in an order in which they can be run, from what a dry run prints."""
        empty = self.folder / "empty"
        empty.mkdir(exist_ok=True)
        done = self.snakemake(empty, "--dry-run", "--printshellcmds", "--quiet", "host")
        assert done.status == 0, done.errors
        steps = []
        for block in re.split(r"\n(?:local)?rule ", done.errors)[1:]:
            rule = block.partition(":")[0]
            fields = dict(re.findall(r"^    (input|output|log): (.*)$", block, re.MULTILINE))
            if not (shell := re.search(r"^Shell command: (gipo .*)$", block, re.MULTILINE)):
                continue
            words = self._words(shell[1])
            names = [
                tuple(fields.get(kind, "").split(", ")) if fields.get(kind) else () for kind in ("input", "output")
            ]
            steps.append(Step(rule, words, *names))
        assert steps, done.errors
        return _in_order(steps)

    def _words(self, shell: str) -> tuple[str, ...]:
        """What a shell command gives gipo."""
        empty = self.folder / "empty"
        script = f"gipo() {{ printf '%s\\0' \"$@\" >&3; }}; exec 3>&1; {re.sub(r'2>> *[^ ]+', '', shell)}"
        done = subprocess.run(["bash", "-c", script], cwd=empty, capture_output=True, text=True, check=True)
        return tuple(done.stdout.split("\0")[:-1])


def _in_order(steps: list[Step]) -> list[Step]:
    """Each after those that make its inputs."""
    made_by = {output: step for step in steps for output in step.outputs}
    ordered: list[Step] = []

    def visit(step: Step) -> None:
        for name in step.inputs:
            if name in made_by and made_by[name] not in ordered:
                visit(made_by[name])
        if step not in ordered:
            ordered.append(step)

    for step in steps:
        visit(step)
    return ordered
