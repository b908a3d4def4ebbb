"""One look for every method, known or not, and no two alike."""

import itertools
import shutil
from pathlib import Path

import matplotlib
import pytest
from matplotlib import font_manager
from matplotlib.colors import to_rgb

from gipo.analysis import methods
from gipo.figures import style
from gipo.figures.style import looks

TEN = (
    *("no-clip", "ppo-clip", "sapo", "gipo-0.5-0.25", "gipo-0.5-0.5"),
    *("gipo-1-0.5", "gipo-1-1", "gipo-1-2", "gipo-2-1", "gipo-2-2"),
)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("no-clip", "No-Clip"),
        ("ppo_clip", "PPO-Clip"),
        ("sapo", "SAPO"),
        ("gipo", "GIPO"),
        ("gipo-1-0.5", "GIPO (1, 0.5)"),
        ("vtrace-gipo-1-1", "GIPO (1, 1) + V-trace"),
        ("foo: gipo-1-1", "foo: GIPO (1, 1)"),
        ("gipo-05-05: gipo-0.5-0.5", "gipo-05-05: GIPO (0.5, 0.5)"),
        ("gipo-1-1: ppo-clip", "gipo-1-1: PPO-Clip"),
        ("tight: ppo-clip[eps=0.1]", "tight: PPO-Clip, eps 0.1"),
        ("free: sapo[learner.kl_coefficient=0]", "free: SAPO, kl_coefficient 0"),
        ("my_method: my_module:my_method", "my_method"),
        ("strong: my_module:my_method[alpha=2]", "strong: my_method, alpha 2"),
        ("my_method", "my_method"),
        ("a" * 40 + ": sapo", "aaaaaaaaaaaa…aaaaaaaa: SAPO"),
    ],
)
def test_labels_are_those_of_the_paper_after_the_users_where_that_says_something_else(name: str, label: str):
    assert style.label(name) == label


def test_the_ten_configurations_have_colours_of_their_own():
    found = looks(TEN)
    assert len({look.colour for look in found.values()}) == len(TEN)
    for one, other in itertools.combinations(found.values(), 2):
        assert apart(one.colour, other.colour) > 0.15


def test_the_colours_of_the_rivals_and_gipo_differ_in_lightness_or_for_the_colour_blind():
    """Blue-yellow and lightness are what red-green blindness leaves (a crude but independent check)."""
    shown = looks(("no-clip", "ppo-clip", "sapo", "gipo-1-1", "gipo-2-2"))
    for one, other in itertools.combinations([_without_red_green(look.colour) for look in shown.values()], 2):
        assert sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5 > 0.1


def _without_red_green(colour: str) -> tuple[float, float]:
    red, green, blue = to_rgb(colour)
    return 0.3 * red + 0.6 * green + 0.1 * blue, blue - (red + green) / 2


def apart(one: str, other: str) -> float:
    return sum((a - b) ** 2 for a, b in zip(to_rgb(one), to_rgb(other), strict=True)) ** 0.5


TWENTY = (
    *TEN,
    *(methods.identify("ppo_clip", {"eps": eps}) for eps in (0.1, 0.3)),
    methods.identify("gipo", {"sigma_pos": 1.0, "sigma_neg": 1.0, "kernel": "laplacian"}),
    methods.identify("gipo", {"sigma_pos": 1.1, "sigma_neg": 1.1}),
    methods.identify("gipo", {"sigma_pos": 1.0, "sigma_neg": 0.25}),
    methods.identify("cispo", {"eps_high": 2.0}),
    *(methods.identify("mine:own", {"alpha": alpha}) for alpha in (1.0, 2.0, 3.0)),
    methods.identify("sapo", {}, changes={"kl_coefficient": 0.0}),
)


def test_twenty_methods_have_twenty_colours_and_as_many_lines_with_markers():
    found = looks(TWENTY)
    assert len(found) == 20
    for one, other in itertools.combinations(found.values(), 2):
        assert one.colour != other.colour
        assert apart(one.colour, other.colour) > 0.1 or (one.line, one.marker) != (other.line, other.marker)


