"""LIBERO: four suites of ten tasks each, seen as camera frames and told in words."""

from gipo.suites import Suite
from gipo.suites.libero_tasks import HORIZONS, LIBERO_TASKS

SUITE = Suite(
    name="libero",
    title="LIBERO",
    tasks=(*HORIZONS, *LIBERO_TASKS),
    score="success",
    answers=("libero-steps", "libero-stale-gipo-over-sapo"),
    figures=("fig3", "success"),
    policies=("openvla", "states"),
    train_rule="train_libero",
    prepared_by=("libero_assets",),
    lockstep=False,
    time_limits=HORIZONS | {name: task.horizon for name, task in LIBERO_TASKS.items()},
    task_titles={
        "libero_spatial": "LIBERO-Spatial",
        "libero_object": "LIBERO-Object",
        "libero_goal": "LIBERO-Goal",
        "libero_10": "LIBERO-Long",
    },
)
