"""A LIBERO run on GPUs by the model of the engine: hours, lag, and who waits.

    python benchmarks/engine_model.py [out.csv]

Nothing here is measured: `gipo.cluster.engine_model` simulates the engine event by event, with the times that its parts
took on one H200 and on one core to each simulator (openvla_speed.csv, libero_speed.csv). A row is scale `libero` with
one suite, regime and number of GPUs, as it is or with one thing changed:

- split: each micro-batch is a pass of its own, split over the learner's GPUs, as before passes were put together;
- one by one: the evaluator plays one episode at a time.
"""

from __future__ import annotations

from pathlib import Path

from gipo.cluster.engine_model import Engine, Times, between
from gipo.cluster.requests import learners
from gipo.runs.spec import RunSpec
from gipo.study import Study
from timing import publish

STUDY = Study.load(Path(__file__).parents[1] / "workflow" / "config" / "libero.yaml")


def row(run: RunSpec, gpus: int, changed: str) -> dict[str, object]:
    engine = Engine(run, Times(), gpus)
    if changed == "split":
        share = run.learner.batch_size / learners(run, gpus)
        engine.update_seconds = run.learner.accumulation * between(engine.times.learning, share)
    if changed == "one by one":
        engine.evaluation_simulators = 1
    found = engine.outcome()
    return {
        "suite": run.task,
        "regime": run.regime,
        "gpus": gpus,
        "changed": changed,
        "update_seconds": engine.update_seconds,
        "hours": found.hours,
        "env_steps_per_second": found.env_steps_per_second,
        "version_gap": found.version_gap,
        **{f"busy_{name}": share for name, share in found.busy.items()},
    }


def main() -> None:
    rows = []
    for suite in STUDY.tasks:
        for regime in STUDY.regimes:
            run = STUDY.run(suite, regime, "ppo-clip", 0)
            rows += [row(run, gpus, "nothing") for gpus in (1, 4, 8)]
            rows += [row(run, 8, changed) for changed in ("split", "one by one")]
    publish(rows)


if __name__ == "__main__":
    main()
