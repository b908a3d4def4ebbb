import numpy as np
import pytest

from gipo.gridworld.pareto import SLACK, Front, nondominated

STAIRS = np.array([[0.0, 3.0], [1.0, 1.0], [3.0, 0.0]])  # bias, variance


def front(points: object, connected: bool = False) -> Front:
    return Front(np.asarray(points, dtype=float), connected)


def test_least_bias_of_a_staircase_and_of_a_connected_curve() -> None:
    variance = np.array([-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 9.0])
    assert front(STAIRS).least_bias(variance).tolist() == [np.inf, 3, 3, 1, 1, 0, 0]
    assert front(STAIRS, connected=True).least_bias(variance).tolist() == [np.inf, 3, 2, 1, 0.5, 0, 0]


def test_least_bias_ignores_order_and_dominated_points() -> None:
    with_dominated = [[2.0, 2.0], *STAIRS[::-1]]
    assert front(with_dominated).least_bias(np.array([2.0])).tolist() == [1]


@pytest.mark.parametrize(
    ("one", "other", "one_dominates", "other_dominates"),
    [
        (STAIRS, STAIRS, False, False),  # the same
        (STAIRS, STAIRS + 0.1, True, False),  # shifted in both axes
        (STAIRS, STAIRS[:1], True, False),  # offers more and shares an end
        (STAIRS, [[0.5, 2.0]], False, False),  # incomparable: less bias between the steps
        (STAIRS, STAIRS + SLACK / 2, False, False),  # closer than the tolerance
        ([[0.0, 0.0]], STAIRS, True, False),  # the ideal point
    ],
)
def test_domination_of_hand_made_fronts(one: object, other: object, one_dominates: bool, other_dominates: bool) -> None:
    assert front(one).dominates(front(other)) == one_dominates
    assert front(other).dominates(front(one)) == other_dominates


def test_connecting_the_points_covers_what_lies_between_them() -> None:
    between = front([[0.5, 2.0]])
    assert not front(STAIRS).covers(between)
    assert front(STAIRS, connected=True).covers(between)
    assert not front(STAIRS, connected=True).covers(front([[0.5, 1.9]]))


def test_nondominated_points_against_their_definition() -> None:
    points = np.random.default_rng(0).integers(0, 6, (60, 2)).astype(float)
    expected = [not any((q <= p).all() and (q < p).any() for q in points) for p in points]
    assert nondominated(points).tolist() == expected
    assert nondominated(STAIRS).all()
