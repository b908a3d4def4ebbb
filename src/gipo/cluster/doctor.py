"""Checks of a cluster before a study. Each prints one line, with what to do where something is wrong."""

from __future__ import annotations

import getpass
import re
import shlex
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from gipo.cluster import partitions, requests
from gipo.cluster.site import Site
from gipo.errors import GipoError
from gipo.files import read_json

COMMANDS = ("sbatch", "squeue", "sinfo", "scancel", "scontrol")
LEAST_FREE = 20e9
"""Bytes that should be free. A run of the paper's scale has a checkpoint of 0.7 GB while it is trained."""
MOST_SKEW = 5.0
"""Seconds that two clocks may differ: Snakemake compares file times, and a run's lock uses the file server's clock."""
LONGEST_POLL = 200
"""Seconds after which a finished job must still be known: Snakemake looks every three minutes at the least."""
PATIENCE = 30.0
"""Seconds within which a file that a job wrote must be visible here."""


@dataclass(frozen=True)
class Finding:
    """One line of the doctor."""

    ok: bool | None
    """True: passed. False: failed. None: worth knowing, but no failure."""
    text: str

    def __str__(self) -> str:
        return f"{ {True: 'ok  ', False: 'FAIL', None: 'note'}[self.ok] }  {self.text}"


def examine(site_file: Path, work: Path, seconds: float, tell: Callable[[str], None]) -> None:
    """Run every check.

    Args:
        site_file: the site.yaml in use.
        work: directory in which `snakemake` is called; test jobs write below ``results/slurm``.
        seconds: how long a test job may wait in the queue.
        tell: takes one line per check.

    Raises:
        GipoError: the site file is missing or wrong, or a check failed.
    """
    site = Site.load(site_file)
    findings = []
    for finding in _findings(site, site_file, work, seconds):
        tell(str(finding))
        findings.append(finding)
    if failed := sum(finding.ok is False for finding in findings):
        raise GipoError(f"{failed} of {len(findings)} checks failed")


def _findings(site: Site, site_file: Path, work: Path, seconds: float) -> Iterator[Finding]:
    yield Finding(True, f"{site_file} is read")
    yield from installation(site_file, work)
    if site.containers:
        found = shutil.which("apptainer") is not None
        yield Finding(found, "apptainer is on PATH" if found else "apptainer is not on PATH: set containers: false")
    if missing := [command for command in COMMANDS if shutil.which(command) is None]:
        yield Finding(False, f"not on PATH: {', '.join(missing)}; this is no machine that submits jobs")
        return
    places = list(partition_findings(site))
    yield from places
    yield from queue_findings(site, work)
    if any(finding.ok is False for finding in places):
        yield Finding(False, "no test job is sent before the partitions are right")
        return
    yield from test_only(site)
    yield from storage(work)
    for partition in dict.fromkeys((site.train_partition, site.cpu_partition)):
        yield from job_findings(partition, site, work, seconds)


def installation(site_file: Path, work: Path) -> Iterator[Finding]:
    """The executor plugin, and the place where Snakemake looks for the profile."""
    try:
        version = metadata.version("snakemake-executor-plugin-slurm")
        yield Finding(True, f"snakemake-executor-plugin-slurm {version} is installed")
    except metadata.PackageNotFoundError:
        yield Finding(False, "snakemake-executor-plugin-slurm is not installed; `make slurm` does it")
    link = work / "slurm" / "profile.yaml"
    if link.exists() and link.samefile(site_file.with_name("profile.yaml")):
        yield Finding(True, f"`snakemake --profile slurm` is found in {work}")
    else:
        yield Finding(False, f"`snakemake --profile slurm` finds no profile in {work}; `make slurm` links it")


