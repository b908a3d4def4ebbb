import itertools
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import metaworld
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from scipy.spatial.transform import Rotation as ScipyRotation

from gipo.envs.baselines import measure
from gipo.envs.metaworld import MetaWorldEnv, expert
from gipo.envs.sawyer import GOAL_SEED, Rotation, fast_class, goals, light_model, norm
from gipo.errors import GipoError
from gipo.runs.streams import episode_seed
from gipo.suites.metaworld import METAWORLD_TASKS

pytestmark = [
    pytest.mark.filterwarnings("ignore:Constant"),  # of the scripted policies
    pytest.mark.filterwarnings(
        "ignore::UserWarning:gymnasium"
    ),  # of gymnasium's checkers about metaworld and infinite bounds
]

TASK = "door-open-v3"
CANDIDATES = (
    *("sweep-into-v3", "drawer-open-v3", "door-open-v3", "button-press-topdown-v3", "handle-press-v3"),
    *("push-v3", "peg-insert-side-v3", "pick-place-v3", "plate-slide-v3", "coffee-button-v3"),
)
candidates = pytest.mark.parametrize(
    "task", [task if task in (TASK, "push-v3") else pytest.param(task, marks=pytest.mark.slow) for task in CANDIDATES]
)

REMOTE = """
import sys
from gipo.envs.metaworld import MetaWorldEnv
from gipo.runs.streams import episode_seed
environment = MetaWorldEnv(sys.argv[1])
for episode in map(int, sys.argv[2:]):
    observation, _ = environment.reset(seed=episode_seed(3, "train", episode))
    print(episode, observation.tobytes().hex())
"""


