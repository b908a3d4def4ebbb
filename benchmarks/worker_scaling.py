"""Env steps per second of collecting, by the number of worker processes.

    python benchmarks/worker_scaling.py [out.csv]

One round of collection at the paper's settings (door-open-v3, groups of 8 environments, segments of 64 steps, the
policy's inference included), with as many groups as the largest pool has workers. 0 workers collect in the learner's
own process. All pools play the same episodes, in turn, and what they collected is compared. The ratio is that to one
worker.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

from gipo.engines.workers import Collectors, make_collectors
from gipo.envs.metaworld import ACTION_DIMENSIONS, OBSERVATION_SIZE
from gipo.models.mlp import make_model
from gipo.replay import Segments
from gipo.study import Study
from timing import in_turn, publish

CONFIG = Path(__file__).parent.parent / "workflow" / "config" / "paper.yaml"
ROUNDS = 7


def main() -> None:
    torch.set_num_threads(1)
    cores = len(os.sched_getaffinity(0))
    workers = [0, *(2**power for power in range(cores.bit_length()))]
    paper = Study.load(CONFIG).run("door-open-v3", "stale", "gipo-1-1", seed=0)
    environments = max(2, workers[-1]) * paper.replay.group_size
    run = paper.model_copy(update={"replay": paper.replay.model_copy(update={"environments": environments})})
    weights = make_model(run, OBSERVATION_SIZE, ACTION_DIMENSIONS).state_dict()
    pools = {count: make_collectors(run, Path("results/pretrained"), count) for count in workers}
    latest: dict[int, Segments] = {}

    def collect(count: int, collectors: Collectors) -> None:
        collectors.start(weights, round_number=0)
        latest[count], _ = collectors.finish()

    calls = {str(count): lambda n=count, c=collectors: collect(n, c) for count, collectors in pools.items()}
    times = in_turn(calls, ROUNDS, warm_up=1)
    for segments in latest.values():
        assert torch.equal(segments.observations, latest[0].observations)
    for collectors in pools.values():
        collectors.close()
    publish(
        [
            {
                "workers": float(count),
                "env_steps": float(run.round_steps),
                "env_steps_per_second": run.round_steps / times[str(count)].median(),
                "ratio": (times["1"] / times[str(count)]).median(),
            }
            for count in workers
        ]
    )


if __name__ == "__main__":
    main()
