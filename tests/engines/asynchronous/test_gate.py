"""Which starts of a LIBERO run count as broken: known intervals, against a published rate."""

import pytest

from factories import PUBLISHED, make_libero_spec
from gipo.engines.asynchronous.gate import MARGIN, check_start
from gipo.errors import GipoError

SPEC = make_libero_spec("libero_goal", "stale", "sapo", 0)


def episodes(solved: int, played: int) -> list[dict[str, bool]]:
    return [{"success_any": number < solved, "success_last": False} for number in range(played)]


# ends of intervals as R. G. Newcombe printed them, Statistics in Medicine 17, 857 (1998), table I, method 3
@pytest.mark.parametrize(("solved", "played", "high"), [(81, 263, 0.3662), (15, 148, 0.1605), (0, 20, 0.1611)])
def test_a_start_is_broken_where_its_interval_lies_more_than_the_margin_below(solved: int, played: int, high: float):
    check_start(SPEC, high + MARGIN - 1e-3, episodes(solved, played))
    with pytest.raises(GipoError) as refused:
        check_start(SPEC, high + MARGIN + 1e-3, episodes(solved, played))
    line = str(refused.value)
    assert "\n" not in line
    assert line.startswith(f"{PUBLISHED['repository']} at {PUBLISHED['revision']} is a broken start: it solves ")
    assert f"{solved / played:.3f} [" in line
    assert f"] of {played} episodes of libero_goal, published {high + MARGIN + 1e-3:g}; " in line
    assert "leave published_success out of the scale" in line


def test_a_start_that_is_better_than_published_is_none():
    check_start(SPEC, 0.2, episodes(20, 20))