def partition_findings(site: Site) -> Iterator[Finding]:
    """Whether the partitions exist, are up and have the time, and whether the one for training has the GPUs."""
    needed = {site.cpu_partition: ("what follows training", requests.after_training(site.studies(), site.runs_at_once))}
    needed[site.train_partition] = ("max_minutes", site.max_minutes)
    for name, (what, minutes) in needed.items():
        if (partition := partitions.ask(name)) is None:
            yield Finding(False, f"no partition {name!r}; this cluster has: {', '.join(partitions.known())}")
            continue
        yield Finding(partition.state == "up", f"partition {name} is {partition.state}, {partition.nodes} nodes")
        fits = partition.minutes >= minutes
        yield Finding(fits, f"its time limit {partition.limit} holds {what} = {minutes} minutes")
        if site.gres and name == site.train_partition:
            kind = re.sub(r":\d+$", "", site.gres)
            yield Finding(
                any(kind in devices for devices in partition.devices),
                f"its nodes have {', '.join(partition.devices)}; asked is {site.gres}",
            )


def queue_findings(site: Site, work: Path) -> Iterator[Finding]:
    """How long the controller remembers jobs, and jobs left over from an earlier Snakemake."""
    age = re.search(r"^MinJobAge\s*=\s*(\d+)", _run("scontrol", "show", "config").stdout, re.MULTILINE)
    needed = max(3 * site.poll_seconds, LONGEST_POLL)
    if age is None:
        yield Finding(None, "MinJobAge is unknown; Snakemake must still find a job in squeue minutes after its end")
    else:
        words = f"finished jobs stay in squeue for {age[1]} s (MinJobAge); {needed} s are needed"
        yield Finding(int(age[1]) >= needed, words)
    queue = _run("squeue", "-h", "-u", getpass.getuser(), "-o", "%j|%Z").stdout.splitlines()
    left = sorted({name for name, _, place in (line.partition("|") for line in queue) if place == str(work)})
    for name in left:
        if name.startswith("gipo_"):
            yield Finding(
                None,
                f"jobs of a Snakemake process are queued; if it is gone: `scancel --name {name}`, `make unlock`",
            )


def test_only(site: Site) -> Iterator[Finding]:
    """Whether SLURM would take the largest training job of each kind: all that it asks for at once."""
    runs = list(site.studies().runs.values())
    on_gpu = site.device == "cuda"
    memory = [requests.memory_mb(run, site.cores_per_run, on_gpu) for run in runs if not run.asynchronous]
    if memory:
        cores = site.cores_per_run * site.runs_at_once
        devices = [f"--gres={site.gres}"] if site.gres else []
        yield _would_take(site, "training", cores, site.runs_at_once * max(memory), devices)
    if others := [run for run in runs if run.asynchronous]:
        largest = max(others, key=lambda run: requests.memory_mb(run, gpus=requests.gpus_of(run)))
        gpus = requests.gpus_of(largest)
        devices = [f"--gpus={gpus}", "--nodes=1"] if gpus else []
        cores, memory_mb = requests.cores_of(largest), requests.memory_mb(largest, gpus=gpus)
        yield _would_take(site, "asynchronous training", cores, memory_mb, devices)


def _would_take(site: Site, kind: str, cores: int, memory: int, devices: list[str]) -> Finding:
    place = ["-p", site.train_partition, *(["-A", site.account] if site.account else []), *devices]
    asked = [*place, "-c", str(cores), f"--mem={memory}", "-t", str(site.max_minutes)]
    done = _run("sbatch", "--test-only", *asked, "--wrap", "true")
    answer = (done.stderr or done.stdout).strip().splitlines()[-1:]
    return Finding(done.returncode == 0, f"a full {kind} job: {' '.join(answer)}; asked: sbatch {' '.join(asked)}")


def storage(work: Path) -> Iterator[Finding]:
    """Free space, and the file server's clock beside this machine's."""
    free = shutil.disk_usage(work).free
    yield Finding(free >= LEAST_FREE, f"{free / 1e9:,.0f} GB are free in {work}; {LEAST_FREE / 1e9:.0f} GB are needed")
    probe = _folder(work) / f"clock-{uuid.uuid4().hex}"
    probe.touch()
    skew = abs(probe.stat().st_mtime - time.time())
    probe.unlink()
    yield Finding(skew <= MOST_SKEW, f"clocks of this machine and of the file server are {skew:.1f} s apart")


