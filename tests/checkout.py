"""A copy of this checkout to be edited, and Snakemake run in it as a user would."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Plan:
    """What a dry-run says it would do."""

    jobs: dict[str, int]
    """Jobs of each rule, from Snakemake's job table."""
    figures: set[str]
    """Figures that would be drawn."""
    methods: set[str]
    """Methods whose runs would be trained."""


@dataclass(frozen=True)
class Checkout:
    """Root of a checkout. Its package comes before the installed one in everything that is run here."""

    root: Path

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with which a command is one of the virtual environment, and its package this one's."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        packages = os.pathsep.join([str(self.root / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
        return os.environ | {"PATH": path, "PYTHONPATH": packages, "OMP_NUM_THREADS": "1"}

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the virtual environment in this checkout."""
        return subprocess.run(command, cwd=self.root, env=self.environment, capture_output=True, text=True)

    def snakemake(
        self, directory: Path, *arguments: str, scale: str = "smoke", **config: str
    ) -> subprocess.CompletedProcess[str]:
        """Run snakemake; results go to ``directory/results``."""
        config = {"scale": scale} | config
        settings = ("--directory", str(directory), "--cores", "2", "--config")
        return self.run("snakemake", *arguments, *settings, *(f"{key}={value}" for key, value in config.items()))

    def plan(self, directory: Path, *arguments: str, scale: str = "smoke", **config: str) -> Plan:
        """What a dry-run would do."""
        done = self.snakemake(directory, *arguments, "--dry-run", scale=scale, **config)
        assert done.returncode == 0, done.stderr
        return read_plan(done.stdout)

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace the first `old` in a file."""
        text = (self.root / file).read_text()
        assert old in text
        (self.root / file).write_text(text.replace(old, new, 1))


def beside(path: str) -> Path | None:
    """``path`` beside this checkout or the one of which it is a worktree; None where it is not there."""
    command = ["git", "-C", str(ROOT), "rev-parse", "--path-format=absolute", "--git-common-dir"]
    repository = Path(subprocess.run(command, capture_output=True, text=True).stdout.strip()).parent
    return next((root.parent / path for root in (ROOT, repository) if (root.parent / path).exists()), None)


def copy_checkout(source: Path, to: Path) -> Checkout:
    """Copy what the workflow needs."""
    for name in ("src", "workflow", "profiles", "containers", "envs"):
        shutil.copytree(source / name, to / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("Snakefile", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(source / name, to)
    return Checkout(to)


def copy_finished(finished: Path, to: Path, symlinks: bool = False) -> Path:
    """Copy a working directory, without the notes of those who work in it at the moment."""
    notes = shutil.ignore_patterns("processes")
    return shutil.copytree(finished, to, symlinks=symlinks, dirs_exist_ok=True, ignore=notes)


def snakemake_logs(directory: Path) -> list[str]:
    """What each call of Snakemake in a working directory wrote into its log file, in order."""
    return [log.read_text() for log in sorted(directory.glob(".snakemake/log/*.log"))]


def read_plan(output: str) -> Plan:
    """Read the job table and the figures from what a dry-run prints or the log file of a run has."""
    table = re.search(r"^job +count\n[- ]+\n((?:\S+ +\d+\n)+)", output, re.MULTILINE)
    rows = (line.split() for line in table[1].splitlines()) if table else ()
    jobs = {name: int(count) for name, count in rows if name != "total"}
    figures = re.findall(r"^    wildcards: scale=[\w-]+, figure=(\w+)$", output, re.MULTILINE)
    methods = re.findall(r"^    wildcards: task=[^,]+, regime=[^,]+, method=([^,]+),", output, re.MULTILINE)
    return Plan(jobs, set(figures), set(methods))
