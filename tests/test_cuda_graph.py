"""A step on a CPU is a call; on a GPU the captured learner does what the plain one does, without waiting for it."""

import copy

import pytest
import torch

from gipo.cuda_graph import Step
from gipo.learner import Learner
from gipo.replay import Replay
from test_learner import D, O, make_learner, make_segments, make_spec

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def test_on_a_cpu_every_call_runs_the_function():
    calls = []
    step = Step(lambda: calls.append(None) or len(calls), torch.device("cpu"))
    assert [step() for _ in range(6)] == [1, 2, 3, 4, 5, 6]


def on_gpu(spec) -> Learner:
    learner = Learner(spec, Replay(128, 16, O, D, device="cuda"))
    segments = make_segments().to(learner.replay.device)
    learner.replay.append(segments, *learner.targets(segments), version=0)
    return learner


@needs_gpu
def test_captured_updates_equal_those_on_the_cpu():
    spec = make_spec(policy_learning_rate=1e-3, value_learning_rate=1e-3, policy_start=6, policy_every=2)
    gpu, cpu = on_gpu(spec), make_learner(spec)
    generator = torch.Generator().manual_seed(2)
    for _ in range(30):
        index = torch.randint(0, len(cpu.replay), (2, 32), generator=generator)
        (losses, norms), (cpu_losses, cpu_norms) = gpu.update(index.cuda()), cpu.update(index)
        for name, norm in norms.items():
            torch.testing.assert_close(norm.cpu(), cpu_norms[name], rtol=1e-2, atol=1e-4)
        if losses is not None:
            row, cpu_row = gpu.metrics(losses, norms).cpu(), cpu.metrics(cpu_losses, cpu_norms)
            torch.testing.assert_close(row, cpu_row, rtol=1e-2, atol=1e-4, equal_nan=True)
    for step in (gpu._steps[True], gpu._look_step, gpu._value_step):
        assert step.graph is not None
    for ours, theirs in zip(gpu.model.parameters(), cpu.model.parameters(), strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-3, atol=1e-5)
    gpu.check()


@needs_gpu
def test_an_update_never_waits_for_the_device():
    learner = on_gpu(make_spec())
    index = torch.arange(64, device="cuda").view(2, 32)
    for _ in range(Step.PLAIN_CALLS + 1):
        learner.update(index)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(10):
            learner.update(index)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@needs_gpu
def test_a_captured_learner_reports_the_update_that_failed_and_restores():
    learner = on_gpu(make_spec())
    index = torch.arange(64, device="cuda").view(2, 32)
    for _ in range(5):
        learner.update(index)
    state = copy.deepcopy(learner.state())
    restored = on_gpu(make_spec())
    restored.load_state(state)
    for one in (learner, restored):
        one.update(index)
    torch.testing.assert_close(learner.policy.vector, restored.policy.vector)
    learner.replay.targets[0, 5] = float("nan")
    learner.update(index)
    learner.update(index)
    assert learner.health.failure()[:2] == (6, "loss_value")
