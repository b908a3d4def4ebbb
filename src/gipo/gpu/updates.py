"""MetaWorld's learner at full size: captured updates equal plain ones, and what an update takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from gipo.cuda_graph import Step
from gipo.gpu.findings import CPU, Finding, failed, gpu, passed, seconds, skipped
from gipo.learner import Learner
from gipo.rates import made_up_learner, random_index
from gipo.runs.spec import ObjectiveSpec, RunSpec

SPEC = RunSpec(task="door-open-v3", regime="stale", method="gipo", seed=0, objective=ObjectiveSpec(name="gipo"))
"""Everything else is the paper's: 2,048 transitions an update."""
COMPARED = 20
"""Updates."""
MOST_DIFFERENCE = 1e-5
"""Of a parameter: the kernels are the same, but a library may choose others while it is captured."""
MANY = 2000
"""Updates in a row."""


def check() -> Iterator[Finding]:
    """Captured against plain, one core against the GPU, and many in a row."""
    torch.set_num_threads(1)
    on_cpu = made_up_learner(SPEC, CPU)
    yield passed("update of MetaWorld's full size on one CPU core", 1e3 * _update_seconds(on_cpu), "ms")
    if (device := gpu()) is None:
        yield skipped("updates on a GPU: PyTorch sees none")
        return
    captured, plain = _learner(device), without_graphs(_learner(device))
    for _ in range(COMPARED):
        index = random_index(captured)
        captured.update(index)
        plain.update(index)
    pairs = zip(captured.model.parameters(), plain.model.parameters(), strict=True)
    difference = max(float((ours - theirs).abs().max()) for ours, theirs in pairs)
    what = f"largest difference of a parameter after {COMPARED} updates, captured and plain"
    if not difference <= MOST_DIFFERENCE:
        yield failed(f"{what}: {difference:.2g}; report it, and train with device=cpu until it is understood")
    else:
        yield passed(what, difference)
    yield passed("the same update on the GPU, captured", 1e3 * _update_seconds(captured), "ms")
    yield passed("the same update on the GPU, plain", 1e3 * _update_seconds(plain), "ms")
    before = torch.cuda.memory_allocated()
    for _ in range(MANY):
        captured.update(random_index(captured))
    captured.check()
    grown = torch.cuda.memory_allocated() - before
    if grown > 0:
        yield failed(f"{MANY} updates took {grown} bytes of GPU memory that they did not give back: report it")
    else:
        yield passed(f"{MANY} updates in a row, finite, without further memory")


def without_graphs(learner: Learner) -> Learner:
    """The same learner, whose steps are plain calls."""
    steps: list[Step[Any]] = [*learner._steps.values(), learner._look_step, learner._value_step]
    for step in steps:
        step.stream = None
    return learner


def _learner(device: torch.device) -> Learner:
    torch.manual_seed(0)
    return made_up_learner(SPEC, device)


def _update_seconds(learner: Learner) -> float:
    return seconds(lambda: learner.update(random_index(learner)), learner.replay.device)
