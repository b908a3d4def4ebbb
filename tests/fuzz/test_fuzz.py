"""A share of the campaign; `python -m fuzz` in this folder's parent has the rest."""

import random

import pytest

from fuzz.campaign import campaign
from fuzz.kinds import KINDS
from fuzz.mutations import damaged, damaged_json, damaged_yaml
from gipo.errors import GipoError

FEW = {"weights": 10, "model config": 10, "projector": 10}


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_input_is_accepted_or_refused_in_one_line(kind: str):
    result = campaign(kind, FEW.get(kind, 50))
    assert not result.failures, "\n\n".join(result.failures)
    assert result.refused


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_more_damaged_input(kind: str):
    result = campaign(kind, FEW.get(kind, 300), first=10_000)
    assert not result.failures, "\n\n".join(result.failures)


@pytest.mark.parametrize("mutate", [damaged, damaged_json, damaged_yaml])
def test_an_input_follows_from_its_number(mutate):
    one, again, other = (mutate(b'{"a": [1, 2, {"b": "c"}]}', random.Random(seed)) for seed in (3, 3, 4))
    assert one == again != other


def test_a_traceback_a_silent_end_and_a_long_line_are_told(monkeypatch: pytest.MonkeyPatch):
    def fails(folder, chance):
        if chance.random() < 0.5:
            raise KeyError("x")
        error = GipoError("x")
        error.args = ("two\nlines",)
        raise error

    monkeypatch.setitem(KINDS, "bad", fails)
    result = campaign("bad", 20)
    assert (result.accepted, result.refused, len(result.failures)) == (0, 0, 20)
    assert any("KeyError: 'x'" in failure and "python -m fuzz bad --first" in failure for failure in result.failures)
    assert any("no line" in failure for failure in result.failures)
