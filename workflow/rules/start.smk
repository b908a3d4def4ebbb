"""What has to be right about the machine and the place before a scale is read."""

import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.settings.types import DeploymentMethod

try:
    from gipo import surroundings
    from gipo.cluster import devices
    from gipo.cluster.steps import quote_python, tell_refusals
    from gipo.errors import GipoError
    from gipo.recovery import before_execution
except ModuleNotFoundError as error:
    raise WorkflowError(
        f"{sys.executable} has no module {error.name}; `make setup` makes an environment that has, "
        "and `. .venv/bin/activate` enters it"
    ) from None

try:
    surroundings.check_package(Path(workflow.basedir))
    for place in (Path(workflow.basedir), Path.cwd()):
        if DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method:
            surroundings.check_path(place, surroundings.NOT_FOR_IMAGES, "Apptainer")
        if "GIPO_RUNS_AT_ONCE" in os.environ:  # set by profiles/slurm/profile.yaml
            surroundings.check_path(place, surroundings.NOT_FOR_SLURM, "SLURM")
except GipoError as error:
    raise WorkflowError(str(error)) from None

if "GIPO_RUNS_AT_ONCE" not in os.environ and not workflow.remote_exec:
    devices.limit(workflow)

# Jobs call the programs of this Python's environment, whether or not it was activated.
os.environ["PATH"] = os.pathsep.join(
    [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
)

if workflow.is_main_process:
    quote_python()
    tell_refusals(logger.error)
    surroundings.end_with_the_terminal()
    IS_ALONE = surroundings.take_turn(Path(".snakemake"), logger.warning)


def drop_default_limit(dry):
    """Have Snakemake look for the next job when one ends, not each second.

    Its default limit of 100 jobs a second is never met here, but brings it to ask each second for the size of every
    input of every job that waits: with 1,080 finished runs that is 11,000 calls to the file system. Another limit, given
    by --max-jobs-per-timespan, is kept.
    """
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    if limit and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduling_settings.max_jobs_per_timespan = None


before_execution(workflow, drop_default_limit)
