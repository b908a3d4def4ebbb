"""Tasks and starts of episodes, which need no simulator."""

import itertools
import runpy

import pytest

from gipo.envs.libero import SPLIT, Start, episode_start
from gipo.envs.libero_import import package
from gipo.errors import GipoError
from gipo.suites.libero_tasks import HORIZONS, INIT_STATES, LIBERO_TASKS, evaluation_groups, libero_task

KEYS = list(itertools.product(range(3), SPLIT, range(100)))


def test_the_tasks_are_those_of_libero_in_its_order() -> None:
    pytest.importorskip("libero")
    theirs = runpy.run_path(str(package() / "benchmark" / "libero_suite_task_map.py"))["libero_task_map"]
    ours = [(name, task.suite, task.name) for name, task in LIBERO_TASKS.items()]
    assert ours == [(f"{suite}_{i}", suite, name) for suite in HORIZONS for i, name in enumerate(theirs[suite])]
    assert len(ours) == 40


@pytest.mark.parametrize(
    ("task", "horizon", "instruction"),
    [
        ("libero_spatial_2", 220, "pick up the black bowl from table center and place it on the plate"),
        ("libero_object_3", 280, "pick up the bbq sauce and place it in the basket"),
        ("libero_goal_7", 300, "turn on the stove"),
        ("libero_10_2", 520, "turn on the stove and put the moka pot on it"),
        ("libero_10_5", 520, "pick up the book and place it in the back compartment of the caddy"),
    ],
)
def test_a_task_has_the_horizon_of_its_suite_and_its_instruction(task: str, horizon: int, instruction: str) -> None:
    assert (libero_task(task).horizon, libero_task(task).instruction) == (horizon, instruction)


@pytest.mark.parametrize(
    ("name", "tasks", "episodes"), [("libero_10", 10, 100), ("libero_10", 10, 73), ("libero_goal_7", 1, 12)]
)
def test_evaluation_groups_hold_every_episode_once_and_five_of_a_task(name: str, tasks: int, episodes: int) -> None:
    groups = evaluation_groups(name, episodes)
    assert sorted(episode for group in groups for episode in group) == list(range(episodes))
    assert all(len({episode % tasks for episode in group}) == 1 for group in groups)
    assert max(map(len, groups)) == 5


def test_an_unknown_task_is_named_with_the_closest() -> None:
    with pytest.raises(GipoError, match=r"'libero_gaol_7'; did you mean 'libero_goal_7'\?"):
        libero_task("libero_gaol_7")


def test_training_and_evaluation_divide_the_initial_states() -> None:
    assert not set(SPLIT["train"]) & set(SPLIT["evaluation"])
    assert {*SPLIT["train"], *SPLIT["evaluation"]} == set(range(INIT_STATES))


def test_starts_are_stable_and_take_the_states_of_their_phase_in_turn() -> None:
    starts = {key: episode_start(*key) for key in KEYS}
    assert starts == {key: episode_start(*key) for key in KEYS}
    assert len({start.seed for start in starts.values()}) == len(KEYS)
    assert all(start.init_state in SPLIT[phase] for (_, phase, _), start in starts.items())
    assert [starts[0, "evaluation", episode].init_state for episode in (0, 9, 10)] == [40, 49, 40]
    assert episode_start(7, "train", 11) == Start(11, 1936416012)
