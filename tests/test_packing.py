"""Runs on a node, against bounds that no way can beat and cases that can be worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gipo.packing import Node, Work, best

SECONDS = st.floats(1, 1e5)
WORK = st.builds(Work, SECONDS, SECONDS, st.booleans(), st.integers(1, 32))


@given(WORK, st.integers(1, 500), st.integers(1, 96), st.integers(0, 8))
def test_no_way_beats_what_cores_and_gpus_can_do(work: Work, runs: int, cores: int, gpus: int):
    found = best(work, runs, Node(cores, gpus))
    assert found.at_once * (found.workers + 1) <= cores
    assert found.workers <= work.environments
    seconds = 3600 * found.hours * (1 + 1e-9)
    if gpus:
        assert seconds >= runs * work.learning / gpus
        assert seconds >= runs * work.acting / cores
    else:
        assert seconds >= runs * (work.acting + work.learning) / cores / (1 if not found.workers else 2)


@given(WORK, st.integers(1, 500), st.integers(1, 95), st.integers(0, 8))
def test_a_core_more_never_costs_time(work: Work, runs: int, cores: int, gpus: int):
    assert best(work, runs, Node(cores + 1, gpus)).hours <= best(work, runs, Node(cores, gpus)).hours


def test_many_runs_on_cores_alone_take_one_core_each():
    found = best(Work(3000, 1000, True, 16), 160, Node(16))
    assert (found.at_once, found.workers) == (16, 0)
    assert found.hours == pytest.approx(10 * 4000 / 3600)


def test_a_single_run_gets_workers_until_learning_alone_is_left():
    found = best(Work(3000, 1000, True, 16), 1, Node(16))
    assert (found.at_once, found.workers) == (1, 3)
    assert found.hours == pytest.approx(1000 / 3600)


def test_rounds_in_turn_gain_from_every_worker():
    found = best(Work(3000, 1000, False, 4), 1, Node(16))
    assert found.workers == 4
    assert found.hours == pytest.approx((750 + 1000) / 3600)


def test_runs_that_mostly_act_share_a_gpu():
    found = best(Work(5000, 100, True, 16), 960, Node(96, 8))
    assert (found.at_once, found.workers) == (96, 0)
    assert found.hours == pytest.approx(10 * 5100 / 3600)


def test_runs_that_mostly_learn_wait_for_their_gpu():
    found = best(Work(100, 1000, True, 16), 80, Node(96, 8))
    assert found.hours == pytest.approx(10 * 1000 / 3600)
