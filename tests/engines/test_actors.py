"""A group of environments whose episodes end as a script says."""

from types import SimpleNamespace

import numpy as np
import torch

from gipo.engines.actors import ActorGroup
from gipo.study import Study
from small_study import STUDY


class Scripted:
    """Observes its steps so far, over all episodes; the time limit cuts after step 3, the task ends after step 6."""

    task = "scripted"
    steps = 0

    def reset(self, *, seed):
        return np.array([-1.0]), {}

    def step(self, action):
        self.steps += 1
        return np.array([float(self.steps)]), 1.0, self.steps == 6, self.steps == 3, {"success_any": self.steps == 6}


class Anyone:
    def sample(self, observations, uniforms):
        return np.zeros((len(observations), 1), np.uint8), np.zeros((len(observations), 1), np.float32), None


def test_an_episode_that_ends_after_a_cut_in_the_same_segment_leaves_the_observation_at_the_cut():
    spec = Study.model_validate(STUDY).run("door-open-v3", "stale", "gipo-1-1", 5)
    suite = SimpleNamespace(observation_dtype=torch.float32, action_dimensions=1, make_environment=Scripted)
    segment, ended = ActorGroup(spec, suite, 0).collect(Anyone(), 0)
    assert segment["observations"][0, :8, 0].tolist() == [-1, 1, 2, -1, 4, 5, -1, 7]
    assert np.flatnonzero(segment["truncated"][0]).tolist() == [2]
    assert np.flatnonzero(segment["terminated"][0]).tolist() == [5]
    assert segment["cut_observation"][0].tolist() == [3]
    assert sorted(set(ended)) == [(3.0, False), (3.0, True)]


def test_where_segments_end_with_their_episodes_the_next_round_begins_the_next_one():
    study = STUDY | {"replay": STUDY["replay"] | {"segments": "per-episode"}}
    spec = Study.model_validate(study).run("door-open-v3", "stale", "gipo-1-1", 5)
    suite = SimpleNamespace(observation_dtype=torch.float32, action_dimensions=1, make_environment=Scripted)
    group = ActorGroup(spec, suite, 0)
    first, ended = group.collect(Anyone(), 0)
    assert first["lengths"].tolist() == [3, 3]
    assert first["observations"][0, :3, 0].tolist() == [-1, 1, 2]
    assert first["rewards"][0].tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    assert np.argwhere(first["truncated"]).tolist() == [[0, 2], [1, 2]]
    assert first["cut_observation"][:, 0].tolist() == first["final_observation"][:, 0].tolist() == [3, 3]
    assert ended == [(3.0, False)] * 2
    second, ended = group.collect(Anyone(), 1)
    assert second["lengths"].tolist() == [3, 3]
    assert second["observations"][0, :3, 0].tolist() == [-1, 4, 5]
    assert np.argwhere(second["terminated"]).tolist() == [[0, 2], [1, 2]]
    assert ended == [(3.0, True)] * 2