def job_findings(partition: str, site: Site, work: Path, seconds: float) -> Iterator[Finding]:
    """Send a job of a minute and see what it saw."""
    out = _folder(work) / f"{partition}-{uuid.uuid4().hex}.json"
    log = out.with_suffix(".log")
    asked = [*_place(site, partition), "-c", "1", "--mem=2000", "-t", "2", "-J", "gipo-doctor"]
    asked += ["-o", str(log), "-D", str(work)]
    gpu = partition == site.train_partition and site.device == "cuda"
    command = shlex.join([sys.executable, "-m", "gipo.cluster.probe", str(out)])
    command += (" --gpu" if gpu else "") + (" --images" if site.containers else "")
    sent = _run("sbatch", "--parsable", *asked, "--wrap", command)
    if sent.returncode:
        yield Finding(False, f"partition {partition}: the test job was refused: {sent.stderr.strip()}")
        return
    job = sent.stdout.strip().partition(";")[0]
    started = time.monotonic()
    while (state := _state(job)) in ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING"):
        if time.monotonic() - started > seconds:
            reason = _run("squeue", "-h", "-j", job, "-o", "%r").stdout.strip()
            _run("scancel", job)
            yield Finding(
                False, f"partition {partition}: test job {job} was still {state} ({reason}) after {seconds:.0f} s"
            )
            return
        time.sleep(1)
    ended = time.monotonic()
    while not out.exists() and time.monotonic() - ended < PATIENCE and state == "COMPLETED":
        time.sleep(0.5)
    if not out.exists():
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] if log.exists() else []
        words = (
            f"partition {partition}: test job {job} ended as {state or 'unknown'} and wrote nothing that is seen here"
        )
        yield Finding(False, " ".join([words, *lines]))
        return
    late = time.monotonic() - ended
    saw = read_json(out)
    yield from _seen(partition, saw, out.stat().st_mtime, late)
    if site.containers:
        yield from _images(saw)
    out.unlink()
    log.unlink(missing_ok=True)


def _seen(partition: str, saw: dict[str, Any], written: float, late: float) -> Iterator[Finding]:
    """Findings from what the test job saw of its node."""
    host = saw["host"]
    yield Finding(True, f"partition {partition}: a job on {host} wrote here; it was seen {late:.0f} s after its end")
    skew = abs(saw["time"] - written)
    yield Finding(skew <= MOST_SKEW, f"clocks of {host} and of the file server are {skew:.1f} s apart")
    for place, name in saw["gpu"].items():
        yield Finding(bool(name), f"PyTorch of {place} on {host} sees {name or 'no GPU; try another gres'}")
    if saw["cores"] > 1:
        text = f"a job of 1 core on {host} may use {saw['cores']}: runs_per_job beyond runs_at_once start at once"
        yield Finding(None, text)


def _images(saw: dict[str, Any]) -> Iterator[Finding]:
    """How the images that are there start on a node."""
    for image, complaint in saw["images"].items():
        yield Finding(not complaint, complaint or f"image {image} starts on {saw['host']}")
    if not saw["images"]:
        yield Finding(None, "no image is there to be started; `snakemake images` builds them before a study does")


def _state(job: str) -> str:
    """State of a job as squeue tells, empty where it is not known any more."""
    return _run("squeue", "-h", "--states=all", "-j", job, "-o", "%T").stdout.strip()


def _place(site: Site, partition: str) -> list[str]:
    """Options of sbatch: partition, account and, where training runs, the GPU."""
    place = ["-p", partition]
    place += ["-A", site.account] if site.account else []
    place += [f"--gres={site.gres}"] if site.gres and partition == site.train_partition else []
    return place


def _folder(work: Path) -> Path:
    folder = work / "results" / "slurm"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True)