def uniform_tokens(seed: int, steps: int, bins: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(bins, size=(steps, 4))


def play(environment: MetaWorldEnv, seed: int, tokens: np.ndarray) -> list[Any]:
    """First observation, then observation, reward and info of each step; observations as bytes."""
    trace: list[Any] = [environment.reset(seed=seed)[0].tobytes()]
    for token in tokens:
        observation, reward, _, _, info = environment.step(token)
        trace.append((observation.tobytes(), reward, info))
    return trace


def play_remotely(task: str, *episodes: int) -> dict[str, str]:
    command = [sys.executable, "-c", REMOTE, task, *map(str, episodes)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return dict(line.split() for line in output.splitlines())


def plain_environment(task: str) -> gymnasium.Env[Any, Any]:
    return gymnasium.make("Meta-World/MT1", env_name=task, seed=GOAL_SEED)


@pytest.mark.parametrize("value", ["osmesa", "egl", "glfw", "none at all"])
def test_how_the_machine_draws_does_not_matter(value: str, tmp_path: Path) -> None:
    """Also where no OpenGL can be loaded, and other libraries still find the variable as it was."""
    (tmp_path / "OpenGL").mkdir()
    (tmp_path / "OpenGL" / "__init__.py").write_text("raise ImportError('nothing draws here')")
    packages = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"MUJOCO_GL": value, "PYTHONPATH": packages}
    code = "from gipo.envs.metaworld import MetaWorldEnv; import os; print(os.environ['MUJOCO_GL'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (0, f"{value}\n"), done.stderr


# Names


def test_the_tasks_are_those_of_metaworld() -> None:
    assert set(METAWORLD_TASKS) == set(ALL_V3_ENVIRONMENTS)
    assert len(METAWORLD_TASKS) == len(ALL_V3_ENVIRONMENTS)


def test_an_unknown_task_is_named_with_close_ones() -> None:
    with pytest.raises(GipoError, match=r"'door-opne-v3'.*door-open-v3"):
        MetaWorldEnv("door-opne-v3")


# Seeds


def test_episode_seeds_are_stable_and_distinct() -> None:
    keys = list(itertools.product(range(5), ("train", "evaluation", "baseline"), range(50)))
    assert len({episode_seed(*key) for key in keys}) == len(keys)
    by_numpy = np.random.SeedSequence(7, spawn_key=(1, 11)).generate_state(1, np.uint64)[0]
    assert episode_seed(7, "evaluation", 11) == by_numpy


@pytest.mark.slow
def test_a_seed_gives_the_same_first_observation_in_two_processes_and_in_any_order() -> None:
    forwards, backwards = play_remotely(TASK, 0, 1, 2, 3), play_remotely(TASK, 3, 2, 1, 0)
    assert forwards == backwards
    here = MetaWorldEnv(TASK).reset(seed=episode_seed(3, "train", 2))[0]
    assert forwards["2"] == here.tobytes().hex()
    assert len(set(forwards.values())) > 1


def test_goals_are_those_of_mt1() -> None:
    task = "push-v3"
    environment = MetaWorldEnv(task)
    seen = {environment.reset(seed=seed)[0][36:38].tobytes() for seed in range(30)}
    vectors = [pickle.loads(goal.data)["rand_vec"] for goal in metaworld.MT1(task, seed=GOAL_SEED).train_tasks]
    assert len(vectors) == 50
    assert seen <= {vector[3:5].tobytes() for vector in vectors}
    assert len(seen) > 10


def test_a_reset_without_a_seed_continues_the_stream_of_the_last_seed() -> None:
    def episodes(environment: MetaWorldEnv) -> list[bytes]:
        return [environment.reset(seed=seed)[0].tobytes() for seed in (5, None, None, None)]

    assert episodes(MetaWorldEnv(TASK)) == episodes(MetaWorldEnv(TASK))
    assert len(set(episodes(MetaWorldEnv(TASK)))) > 1


@candidates
def test_an_episode_does_not_depend_on_what_the_object_played_before(task: str) -> None:
    """Hence a snapshot is the episode's seed and its tokens so far."""
    used, tokens = MetaWorldEnv(task), uniform_tokens(0, 500)
    play(used, 1, uniform_tokens(1, 137))
    act = expert(task)
    observation, _ = used.reset(seed=2)
    for _ in range(150):  # leaves the objects moved and in contact
        observation, *_ = used.step_continuous(act(observation.copy()))
    assert play(used, 3, tokens) == play(MetaWorldEnv(task), 3, tokens)


# Equality with MetaWorld


def assert_equal_episodes(task: str, steps: int) -> None:
    """One random and one noisy expert episode, on the same goals and actions as plain ``gym.make``.

    Observations may differ by a quaternion's rounding; rewards, success and the simulator's state may not differ.
    """
    plain, fast = plain_environment(task), fast_class(task)()
    numbered = {pickle.loads(goal.data)["rand_vec"].tobytes(): goal for goal in goals(task)}
    act, generator = expert(task), np.random.default_rng(0)
    for skill in (0.0, 1.0):
        theirs, _ = plain.reset()
        goal = numbered[plain.unwrapped._last_rand_vec.tobytes()]
        for other in (goal, *list(numbered.values())[:3]):  # so that below the episode begins from a remembered start
            fast.begin(other)
            fast.advance(generator.uniform(-1, 1, 4))
        ours = fast.begin(goal)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
        for _ in range(steps):
            action = np.clip(skill * act(theirs.copy()) + (1 - 0.9 * skill) * generator.uniform(-1, 1, 4), -1, 1)
            theirs, their_reward, _, _, info = plain.step(action)
            ours, reward, success = fast.advance(action)
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
            assert (reward, success) == (their_reward, info["success"] == 1.0)
        for name in ("time", "qpos", "qvel", "qacc_warmstart", "mocap_pos", "mocap_quat", "ctrl"):
            np.testing.assert_array_equal(getattr(fast.data, name), getattr(plain.unwrapped.data, name), name)


@candidates
def test_observations_rewards_and_success_equal_metaworlds(task: str) -> None:
    assert_equal_episodes(task, 500)


@pytest.mark.slow
@pytest.mark.parametrize("task", sorted(set(METAWORLD_TASKS) - set(CANDIDATES)))
def test_observations_rewards_and_success_equal_metaworlds_on_all_other_tasks(task: str) -> None:
    assert_equal_episodes(task, 25)


@pytest.mark.slow
def test_the_light_model_differs_from_the_full_one_in_nothing_but_geoms_and_meshes() -> None:
    physics = ("qpos", "body_", "jnt_", "dof_", "site_", "eq_", "actuator_", "tendon_", "wrap_", "pair_", "exclude_")
    of_geoms = ("body_geom", "body_bvh", "body_con")
    for path in {fast_class(task).model_name.fget(fast_class(task)) for task in METAWORLD_TASKS}:
        full, light = mujoco.MjModel.from_xml_path(path), light_model(path)
        assert light.nbvh < 0.5 * full.nbvh
        for name in dir(full):
            if name.startswith(physics) and not name.startswith(of_geoms):
                np.testing.assert_array_equal(getattr(light, name), getattr(full, name), f"{path}: {name}")
        for name in (full.geom(i).name for i in range(full.ngeom)):
            assert not name or light.geom(name)


@pytest.mark.parametrize("value", [0.3, np.float64(-0.1), np.array([0.1, -0.7, 0.2]), np.eye(3), np.zeros(0), 2])
def test_norm_is_numpys(value: Any) -> None:
    assert norm(value) == np.linalg.norm(value)
    slices = np.random.default_rng(0).normal(size=(200, 6))
    assert [norm(row[::2]) for row in slices] == [np.linalg.norm(row[::2]) for row in slices]


def test_quaternions_have_scipys_sign_also_where_two_choices_tie() -> None:
    axis_aligned = [
        np.eye(3)[list(order)] * signs
        for order in itertools.permutations(range(3))
        for signs in itertools.product((1.0, -1.0), repeat=3)
    ]
    matrices = [matrix for matrix in axis_aligned if np.linalg.det(matrix) > 0]
    matrices += list(ScipyRotation.random(500, rng=np.random.default_rng(0)).as_matrix())
    for matrix in matrices:
        expected = ScipyRotation.from_matrix(matrix).as_quat()
        np.testing.assert_allclose(Rotation.from_matrix(matrix).as_quat(), expected, rtol=0, atol=1e-12)


# The gymnasium API


@pytest.mark.parametrize("task", [TASK, "button-press-topdown-v3"])
def test_gymnasiums_checker_passes(task: str) -> None:
    check_env(MetaWorldEnv(task), skip_render_check=True)


@pytest.mark.parametrize("kind", [np.uint8, np.int64, list])
@pytest.mark.parametrize("bins", [2, 256])
def test_tokens_are_spread_evenly_over_the_actions(bins: int, kind: Any) -> None:
    by_token, by_action = MetaWorldEnv(TASK, bins=bins), MetaWorldEnv(TASK)
    by_token.reset(seed=0)
    by_action.reset(seed=0)
    for tokens in ([0, bins - 1, bins // 2, 1], [bins - 1] * 4):
        action = np.array([-1 + 2 * token / (bins - 1) for token in tokens])
        ours = by_token.step(list(tokens) if kind is list else np.array(tokens, dtype=kind))
        theirs = by_action.step_continuous(action)
        np.testing.assert_array_equal(ours[0], theirs[0])
        assert ours[1:] == theirs[1:]


def test_an_episode_is_truncated_at_its_length_and_never_terminated() -> None:
    environment = MetaWorldEnv("drawer-open-v3", episode_steps=150)
    act = expert("drawer-open-v3")
    observation, _ = environment.reset(seed=0)
    ends, successes = [], []
    for _ in range(150):
        observation, _, terminated, truncated, info = environment.step_continuous(act(observation.copy()))
        ends.append((terminated, truncated))
        successes.append(info["success"])
    assert ends == [(False, False)] * 149 + [(False, True)]
    assert any(successes)


def test_success_any_remembers_and_success_last_does_not() -> None:
    environment = MetaWorldEnv("reach-v3")
    act = expert("reach-v3")
    observation, _ = environment.reset(seed=0)
    infos = []
    for step in range(250):
        action = act(observation.copy()) if step < 120 else np.array([0.0, 0.0, 1.0, 0.0])  # reach, then leave
        observation, *_, info = environment.step_continuous(action)
        infos.append(info)
    last = [info["success_last"] for info in infos]
    assert last == [info["success"] for info in infos]
    assert [info["success_any"] for info in infos] == np.logical_or.accumulate(last).tolist()
    assert any(last)
    assert not last[-1]
    environment.reset(seed=0)
    assert not environment.step(np.zeros(4, dtype=int))[4]["success_any"]


# Reference policies


def test_the_expert_leaves_its_observation_alone() -> None:
    observation, _ = MetaWorldEnv(TASK).reset(seed=0)
    before = observation.copy()
    expert(TASK)(observation)
    np.testing.assert_array_equal(observation, before)


@pytest.mark.parametrize("task", METAWORLD_TASKS)
def test_every_task_has_an_expert(task: str) -> None:
    action = expert(task)(np.zeros(39))
    assert action.shape == (4,)
    assert np.abs(action).max() <= 1


def test_baselines_separate_random_from_expert_and_repeat() -> None:
    settings = {"bins": 256, "episode_steps": 150, "episodes": 3, "seed": 0}
    episodes = measure("metaworld", "drawer-open-v3", **settings)
    assert episodes.equals(measure("metaworld", "drawer-open-v3", **settings))
    assert list(episodes.columns) == ["task", "policy", "episode", "return", "success_any", "success_last"]
    assert episodes.groupby("policy").size().to_dict() == {"expert": 3, "random": 3}
    by_policy = dict(tuple(episodes.groupby("policy")))
    assert by_policy["expert"]["success_any"].all()
    assert not by_policy["random"]["success_any"].any()
    assert by_policy["expert"]["return"].min() > by_policy["random"]["return"].max()
    assert (episodes["success_any"] >= episodes["success_last"]).all()
