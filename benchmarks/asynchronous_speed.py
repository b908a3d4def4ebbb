"""The asynchronous engine against the same work one thing after the other, on the same machine.

    python benchmarks/asynchronous_speed.py [out.csv]

The work: LIBERO with both simulators drawing, a tiny OpenVLA-OFT that acts in chunks of 8 steps, and an update of 8
transitions for every 4 chunks. One after the other: the engine's own parts in one process with two threads, each called
when the one before is done. Both are given a short and a long job; what the long one takes more is the cost of work
alone, without starting processes and building scenes, which is start_seconds.

- sequential_updates_per_second, asynchronous_updates_per_second, ratio: in the difference of the two jobs;
- lag: mean version gap of the transitions that the asynchronous learner used, in updates.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from gipo.engines.asynchronous import supervisor
from gipo.engines.asynchronous.inference import Acts
from gipo.engines.asynchronous.learner import make_learner
from gipo.engines.asynchronous.processes import Process
from gipo.engines.asynchronous.ranks import Ranks
from gipo.engines.asynchronous.replay import ReplayServer
from gipo.engines.asynchronous.rollout import Rollout
from gipo.engines.suites import Actor, make_suite
from gipo.models.openvla_oft.tiny import write_tiny
from gipo.runs.spec import RunSpec
from gipo.runs.streams import Stream
from timing import publish

SHORT, LONG = 10, 40  # updates
THREADS = 2
CPU = torch.device("cpu")


def job(updates: int) -> RunSpec:
    """Two environments, four chunks per update, evaluated on one episode before and after."""
    lifetime = 0.5
    chunks_per_update = 4
    return RunSpec.model_validate(
        {
            "suite": "libero",
            "task": "libero_spatial_0",
            "regime": "equal",
            "method": "gipo-0.5-0.5",
            "seed": 0,
            "objective": {"name": "gipo", "parameters": {"sigma_pos": 0.5, "sigma_neg": 0.5}},
            "openvla": {"repository": "tiny", "revision": "random", "rank": 4},
            "replay": {
                "capacity": int(lifetime * updates * chunks_per_update),
                "lifetime": lifetime,
                "segment_length": 4,
                "environments": 2,
                "group_size": 1,
                "warmup_steps": 8,
            },
            "learner": {"updates": updates, "batch_size": 8, "accumulation": 1, "warmup_updates": 1, "policy_start": 0},
            "evaluation": {"every": updates, "episodes": 1},
            "diagnostics": {"every": 1},
            "asynchronous": {"inference_batch": 2},
        }
    )


class InProcess:
    """The inference, for a rollout worker of the same process."""

    def __init__(self, spec: RunSpec, actor: Actor, dimensions: int) -> None:
        self.actor, self.dimensions = actor, dimensions
        self.random = spec.generator(Stream.ACTIONS)
        self.version = 0

    def ask(self, method: str, observations: Any) -> Acts:
        """Act on observations."""
        uniforms = self.random.random((len(observations), self.dimensions), dtype="float32")
        return Acts(*self.actor.act(observations, uniforms), self.version)


def one_after_the_other(spec: RunSpec, pretrained: Path, scratch: Path) -> None:
    """Collect, store, sample, update, in turn."""
    suite = make_suite(spec, pretrained)
    staging, learner = make_learner(spec, "cpu", pretrained, Ranks(0, 1, scratch / "meeting"))
    inference = InProcess(spec, suite.make_actor(CPU), suite.action_dimensions)
    together = spec.model_copy(update={"replay": spec.replay.model_copy(update={"group_size": 2})})
    rollout = Rollout(together, pretrained, 0, 120.0, Process(scratch / "processes", "rollout-0", 0))
    rollout.inference = inference
    replay = ReplayServer(spec, pretrained, scratch / "replay", Process(scratch / "processes", "replay", 0))
    torch.set_num_threads(THREADS)
    episodes = range(spec.evaluation.episodes)

    async def work() -> None:
        inference.actor.load(learner.weights())
        suite.evaluate(inference.actor, 0, episodes)
        rollout.begin()
        while learner.updates < spec.learner.updates:
            rollout.segments += 1
            await replay.append(rollout.collect(), rollout.episodes, (0, 0, rollout.segments))
            while learner.updates < min(replay._due(), spec.learner.updates):
                batch = await replay.sample(learner.updates, 1)
                batch.pop("env_steps")
                staging.fill(batch)
                learner.metrics(*learner.update(staging.index))
            inference.actor.load(learner.weights())
            inference.version = learner.updates
        suite.evaluate(inference.actor, learner.updates, episodes)

    asyncio.run(work())


def asynchronously(spec: RunSpec, pretrained: Path, path: Path) -> None:
    """The engine."""
    supervisor.train(spec, path, pretrained=pretrained, tell=lambda line: None)


def seconds(work: Callable[[RunSpec, Path, Path], None], *arguments: Any) -> float:
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        write_tiny(root / "tiny" / "random")
        times: dict[tuple[str, int], float] = {}
        for updates in (SHORT, LONG):
            spec = job(updates)
            times["sequential", updates] = seconds(one_after_the_other, spec, root, root / f"sequential-{updates}")
            times["asynchronous", updates] = seconds(asynchronously, spec, root, root / f"run-{updates}")
        gap = pd.read_parquet(root / f"run-{LONG}" / "metrics.parquet")["gap_mean"].mean()
    rate = {how: (LONG - SHORT) / (times[how, LONG] - times[how, SHORT]) for how, _ in times}
    start = {how: times[how, SHORT] - SHORT / rate[how] for how in rate}
    publish(
        [
            {f"{how}_updates_per_second": value for how, value in rate.items()}
            | {"ratio": rate["asynchronous"] / rate["sequential"], "lag": gap}
            | {f"{how}_start_seconds": value for how, value in start.items()}
        ]
    )


if __name__ == "__main__":
    main()
