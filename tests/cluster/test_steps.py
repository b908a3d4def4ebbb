"""What is said where SLURM refuses a job; the executor plugin's own words are those of its version 2.8.0."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake_executor_plugin_slurm import Executor
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

from gipo.cluster import steps

MESSAGE = """SLURM sbatch failed. The error message was 'sbatch: error: Memory specification can't be satisfied
sbatch: error: Batch job submission failed: Requested node configuration is not available'.
    sbatch call:
        sbatch --parsable /dev/stdin
    sbatch script:
#!/bin/sh
python -m snakemake
"""


class Job(SimpleNamespace):
    """A job as the executor knows it, which keeps what Snakemake is told."""

    def is_group(self) -> bool:
        return hasattr(self, "groupid")

    def log_error(self, message: str | None, **details: Any) -> None:
        self.logged = message


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Lines that are said of refused jobs."""
    said: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(RemoteExecutor, "print_job_error", RemoteExecutor.print_job_error)  # to be put back
        steps.tell_refusals(said.append)
        yield said


@pytest.mark.parametrize(
    ("job", "name"),
    [(Job(groupid="train-push-v3-stale"), "the group train-push-v3-stale"), (Job(name="figure"), "a job of figure")],
)
def test_a_refusal_is_told_in_the_words_of_sbatch(lines: list[str], job: Job, name: str):
    object.__new__(Executor).print_job_error(SubmittedJobInfo(job), MESSAGE)
    assert lines == [
        f"SLURM refuses {name}: sbatch: error: Memory specification can't be satisfied sbatch: error: "
        "Batch job submission failed: Requested node configuration is not available"
    ]
    assert "sbatch" not in job.logged


def test_any_other_error_is_snakemakes_matter(lines: list[str]):
    job = Job(name="figure")
    object.__new__(Executor).print_job_error(SubmittedJobInfo(job), "SLURM job 3 failed")
    assert lines == []
    assert job.logged.startswith("SLURM job 3 failed")
