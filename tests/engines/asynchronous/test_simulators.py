"""The evaluator's simulators: how many there are changes nothing, and none outlives the evaluator."""

import os
import signal
import time
from contextlib import nullcontext
from multiprocessing import active_children, get_context
from pathlib import Path

import pytest
import torch

from asynchronous_study import make_spec
from gipo.engines.asynchronous.evaluator import EvaluatorProcess
from gipo.engines.asynchronous.processes import Process
from gipo.engines.asynchronous.simulators import SimulatorLostError, Simulators
from gipo.engines.suites import make_suite
from gipo.engines.workers import LocalCollectors
from gipo.errors import GipoError
from gipo.models.mlp import make_model
from gipo.runs.spec import RunSpec

NOWHERE = Path("models-that-a-small-network-needs-not")


def weights(spec):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make_model(spec, 39, 4).state_dict()


def actor_of(spec):
    actor = make_suite(spec, NOWHERE).make_actor(torch.device("cpu"))
    actor.load(weights(spec))
    return actor


@pytest.mark.slow
def test_episodes_are_those_of_lockstep_however_many_are_played_at_once():
    spec = make_spec(evaluation={"episodes": 5, "action": "sampled"})
    expected = LocalCollectors(spec, NOWHERE).evaluate(weights(spec), 100)
    assert [row["episode"] for row in expected] == [0, 1, 2, 3, 4]
    assert len({row["return"] for row in expected}) == 5
    actor, calls = actor_of(spec), []
    for count in (1, 3):
        simulators = Simulators(spec, NOWHERE, count)
        assert simulators.evaluate(actor, 100, lambda: calls.append(None)) == expected
        assert len(simulators.connections) == count
    asked = 3 * spec.environment.episode_steps  # of three groups
    assert len(calls) == 2 * (asked + 3)


def test_one_that_died_is_told_at_the_next_evaluation():
    spec = make_spec(evaluation={"episodes": 1})
    before = set(active_children())
    simulators = Simulators(spec, NOWHERE, 1)
    [child] = set(active_children()) - before
    child.kill()
    child.join()
    with pytest.raises(SimulatorLostError, match=spec.run_id):
        simulators.evaluate(actor_of(spec), 0, lambda: None)


@pytest.mark.slow
def test_one_that_fails_says_why():
    spec = make_spec(evaluation={"episodes": 1}).model_copy(update={"task": "no-such-task-v3"})
    with pytest.raises(GipoError, match="no-such-task-v3"):
        Simulators(spec, NOWHERE, 1).evaluate(actor_of(spec), 0, lambda: None)


@pytest.mark.slow
def test_an_evaluation_is_alive_from_action_to_action(tmp_path, monkeypatch):
    spec = make_spec(evaluation={"episodes": 1})
    evaluator = EvaluatorProcess(spec, tmp_path, NOWHERE, "cpu", 1, Process(tmp_path, "evaluator", 1))
    evaluator.actor.load(weights(spec))
    renewed = []
    monkeypatch.setattr(evaluator.heartbeat, "renew", lambda doing, *_: renewed.append(doing))
    monkeypatch.setattr(evaluator.heartbeat, "watch", lambda doing: nullcontext())
    evaluator._evaluate(0)
    assert renewed == ["the evaluation at update 0"] * (spec.environment.episode_steps + 1)


def evaluate_and_live_on(spec: RunSpec, pids):
    simulators = Simulators(spec, NOWHERE, 1)
    simulators.evaluate(actor_of(spec), 0, lambda: None)
    pids.put(active_children()[0].pid)
    time.sleep(600)


@pytest.mark.slow
def test_one_that_hangs_ends_with_its_evaluator():
    context = get_context("spawn")
    pids = context.Queue()
    evaluator = context.Process(target=evaluate_and_live_on, args=(make_spec(evaluation={"episodes": 1}), pids))
    evaluator.start()
    simulator = pids.get(timeout=300)
    os.kill(simulator, signal.SIGSTOP)
    evaluator.kill()
    evaluator.join()
    end = time.monotonic() + 30
    while Path(f"/proc/{simulator}").exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert not Path(f"/proc/{simulator}").exists()
