"""One look for every method, known or not."""

import itertools

import pytest
from matplotlib.colors import is_color_like, to_rgb

from gipo.figures import style

TEN = (
    *("no-clip", "ppo-clip", "sapo", "gipo-0.5-0.25", "gipo-0.5-0.5"),
    *("gipo-1-0.5", "gipo-1-1", "gipo-1-2", "gipo-2-1", "gipo-2-2"),
)


@pytest.mark.parametrize(
    ("method", "label"),
    [
        ("no-clip", "No-Clip"),
        ("ppo_clip", "PPO-Clip"),
        ("sapo", "SAPO"),
        ("gipo", "GIPO"),
        ("gipo-1-0.5", "GIPO (1, 0.5)"),
        ("gipo-laplacian", "gipo-laplacian"),
        ("my_method", "my_method"),
    ],
)
def test_labels_are_those_of_the_paper(method: str, label: str):
    assert style.label(method) == label


def test_the_ten_configurations_can_be_told_apart():
    looks = {(style.colour(m), style.line(m), style.marker(m)) for m in TEN}
    assert len(looks) == len(TEN)


def test_the_colours_of_the_rivals_and_gipo_differ_in_lightness_or_for_the_colour_blind():
    """Blue-yellow and lightness are what red-green blindness leaves (a crude but independent check)."""
    left = {m: _without_red_green(style.colour(m)) for m in ("no-clip", "ppo-clip", "sapo", "gipo-1-1", "gipo-2-2")}
    for one, other in itertools.combinations(left.values(), 2):
        assert sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5 > 0.1


def _without_red_green(colour: str) -> tuple[float, float]:
    red, green, blue = to_rgb(colour)
    return 0.3 * red + 0.6 * green + 0.1 * blue, blue - (red + green) / 2


def test_unknown_methods_get_a_look_of_their_own_that_stays():
    for name in ("my_method", "gipo-", "gipo-laplacian-1", "x"):
        assert is_color_like(style.colour(name))
        assert style.colour(name) == style.colour(name)
        assert style.colour(name) not in {style.colour(m) for m in TEN}


def test_rivals_come_first_and_gipo_goes_by_its_sigmas():
    shuffled = ["gipo-2-1", "gipo-10-1", "mine", "sapo", "gipo-0.5-0.5", "no-clip", "sapo", "ppo-clip"]
    assert style.order(shuffled) == [
        *("no-clip", "ppo-clip", "sapo", "mine"),
        *("gipo-0.5-0.5", "gipo-2-1", "gipo-10-1"),
    ]
    assert style.order_regimes(["stale", "other", "fresh", "stale"]) == ["fresh", "stale", "other"]


def test_a_method_with_vtrace_targets_looks_like_the_method_with_a_line_of_its_own():
    for name in ("no-clip", "gipo-1-1", "my_method"):
        other = f"vtrace-{name}"
        assert style.label(other) == f"{style.label(name)} + V-trace"
        assert (style.colour(other), style.marker(other)) == (style.colour(name), style.marker(name))
        assert style.line(other) == "-."
    shuffled = ["vtrace-gipo-1-1", "vtrace-no-clip", "gipo-1-1", "sapo", "no-clip"]
    assert style.order(shuffled) == ["no-clip", "sapo", "gipo-1-1", "vtrace-no-clip", "vtrace-gipo-1-1"]