def test_every_hundred_draws_of_twenty_settings_are_told_apart():
    """However names fall on spare colours."""
    for draw in range(100):
        names = [methods.identify("mine:own", {"alpha": float(20 * draw + i)}) for i in range(20)]
        found = looks(names).values()
        assert len({look.colour for look in found}) == 20
        assert len({(look.line, look.marker) for look in found}) >= 8


def test_the_papers_methods_look_alike_in_all_figures_whatever_they_are_called():
    alone = looks(TEN)
    crowd = looks([*TEN, *TWENTY, "x: mine:own", "vtrace-sapo", "gipo-0.9-0.9"])
    assert {name: crowd[name] for name in TEN} == alone
    assert looks(["foo: gipo-1-1"])["foo: gipo-1-1"] == alone["gipo-1-1"]
    assert looks(["gipo-1-1: ppo-clip"])["gipo-1-1: ppo-clip"] == alone["ppo-clip"]


def test_one_method_under_two_labels_is_drawn_twice():
    found = looks(["gipo-1-1", "foo: gipo-1-1"])
    assert found["gipo-1-1"] == looks(TEN)["gipo-1-1"]
    assert found["foo: gipo-1-1"].colour != found["gipo-1-1"].colour


def test_rivals_come_first_and_gipo_goes_by_its_sigmas():
    shuffled = ["gipo-2-1", "gipo-10-1", "mine", "sapo", "b: gipo-0.5-0.5", "no-clip", "sapo", "a: ppo-clip"]
    assert style.order(shuffled) == [
        *("no-clip", "a: ppo-clip", "sapo", "mine"),
        *("b: gipo-0.5-0.5", "gipo-2-1", "gipo-10-1"),
    ]
    assert style.order_regimes(["stale", "other", "fresh", "stale"]) == ["fresh", "stale", "other"]


def test_a_method_with_vtrace_targets_looks_like_the_method_with_a_line_of_its_own():
    for name in ("no-clip", "gipo-1-1", "my_method"):
        found = looks([name, f"vtrace-{name}"])
        assert style.label(f"vtrace-{name}") == f"{style.label(name)} + V-trace"
        one, other = found[name], found[f"vtrace-{name}"]
        assert (other.colour, other.marker, other.line) == (one.colour, one.marker, "-.")
        assert one.line != "-."
    shuffled = ["vtrace-gipo-1-1", "vtrace-no-clip", "gipo-1-1", "sapo", "no-clip"]
    assert style.order(shuffled) == ["no-clip", "sapo", "gipo-1-1", "vtrace-no-clip", "vtrace-gipo-1-1"]


@pytest.mark.parametrize(
    "label", ["gipo-0-5", "gipo-.-.", "GIPO", "gipo-1-1-1", "0", "vtrace-", "gipo-1e5-0.", "a.b_c-d"]
)
def test_any_label_has_a_look_and_words(label: str):
    for name in (label, f"{label}: sapo", f"{label}: gipo-1-1"):
        assert looks([name])[name].colour.startswith("#")
        assert style.label(name)


def test_letters_are_matplotlibs_own_though_the_list_of_fonts_has_only_those_that_are_installed(tmp_path, monkeypatch):
    own = Path(font_manager.findfont("DejaVu Sans"))
    installed = shutil.copy(own, tmp_path / own.name)
    manager = font_manager.fontManager
    monkeypatch.setattr(manager, "ttflist", [])
    manager.addfont(installed)
    assert font_manager.findfont("DejaVu Sans") == str(installed)
    style._prefer_the_fonts_of_matplotlib.__wrapped__()
    theirs = Path(matplotlib.get_data_path(), "fonts", "ttf").resolve()  # an environment may be a link
    assert Path(font_manager.findfont("DejaVu Sans")).parent == theirs
