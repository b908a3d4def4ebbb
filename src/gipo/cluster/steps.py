"""The members of a group of jobs side by side in one SLURM job.

The step executor of the SLURM plugin starts a member and waits for it before it looks at the next (0.6.1). Runs that
share a GPU would then come one after the other, and each alone leaves most of the GPU idle.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

IDENTITY = ("SLURM_JOB_ID", "SLURM_JOBID")
"""Variables that tell a step its job. It gets no other of SLURM's, which it would take for options of its own."""


def quote_python() -> None:
    """Let jobs be submitted with a Python whose path has spaces or quotes: the plugins put it into a command bare."""
    from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

    RemoteExecutor.get_python_executable = _quoted_python


def _quoted_python(executor: Any) -> str:
    return shlex.quote(sys.executable)


def tell_refusals(tell: Callable[[str], None]) -> None:
    """Say in one line why SLURM refused a job: for a group Snakemake says only that it failed.

    Args:
        tell: takes the line.
    """
    from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

    said = RemoteExecutor.print_job_error

    def print_job_error(executor: Any, job_info: Any, msg: str | None = None, **details: Any) -> None:
        if words := refusal(msg or ""):
            job = job_info.job
            tell(f"SLURM refuses {f'the group {job.groupid}' if job.is_group() else f'a job of {job.name}'}: {words}")
            msg = None
        said(executor, job_info, msg, **details)

    RemoteExecutor.print_job_error = print_job_error


def refusal(message: str) -> str:
    """Words of sbatch in a message of the executor plugin, which has the whole job script as well; else nothing."""
    found = re.match(r"SLURM sbatch failed\. The error message was '(.*?)'\.\n", message, re.DOTALL)
    return " ".join(found[1].split()) if found else ""


def side_by_side(workflow: Any) -> None:
    """Start as many members at once as the profile says, where this Snakemake is the one that SLURM started for a job.

    Args:
        workflow: Snakemake's, while it reads the Snakefile.
    """
    at_once = os.environ.get("GIPO_RUNS_AT_ONCE")  # set by profiles/slurm/profile.yaml
    if not workflow.remote_exec or at_once is None or "SLURM_STEP_ID" in os.environ:
        return
    from snakemake_executor_plugin_slurm_jobstep import Executor

    Executor.run_job = start
    Executor.get_python_executable = _quoted_python
    workflow.global_resources["_nodes"] = int(at_once)  # one node per step, says --jobs 1


def start(executor: Any, job: Any) -> None:
    """Start a job as a step that shares the memory and the GPU of all others, and report its end when it comes."""
    from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

    environment = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_") or k in IDENTITY}
    command = f"srun --overlap --nodes=1 --ntasks=1 --cpus-per-task={job.threads} {executor.format_job_exec(job)}"
    process = subprocess.Popen(command, shell=True, env=environment)
    info = SubmittedJobInfo(job)
    executor.report_job_submission(info)

    def wait() -> None:
        if process.wait() == 0:
            executor.report_job_success(info)
        else:
            executor.report_job_error(info)

    threading.Thread(target=wait, daemon=True).start()
