"""The site file: all that the profile of a new cluster is told."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gipo import scale
from gipo.config import Label, NonNegativeInt, PositiveInt, Section
from gipo.errors import GipoError
from gipo.scale import Scale

SCALE_OF_SITE = "GIPO_SCALE_OF_SITE"
"""Environment variable by which the profile hands `Site.scale` to the workflow here and in jobs. A config key of the
profile would not do: Snakemake drops all of those where ``--config`` stands on the command line."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.][A-Za-z0-9_.,-]*$", max_length=100)]
Cores = Annotated[PositiveInt, Field(le=1024)]


class Site(Section):
    """A cluster, and how training runs share its jobs."""

    scale: Label = "full"
    """Scale that `snakemake --profile slurm` runs; another one by ``--config scale=...``."""
    account: Name | None = None
    """Account that jobs are charged to (sbatch -A); null: your own default."""
    cpu_partition: Name
    """Where everything but training runs."""
    train_partition: Name
    """Where training runs."""
    gres: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.:-]*$", max_length=100)] | None = None
    """Devices that a training job asks for beside CPUs, e.g. ``gpu:h200:1``."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where a training run learns."""
    containers: bool = False
    """Whether jobs run in Apptainer images, which are built when Snakemake starts."""
    max_minutes: Annotated[PositiveInt, Field(le=10**6)] = 2880
    """Longest time limit that train_partition accepts."""
    cores_per_run: Cores = 3
    """One learns, the others collect meanwhile."""
    runs_at_once: Cores = 4
    """Runs side by side in one job; they share its GPU."""
    runs_per_job: Annotated[PositiveInt, Field(le=10**4)] = 8
    """Runs in one job, those beyond runs_at_once after the others."""
    jobs: Annotated[PositiveInt, Field(le=10**5)] = 100
    """Jobs in the queue at most."""
    checkpoint_seconds: Annotated[NonNegativeInt, Field(le=10**6)] = 600
    """Between two checkpoints of a run, and so the most that a lost job costs."""
    retries: Annotated[NonNegativeInt, Field(le=100)] = 3
    """Attempts after the first; each asks for that much more time and memory, and goes on from the checkpoints."""
    poll_seconds: Annotated[PositiveInt, Field(le=86_400)] = 40
    """From a submission to the first look at the queue."""

    @model_validator(mode="after")
    def _a_run_has_time(self) -> Self:
        if not self.longest_run:
            turns = f"runs_per_job / runs_at_once = {self.runs_per_job} / {self.runs_at_once}"
            raise ValueError(f"no minute is left for a run: max_minutes = {self.max_minutes}, {turns}")
        return self

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a site file.

        Raises:
            GipoError: it is missing (the message says what writes one) or wrong, or names a scale that there is not.
        """
        if not path.exists():
            raise GipoError(f"{path} is missing; `make slurm` writes one to be edited")
        site = super().load(path)
        try:
            scale.config(site.scale)
        except GipoError as error:
            raise GipoError(f"{path}: scale: {error}") from error
        return site

    @classmethod
    def here(cls, checkout: Path) -> Self | None:
        """The site whose profile Snakemake was given; None where it runs jobs on this machine.

        Raises:
            GipoError: as of `load`.
        """
        on_slurm = "GIPO_RUNS_AT_ONCE" in os.environ  # set by profiles/slurm/profile.yaml
        return cls.load(checkout / "profiles" / "slurm" / "site.yaml") if on_slurm else None

    def studies(self) -> Scale:
        """The scale that it runs."""
        return Scale.load(scale.config(self.scale))

    @property
    def longest_run(self) -> int:
        """Minutes that one run may ask for, so that a whole job fits into max_minutes."""
        return self.max_minutes // math.ceil(self.runs_per_job / self.runs_at_once)
