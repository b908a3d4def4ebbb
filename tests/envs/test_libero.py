"""The real simulator, against LIBERO's own environment that rebuilds its scene and draws every step."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gipo.envs.libero import CAMERAS, FRAME_SIZE, NO_OP, PROPRIO_SIZE, WARM_UP, LiberoEnv, Played, Start, proprio
from gipo.envs.libero_import import RENDERERS, control_env, package
from gipo.envs.libero_shaped import reach
from gipo.errors import GipoError
from libero_needs import skip_without_libero

skip_without_libero()

pytestmark = pytest.mark.slow  # a scene takes seconds to build

TASK = "libero_goal_7"  # turn on the stove: cabinet, rack and stove move between episodes, and a burner glows
KNOB = "flat_stove_1_button"
START = Start(init_state=3, seed=12345)
ACTIONS = np.random.default_rng(0).uniform(-1, 1, size=(2, 8, 7))

SAMPLE_TASK = "libero_spatial_0"
SAMPLE_PROPRIO = (
    *(-0.21124162683394807, -0.011090601889321502, 1.1742495176982402),
    *(3.140895396142254, -0.002847819833825949, -0.08773931027790592),
    *(0.03872336505859045, -0.0387222020954563),
)
"""Of ``sample_libero_spatial_observation.pkl`` in moojink/openvla-oft, commit 213c5ff."""

Moment = dict[str, Any]


@pytest.fixture(scope="module")
def seeing() -> Iterator[LiberoEnv]:
    environment = LiberoEnv(TASK)
    yield environment
    environment.close()


@pytest.fixture(scope="module")
def blind() -> Iterator[LiberoEnv]:
    environment = LiberoEnv(TASK, cameras=False)
    yield environment
    environment.close()


@pytest.fixture(scope="module")
def reference(seeing: LiberoEnv) -> list[Moment]:
    """It is made later than ``seeing``, whose frames must be its own all the same."""
    return play_stock(seeing)


def play_stock(ours: LiberoEnv) -> list[Moment]:
    """`ACTIONS` from `START` in LIBERO's own environment: after the warm-up and after each chunk."""
    bddl_file = package() / "bddl_files" / ours.task.suite / f"{ours.task.name}.bddl"
    stock = control_env()(bddl_file_name=str(bddl_file), camera_heights=FRAME_SIZE, camera_widths=FRAME_SIZE)
    stock.env.object_property_initializers.clear()  # which grows in every full reset
    stock.seed(START.seed)
    stock.reset()
    stock.set_init_state(ours._init_states[START.init_state])
    moments = []
    for actions in (np.tile(NO_OP, (WARM_UP, 1)), *ACTIONS):
        for action in actions:
            observation, *_ = stock.step(action)
        frames = {camera: observation[f"{camera}_image"] for camera in CAMERAS}
        moments.append({"state": stock.get_sim_state(), "proprio": proprio(observation)} | frames)
    stock.close()
    return moments


def state(environment: LiberoEnv) -> np.ndarray:
    return environment._simulator.get_sim_state()


def play(environment: LiberoEnv, start: Start) -> list[Moment]:
    """`ACTIONS` from a start, as `reference` has them."""
    observation = environment.reset(start)
    moments = []
    for actions in (None, *ACTIONS):
        if actions is not None:
            observation = environment.step_chunk(actions).observation
        frames = dict(zip(CAMERAS, (observation.agentview, observation.wrist), strict=True))
        moments.append({"state": state(environment), "proprio": observation.proprio} | frames)
    return moments


def turn_on(environment: LiberoEnv) -> Played:
    """Turn the knob by magic, and play a chunk."""
    environment._domain.sim.data.set_joint_qpos(KNOB, 1.0)
    return environment.step_chunk(np.tile(NO_OP, (8, 1)))


def leave_traces(environment: LiberoEnv) -> None:
    """End an episode with another initial state, other fixtures, a closed gripper and a burner that glows."""
    environment.reset(Start(init_state=7, seed=1))
    environment.step_chunk(np.tile((0.5, 0.5, -1.0, 0.0, 0.0, 0.5, 1.0), (4, 1)))
    assert turn_on(environment).success


def assert_equal(ours: list[Moment], theirs: list[Moment], keys: tuple[str, ...]) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        for key in keys:
            np.testing.assert_array_equal(mine[key], other[key], err_msg=key)


# Equality with LIBERO


def test_a_used_environment_shows_what_a_rebuilt_one_that_draws_every_step_does(
    seeing: LiberoEnv, reference: list[Moment]
) -> None:
    leave_traces(seeing)
    ours = play(seeing, START)
    assert_equal(ours, reference, ("state", "proprio", *CAMERAS))
    assert all(moment[camera].dtype == np.uint8 and moment[camera].std() > 10 for moment in ours for camera in CAMERAS)
    assert not np.array_equal(ours[0][CAMERAS[1]], ours[2][CAMERAS[1]])


def test_without_cameras_the_simulation_is_the_same(blind: LiberoEnv, reference: list[Moment]) -> None:
    leave_traces(blind)
    ours = play(blind, START)
    assert_equal(ours, reference, ("state", "proprio"))
    assert all(moment[camera] is None for moment in ours for camera in CAMERAS)


def test_the_solver_starts_from_what_it_would_in_a_new_scene() -> None:
    """Of the suites, objects on a floor let it be seen: their states differed in the fourteenth digit."""
    ours = LiberoEnv("libero_object_0", cameras=False)
    ours.reset(Start(init_state=7, seed=1))
    assert_equal(play(ours, START), play_stock(ours), ("state",))
    ours.close()


