"""A look at MetaWorld: frames follow the simulator, and the simulator does not notice."""

import numpy as np
import pytest

from drawing_needs import skip_without_drawing
from gipo.envs.metaworld import MetaWorldEnv
from gipo.envs.metaworld_camera import Camera

skip_without_drawing()

pytestmark = pytest.mark.slow

PUSH = np.array([128, 200, 128, 128])


def test_looking_changes_no_bit_of_an_episode_and_frames_follow_the_arm():
    seen, unseen = (MetaWorldEnv("drawer-open-v3", episode_steps=20) for _ in range(2))
    camera = Camera(seen, 64, 48)
    assert (seen.reset(seed=4)[0] == unseen.reset(seed=4)[0]).all()
    frames = [camera.frame()]
    for _ in range(20):
        one, other = seen.step(PUSH), unseen.step(PUSH)
        assert (one[0] == other[0]).all()
        assert one[1:] == other[1:]
        frames.append(camera.frame())
    assert frames[0].shape == (48, 64, 3)
    assert frames[0].dtype == np.uint8
    assert np.unique(frames[0].reshape(-1, 3), axis=0).shape[0] > 100  # not one colour
    assert (frames[0] != frames[-1]).any()
    assert (camera.frame() == frames[-1]).all()
    camera.close()


def test_a_goal_that_moves_the_object_is_seen():
    environment = MetaWorldEnv("drawer-open-v3")
    camera = Camera(environment, 64, 48)
    frames = []
    for seed in (0, 1, 0):
        environment.reset(seed=seed)
        frames.append(camera.frame())
    camera.close()
    assert (frames[0] != frames[1]).any()
    assert (frames[0] == frames[2]).all()
