"""All objectives in the gridworld, against enumeration with each action as often as its probability says."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from gipo import objectives
from gipo.gridworld import field, tables
from gipo.gridworld.case_study import CASES, KNOBS, advantages, case_policies
from gipo.gridworld.family import random_policies

PI, MU = case_policies()
POINTS = tables.field()


def named(name: str, **parameters: float) -> pd.DataFrame:
    return POINTS[(POINTS["objective"] == name) & (POINTS["parameters"].map(json.loads) == parameters)]


@pytest.mark.parametrize(("name", "parameters"), field.FIELD, ids=str)
def test_an_expectation_is_that_of_a_batch_with_actions_in_their_shares(
    name: str, parameters: dict[str, float]
) -> None:
    """At 20 samples an action in case A, whose behaviour is uniform."""
    actions = np.repeat(np.arange(4), 20)
    log_ratio, advantage = np.log(PI / MU[0]), advantages(PI)
    multiplier = objectives.make(name, **parameters).multiplier(
        *(torch.from_numpy(x[actions, None]) for x in (log_ratio, advantage)),
        log_mu=torch.from_numpy(np.log(MU[0])[actions, None]),
        gap=torch.tensor(field.GAP),
    )
    draws = (multiplier[:, 0].numpy() * advantage[actions])[:, None] * (np.eye(4) - PI)[actions]
    bias = draws.mean(0) - (PI * advantage) @ (np.eye(4) - PI)
    expected = [[abs(bias[3]), draws.var(0)[3]], [np.linalg.norm(bias), draws.var(0).sum()]]
    found = field.bias_variance(objectives.make(name, **parameters), PI, MU[0])
    np.testing.assert_allclose(found, expected, atol=1e-14)


def test_methods_of_figure_4_are_where_figure_4_has_them() -> None:
    drawn = tables.points()
    for knob in KNOBS:
        main = drawn[(drawn["method"] == knob.method) & drawn["default"]].set_index(["case", "estimator"])
        given = {name: value for name, value in vars(knob.make(knob.main)).items() if isinstance(value, float)}
        found, columns = named(knob.method, **given).set_index(["case", "estimator"]), ["bias", "variance"]
        assert len(found) == 4 * 2
        pd.testing.assert_frame_equal(found[columns], main.loc[found.index, columns], atol=1e-14)


def test_no_setting_of_gipo_is_ahead_of_its_front_nor_is_anyone_where_mu_is_pi() -> None:
    own = named("gipo", sigma_pos=1.0, sigma_neg=1.0)
    assert own["behind_share"].abs().max() < 1e-3
    assert POINTS.loc[POINTS["case"] == "D", "behind_share"].abs().max() < 1e-12


def test_places_of_other_papers_methods_by_published_digits() -> None:
    """Norm of the bias and trace of the covariance in case A; found by other code, before this."""
    for name, parameters, bias, variance in (
        ("topr", {}, 0.0147, 0.0527),
        ("ce_gppo", {}, 0.0407, 0.0397),
        ("vespo", {}, 0.0636, 0.0255),
    ):
        row = named(name, **parameters).query("case == 'A' and estimator == 'all'").iloc[0]
        assert row[["bias", "variance"]].tolist() == pytest.approx([bias, variance], abs=1e-4)
        assert row["behind_share"] < 0


def test_a_method_is_ahead_or_behind_or_neither_on_random_pairs() -> None:
    table = tables.field_family(*random_policies(8, seed=0))
    assert len(table) == 3 * 2 * len(field.FIELD)
    assert (table["n"] == 8).all()
    assert table[["front_ahead", "method_ahead"]].sum(axis=1).le(1).all()
    no_clip = table[table["objective"] == "no_clip"]
    assert (no_clip[["front_ahead", "method_ahead"]] == 0).all(axis=None)
    assert set(POINTS["case"]) == {*CASES, "D"}
