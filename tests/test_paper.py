"""Published numbers, checked against what their sources print and against each other, and kept in one place."""

import re
from pathlib import Path

import pytest

from gipo import paper
from gipo.errors import GipoError


def test_a_number_has_its_value_its_spread_and_its_source() -> None:
    gap = paper.number("gap_mean/stale")
    assert (gap.value, gap.spread, gap.text, gap.source) == (43677, 5253, "43,677", "[C]")
    assert paper.number("iqm/ppo-clip").value == 0.18


def test_words_have_numbers_as_printed_their_difference_ratio_and_per_cent() -> None:
    text = "{iqm/gipo-1-1 - iqm/ppo-clip} ({iqm/gipo-1-1} against {iqm/ppo-clip})"
    assert paper.words(text) == "0.55 (0.730 against 0.180)"
    assert paper.words("{d95/stale}") == "1.46 ± 0.75"
    assert paper.words("{libero_steps/ppo-clip / libero_steps/gipo-0.5-0.5} times") == "7.5 times"
    assert paper.words("{door_open.old_share/gipo-1-1 - door_open.old_share/ppo-clip}") == "−0.078"
    assert paper.words("{success.accerl-gipo/libero_object %}") == "100 %"


def test_the_lifetimes_are_twice_the_mean_gaps_of_the_logs() -> None:
    updates = paper.number("updates/metaworld").value
    for regime, lifetime in paper.group("lifetime").items():
        gap = paper.number(f"gap_mean/{regime}").value
        assert lifetime.value == pytest.approx(2 * gap / updates, rel=1e-3)


def test_the_share_of_old_samples_follows_from_the_lifetime() -> None:
    # gaps are uniform on [0, L], and a sample is old from K = 0.1 of all updates on
    assert 1 - 0.1 / paper.number("lifetime/stale").value == pytest.approx(
        paper.number("old_frac/stale").value, abs=paper.number("old_frac/stale").spread
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [("{iqm/gipo}", "iqm has no number 'gipo'; it has: gipo-1-1"), ("{luck/x}", "no group 'luck'; it has: design")],
)
def test_an_unknown_number_is_named_with_those_there_are(text: str, message: str) -> None:
    with pytest.raises(GipoError, match=message):
        paper.words(text)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- 1", "expected groups of numbers by name, found list"),
        ('iqm: {source: P, place: figure 2, values: {a: "about 1"}}', "iqm: values.a = 'about 1'"),
        ('iqm: {source: X, place: figure 2, values: {a: "1"}}', "iqm: source = 'X'"),
        ('iqm: {source: P, place: "", values: {a: "1"}}', "iqm: place = ''"),
    ],
)
def test_a_malformed_group_is_named_with_its_key(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "paper.yaml").write_text(content)
    with pytest.raises(GipoError, match=message):
        paper.groups(tmp_path / "paper.yaml")


ALSO_SETTINGS = ("lifetime", "settings.libero", "updates", "cost.libero", "world_model")
"""Groups whose numbers are defaults of a run, or too plain to be looked for."""

TELLING = sorted(
    {
        text
        for name in paper.groups()
        for number in paper.group(name).values()
        for text in (number.text, number.spread_text or "")
        if name not in ALSO_SETTINGS and len(re.sub("[^0-9]", "", text).lstrip("0")) >= 3
    }
)


def test_a_telling_number_stands_nowhere_else_in_the_package() -> None:
    """Numbers of three digits and more; those in the details of the implementation are quotations of their sources."""
    assert {"0.180", "0.730", "0.793", "43,677"} <= set(TELLING)
    found = []
    for path in sorted(paper.NUMBERS.parent.rglob("*.*")):
        if path.suffix not in (".py", ".yaml", ".html") or path.name == "paper.yaml" or path.parent.name == "details":
            continue
        source = path.read_text(encoding="utf-8")
        if path.name == "claims.yaml":  # its rules have numbers of their own, so that no other file changes a verdict
            source = re.sub(r"^    (?:reproduced|contradicted): .*$", "", source, flags=re.MULTILINE)
        for text in TELLING:
            forms = "|".join(re.escape(form) for form in {text, text.replace(",", "")})
            if re.search(rf"(?<![\d.,])(?:{forms})(?![\d]|\.\d)", source):
                found.append((path.name, text))
    assert found == []
