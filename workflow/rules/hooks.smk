"""What is said before the first job, and what is left where a workflow ends before its report."""

from gipo.cluster import partitions
from gipo.recovery import recover


def put_in_order(dry):
    """Restore what was damaged, or take it away to be made again, before Snakemake looks for files."""
    recover(STUDIES, Path("results", SCALE), logger.warning, dry)


if workflow.is_main_process and IS_ALONE:
    before_execution(workflow, put_in_order)


def announce(dag):
    """Say what the training runs that are to do will cost, or why they cannot be made here."""
    training = [job for job in dag.needrun_jobs() if job.rule.name in TRAINING]
    to_do = {run_id(job.wildcards) for job in training}
    there = workflow.global_resources.get("gpu").value  # not limited on a cluster
    for job in training if there == 0 else ():
        if (
            requests.needs_gpu(run_of(job.wildcards))
            or job.resources.get("device") == "cuda"
        ):
            raise WorkflowError(
                f"{run_id(job.wildcards)} needs a GPU, and this machine has none, by CUDA_VISIBLE_DEVICES or else by "
                "nvidia-smi; on a cluster: `snakemake --profile slurm`"
            )
    if SITE:
        jobs = {dag.get_job_group(job) or job for job in dag.needrun_jobs()}
        for words in partitions.complaints(job for job in jobs if not job.is_local):
            raise WorkflowError(words)
    if to_do:
        print(upfront.line(STUDIES, to_do), file=sys.stderr, flush=True)


FOLLOWERS = []


def follow_runs(dag):
    """Show the runs in MLflow while they are made: a process of its own does that, until its input ends with this one."""
    if any(job.rule.name in TRAINING for job in dag.needrun_jobs()):
        command = ["gipo", "follow", SCALE, "--configs", str(CONFIGS)]
        command += ["--until-input-ends"]
        FOLLOWERS.append(
            subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        )


def end_following():
    """Let it look for the last time."""
    for follower in FOLLOWERS:
        follower.stdin.close()
        follower.wait()


def report_partial(dag):
    """Leave a page of what is finished, where the one that was asked for could not be made."""
    if not any(job.rule.name == "report" for job in dag.needrun_jobs()):
        return
    page = f"results/{SCALE}/report-partial.html"
    command = ["gipo", "report", str(CONFIG), f"results/{SCALE}", "--partial"]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        print(f"No page of what is finished: {done.stderr.strip()}", file=sys.stderr)
    else:
        print(f"What is finished stands in {page}", file=sys.stderr)
