"""The model of the engine in cases that can be worked out by hand."""

from dataclasses import replace
from pathlib import Path

import pytest

from checkout import ROOT
from gipo.cluster.engine_model import CHUNK, Engine, Times, between, update_seconds
from gipo.runs.spec import RunSpec
from gipo.study import Study

STUDY = Study.load(Path(ROOT, "workflow", "config", "libero.yaml"))
NO_TIME = {1: 0.0, 8: 0.0}
QUICK = Times(step=1e-3, reset=0.0, build=0.0, inference=NO_TIME, learning={4: 1e-3, 12: 3e-3})


def run(regime: str = "fresh", **asynchronous: float) -> RunSpec:
    """A run of scale libero without evaluation."""
    spec = STUDY.run("libero_goal", regime, "sapo", 0)
    waiting = spec.asynchronous.model_copy(update=asynchronous)
    rare = spec.evaluation.model_copy(update={"every": 10**9})
    return spec.model_copy(update={"asynchronous": waiting, "evaluation": rare})


def with_actors(actors: int, **asynchronous: float) -> RunSpec:
    """The same with a regime of so many actors, which nobody paces."""
    spec = run(**asynchronous)
    replay = spec.replay.model_copy(update={"environments": actors, "lifetime": None, "warmup_steps": 0})
    return spec.model_copy(update={"replay": replay})


@pytest.mark.parametrize("regime", ["fresh", "stale"])
def test_a_slow_learner_sets_the_pace(regime: str):
    slow = replace(QUICK, learning={4: 2.0, 12: 6.0})  # 252 transitions on six GPUs: half a second each
    found = Engine(run(regime), slow, gpus=8).outcome()
    assert update_seconds(run(regime), slow, gpus=8) == pytest.approx(42 / 2)
    assert found.updates_per_second == pytest.approx(1 / 21, rel=0.01)
    assert found.busy["learner"] == pytest.approx(1, abs=0.01)
    assert found.hours == pytest.approx(30_000 * 21 / 3600, rel=0.02)
    lifetime = {"fresh": 0.0855, "stale": 0.874}[regime]
    assert found.lifetime == pytest.approx(lifetime, rel=0.01)
    assert found.env_steps_per_second == pytest.approx(CHUNK * 64_000 / (lifetime * 30_000) / 21, rel=0.15)


@pytest.mark.parametrize("actors", [3, 10])
def test_simulators_alone_set_the_pace_where_nothing_else_takes_time(actors: int):
    found = Engine(with_actors(actors, inference_batch=1), QUICK, gpus=8).outcome()
    assert found.env_steps_per_second == pytest.approx(actors / QUICK.step, rel=0.02)
    assert found.busy["simulators"] == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("most", "served"), [(2, 2), (8, 5)])  # of ten: while five are served, five step
def test_an_inference_that_limits_serves_whoever_waits_up_to_a_number(most: int, served: int):
    slow = replace(QUICK, inference={1: 1.0, 8: 1.0}, step=1e-6)
    found = Engine(with_actors(10, inference_batch=most), slow, 8).outcome()
    assert found.env_steps_per_second == pytest.approx(served * CHUNK, rel=0.05)


def test_on_one_gpu_all_take_turns():
    busy = Engine(run(), Times(), gpus=1).outcome().busy
    assert busy["inference"] + busy["learner"] + busy["evaluator"] <= 1.001


@pytest.mark.parametrize(
    ("simulators", "expected"), [(1, 38.0), (4, 11.4), (10, 7.6)], ids=["one by one", "three turns", "its GPU limits"]
)
def test_in_the_long_run_the_learner_waits_for_the_evaluator(simulators: int, expected: float):
    spec = run("stale")
    often = spec.model_copy(update={"evaluation": spec.evaluation.model_copy(update={"every": 100, "episodes": 10})})
    times = replace(QUICK, step=0.01, inference={1: 0.02, 8: 0.02})
    engine = Engine(often, times, gpus=8)
    engine.evaluation_simulators = simulators  # 300 steps of libero_goal are 38 chunks of 0.02 and 8 x 0.01 s
    assert engine.evaluation_seconds() == pytest.approx(expected, rel=0.03)
    assert engine.outcome().hours * 3600 / 30_000 == pytest.approx(expected / 100, rel=0.03)


def test_a_scene_is_built_for_every_fifth_episode():
    engine = Engine(STUDY.run("libero_goal", "fresh", "sapo", 0), Times(0.0, 0.0, 7.0, NO_TIME), gpus=8)
    assert engine.evaluation_seconds() == pytest.approx(7 * 100 / 5 / engine.evaluation_simulators)


def test_more_gpus_are_never_slower():
    hours = [Engine(run(), Times(), gpus).outcome().hours for gpus in (1, 4, 8)]
    assert hours == sorted(hours, reverse=True)


@pytest.mark.parametrize(("size", "expected"), [(4, 1.0), (8, 2.0), (12, 3.0), (16, 7.0), (20, 11.0), (2, 0.5)])
def test_sizes_that_were_not_measured_lie_on_a_line(size: float, expected: float):
    assert between({4: 1.0, 12: 3.0, 14: 5.0}, size) == pytest.approx(expected)