def test_the_state_after_the_warm_up_is_that_of_the_authors_sample() -> None:
    environment = LiberoEnv(SAMPLE_TASK, cameras=False)
    observation = environment.reset(Start(init_state=0, seed=0))
    np.testing.assert_allclose(observation.proprio, SAMPLE_PROPRIO, rtol=0, atol=1e-12)
    assert observation.instruction == environment.task.instruction
    environment.close()


# Episodes


def test_frames_are_drawn_at_the_end_of_a_chunk_only(seeing: LiberoEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    draw = seeing._domain.sim.render
    monkeypatch.setattr(seeing._domain.sim, "render", lambda **options: drawn.append(options) or draw(**options))
    seeing.reset(START)
    assert [options["camera_name"] for options in drawn] == list(CAMERAS)
    seeing.step_chunk(ACTIONS[0])
    assert [options["camera_name"] for options in drawn] == list(CAMERAS) * 2


def test_a_seed_places_the_fixtures_and_leaves_numpy_alone(blind: LiberoEnv) -> None:
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    cabinets, objects = [], []
    for seed in (1, 2, 1):
        blind.reset(Start(init_state=0, seed=seed))
        cabinets.append(blind.position("wooden_cabinet_1"))
        objects.append(blind.position("plate_1")[:2])
    assert np.random.random() == expected  # noqa: NPY002
    np.testing.assert_array_equal(cabinets[0], cabinets[2])
    assert 1e-4 < np.abs(cabinets[0] - cabinets[1]).max() < 0.05
    np.testing.assert_allclose(objects[0], objects[1], atol=1e-3)


def test_success_ends_the_chunk_and_the_episode(seeing: LiberoEnv) -> None:
    seeing.reset(START)
    assert not seeing.step_chunk(ACTIONS[0]).done
    played = turn_on(seeing)
    assert (played.success, played.truncated, played.done) == (True, False, True)
    assert played.rewards.tolist() == [1.0]
    assert played.observation.agentview is None
    assert played.observation.wrist is None
    with pytest.raises(GipoError, match="no episode is under way; reset first"):
        seeing.step_chunk(ACTIONS[0])


def test_the_horizon_ends_the_chunk_and_the_episode(blind: LiberoEnv) -> None:
    blind.reset(START)
    blind._step = blind.horizon - 4
    played = blind.step_chunk(ACTIONS[0])
    assert (played.success, played.truncated, played.done) == (False, True, True)
    assert played.rewards.tolist() == [0.0] * 4
    with pytest.raises(GipoError, match="no episode is under way; reset first"):
        blind.step_chunk(ACTIONS[0])


def test_actions_and_initial_states_that_cannot_be_are_refused(blind: LiberoEnv) -> None:
    with pytest.raises(GipoError, match="init_state is 50, expected 0 to 49"):
        blind.reset(Start(init_state=50, seed=0))
    blind.reset(START)
    before = state(blind)
    with pytest.raises(GipoError, match=r"shape \[8, 6\], expected \[n, 7\]"):
        blind.step_chunk(ACTIONS[0, :, :6])
    with pytest.raises(GipoError, match="not finite"):
        blind.step_chunk(np.full((8, 7), np.nan))
    np.testing.assert_array_equal(state(blind), before)


# Low-dimensional states


def test_states_have_a_fixed_layout_and_are_relative_to_the_hand(blind: LiberoEnv) -> None:
    observation = blind.reset(START)
    values = blind.state_observation()
    bodies = [*blind._domain.objects_dict, *blind._domain.fixtures_dict]
    joints = [joint for fixture in blind._domain.fixtures_dict.values() for joint in fixture.joints]
    assert (values.dtype, len(values)) == (np.float32, PROPRIO_SIZE + 7 * len(bodies) + len(joints))
    np.testing.assert_array_equal(values[:PROPRIO_SIZE], observation.proprio.astype(np.float32))
    for name in ("plate_1", "flat_stove_1"):
        first = PROPRIO_SIZE + 7 * bodies.index(name)
        np.testing.assert_allclose(values[first : first + 3], blind.position(name) - blind.end_effector(), atol=1e-6)
        assert np.linalg.norm(values[first + 3 : first + 7]) == pytest.approx(1, abs=1e-6)
    knob = PROPRIO_SIZE + 7 * len(bodies) + joints.index(KNOB)
    assert abs(values[knob]) < 0.1
    turn_on(blind)
    assert blind.state_observation()[knob] > 0.5


def test_a_shaped_reward_is_paid_in_every_step(blind: LiberoEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    assert blind.goal() == (("turnon", "flat_stove_1"),)
    monkeypatch.setattr(blind, "_reward", reach)
    blind.reset(START)
    towards = np.append(np.sign(blind.position("flat_stove_1") - blind.end_effector()), (0.0, 0.0, 0.0, -1.0))
    rewards = np.concatenate([blind.step_chunk(np.tile(towards, (8, 1))).rewards for _ in range(2)])
    assert rewards.shape == (16,)
    assert 0 < rewards[0] < rewards[-1] <= 1
    assert rewards[-1] == reach(blind)


# Import


def test_importing_libero_asks_nothing_and_leaves_the_home_alone(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "LIBERO_CONFIG_PATH"}
    script = "from gipo.envs.libero_import import control_env, renderer; control_env(); print(renderer())"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment | {"HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() in RENDERERS
    assert done.stderr == ""
    assert not [path for path in tmp_path.rglob("*") if "libero" in path.name or "robosuite" in path.name]
