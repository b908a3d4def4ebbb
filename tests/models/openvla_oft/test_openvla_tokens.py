"""Ids, bins, values and actions: there and back again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gipo.errors import GipoError
from gipo.models.openvla_oft import tokens
from gipo.models.openvla_oft.normalisation import Statistics, read_statistics
from gipo.models.openvla_oft.tiny import SUITES

VALUES = st.floats(-1, 1, width=64)
IDS = st.integers(0, 32063)
STATISTICS = Statistics(
    "made-up",
    np.array([-0.5, -1.0, 0.2, -3.0, -0.1, 0.0, 0.0]),
    np.array([0.5, 0.7, 0.9, 1.0, 0.0, 2.0, 1.0]),
    np.array([True] * 6 + [False]),
    (np.linspace(-2.0, 0.0, 8), np.linspace(1.0, 3.0, 8)),
)


@given(VALUES)
def test_a_value_comes_back_within_half_a_bin(value: float):
    found = tokens.values_of_ids(tokens.ids_of_values(np.array(value)))
    assert abs(found - value) <= 1 / 255 + 1e-12


@given(st.integers(tokens.FIRST_ID + 1, tokens.END_ID - 1))
def test_an_id_comes_back(id_: int):
    assert tokens.ids_of_values(tokens.values_of_ids(np.array(id_))) == id_


@given(hnp.arrays(np.float64, 2, elements=st.floats(-2, 2)))
def test_the_larger_the_value_the_smaller_the_id(values: np.ndarray):
    small, large = tokens.ids_of_values(np.sort(values))
    assert tokens.FIRST_ID <= large <= small < tokens.END_ID


@given(IDS)
def test_every_id_has_a_value(id_: int):
    nearest = min(max(id_, tokens.FIRST_ID), tokens.END_ID - 1)
    assert tokens.values_of_ids(np.array(id_)) == tokens.values_of_ids(np.array(nearest))


def test_the_ends_and_the_middle():
    assert tokens.ids_of_values(np.array([-1.0, 1.0, -5.0, 5.0])).tolist() == [31999, 31744, 31999, 31744]
    assert tokens.values_of_ids(np.array([31999, 31872, 31745, 31744, 0, 32063])) == pytest.approx(
        [-0.99608, 0, 0.99608, 0.99608, 0.99608, -0.99608], abs=1e-5
    )


@given(hnp.arrays(np.float64, (8, 7), elements=VALUES))
def test_actions_are_scaled_back_by_their_statistics(values: np.ndarray):
    actions = tokens.unnormalise(values, STATISTICS)
    low, high = STATISTICS.action_q01[:6], STATISTICS.action_q99[:6]
    assert (2 * (actions[:, :6] - low) / (high - low + 1e-8) - 1) == pytest.approx(values[:, :6], abs=1e-12)
    assert np.array_equal(actions[:, 6], values[:, 6])


def test_a_chunk_is_time_major():
    chosen = np.zeros((2, 56), dtype=np.int64)
    chosen[1, 7 * 3 + 2] = 255
    actions = tokens.actions_of_tokens(chosen, STATISTICS)
    assert actions.shape == (2, 8, 7)
    changed = np.argwhere(actions != actions[0, 0])
    assert changed.tolist() == [[1, 3, 2]]
    assert actions[0, 0] == pytest.approx(tokens.unnormalise(np.full(7, tokens.CENTRES[-1]), STATISTICS))


def test_the_gripper_is_turned_round_and_its_input_left_alone():
    actions = np.tile(np.array([0.0, 0.4, 0.6, 1.0])[:, None], (1, 7))
    played = tokens.env_actions(actions)
    assert played[:, 6].tolist() == [1, 1, -1, -1]
    assert np.array_equal(played[:, :6], actions[:, :6])
    assert actions[:, 6].tolist() == [0.0, 0.4, 0.6, 1.0]


@given(hnp.arrays(np.float64, (3, 8), elements=st.floats(-100, 100)))
def test_proprioception_is_scaled_and_clipped(state: np.ndarray):
    low, high = STATISTICS.proprio()
    found = tokens.normalise_proprio(state, STATISTICS)
    assert found == pytest.approx(np.interp(2 * (state - low) / (high - low) - 1, [-1, 1], [-1, 1]), abs=1e-6)


@pytest.mark.parametrize("suite", SUITES)
def test_the_tiny_checkpoint_has_statistics_of_every_suite(tiny: Path, suite: str):
    statistics = read_statistics(tiny, suite)
    assert statistics.name == f"{suite}_no_noops"
    assert statistics.action_mask.tolist() == [True] * 6 + [False]
    assert [len(quantile) for quantile in statistics.proprio()] == [8, 8]


ACTION = {"q01": [0.0] * 7, "q99": [1.0] * 7}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"bridge": {"action": ACTION}}, ["no statistics of 'libero_10'", "bridge"]),
        ({}, ["no statistics of any"]),
        ([], ["no statistics of any"]),
        ({"libero_10": {}}, ["libero_10: action is missing"]),
        ({"libero_10": {"action": ACTION | {"q01": [0.0] * 6}}}, ["libero_10", "action.q01"]),
        ({"libero_10": {"action": ACTION | {"q99": [float("nan")] * 7}}}, ["libero_10", "action.q99"]),
    ],
)
def test_wrong_statistics_are_named(tmp_path: Path, content: Any, words: list[str]):
    path = tmp_path / "dataset_statistics.json"
    path.write_text(json.dumps(content))
    with pytest.raises(GipoError) as error:
        read_statistics(tmp_path, "libero_10")
    assert all(word in str(error.value) for word in [str(path), *words]), error.value


def test_statistics_may_stand_in_the_config_and_lack_a_mask_and_proprioception(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps({"norm_stats": {"libero_10": {"action": ACTION}}}))
    statistics = read_statistics(tmp_path, "libero_10")
    assert statistics.action_mask.all()
    with pytest.raises(GipoError, match="libero_10 have none of proprioception"):
        tokens.normalise_proprio(np.zeros(8), statistics)
