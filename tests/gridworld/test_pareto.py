import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gipo.gridworld.pareto import Front, nondominated

STAIRS = np.array([[0.0, 3.0], [1.0, 1.0], [3.0, 0.0]])  # bias, variance
ANY_POINTS = arrays(float, st.tuples(st.integers(1, 6), st.just(2)), elements=st.integers(0, 5).map(float))


def front(points: object, connected: bool = False, largest_bias: float = 5.0) -> Front:
    return Front(np.asarray(points, dtype=float), connected, largest_bias)


def test_least_bias_of_a_staircase_and_of_a_connected_curve() -> None:
    variance = np.array([0.0, 0.5, 1.0, 2.0, 3.0, 9.0])
    assert front(STAIRS).least_bias(variance).tolist() == [3, 3, 1, 1, 0, 0]
    assert front(STAIRS, connected=True).least_bias(variance).tolist() == [3, 2, 1, 0.5, 0, 0]


def test_least_bias_ignores_order_and_dominated_points() -> None:
    with_dominated = [[2.0, 2.0], *STAIRS[::-1]]
    assert front(with_dominated).least_bias(np.array([2.0])).tolist() == [1]


def test_least_bias_below_the_cheapest_point_is_that_of_no_update() -> None:
    for connected in (False, True):
        late = front([[7.0, 1.0], [1.0, 2.0]], connected)
        assert late.least_bias(np.array([0.0, 0.9, 1.0, 2.0])).tolist() == [5, 5, 5, 1]


@pytest.mark.parametrize(
    ("one", "other", "excess", "gain"),
    [
        (STAIRS, STAIRS, (0, 3), (0, 3)),  # the same; of equal places it is the first point's
        (STAIRS, STAIRS + np.array([0.5, 0.0]), (-0.5, 3), (0.5, 3)),  # shifted
        (STAIRS, STAIRS[:1], (0, 3), (4, 1)),  # offers more and shares an end
        (STAIRS, [[0.5, 2.0]], (0.5, 2), (4, 1)),  # less bias between the steps
        ([[0.0, 0.0]], STAIRS, (0, 3), (3, 0)),  # the ideal point
    ],
)
def test_margins_of_hand_made_fronts(
    one: object, other: object, excess: tuple[float, float], gain: tuple[float, float]
) -> None:
    margin = front(one).margin(front(other))
    assert (margin.excess, margin.excess_variance) == pytest.approx(excess)
    assert (margin.gain, margin.gain_variance) == pytest.approx(gain)


def test_connecting_the_points_covers_what_lies_between_them() -> None:
    between = front([[0.5, 2.0]])
    assert front(STAIRS).margin(between).excess == 0.5
    assert front(STAIRS, connected=True).margin(between).excess == 0
    assert front(STAIRS, connected=True).margin(front([[0.4, 2.0]])).excess == pytest.approx(0.1)


@given(ANY_POINTS, ANY_POINTS)
def test_margins_against_trying_every_budget(one: np.ndarray, other: np.ndarray) -> None:
    def least(points: np.ndarray, budget: float) -> float:
        return min([4.0, *(bias for bias, variance in points if variance <= budget)])

    budgets = {variance for _, variance in (*one, *other)}
    differences = [least(one, budget) - least(other, budget) for budget in budgets]
    margin = front(one, largest_bias=4.0).margin(front(other, largest_bias=4.0))
    assert (margin.excess, margin.gain) == (max(differences), -min(differences))
    assert least(one, margin.excess_variance) - least(other, margin.excess_variance) == margin.excess
    assert least(other, margin.gain_variance) - least(one, margin.gain_variance) == margin.gain


def test_nondominated_points_against_their_definition() -> None:
    points = np.random.default_rng(0).integers(0, 6, (60, 2)).astype(float)
    expected = [not any((q <= p).all() and (q < p).any() for q in points) for p in points]
    assert nondominated(points).tolist() == expected
    assert nondominated(STAIRS).all()
