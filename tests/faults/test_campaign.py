"""Sixty faults, always the same; `python -m tests.faults` tries as many others as one likes."""

from pathlib import Path

import pytest

from campaign import bad, conduct, plan, table
from kinds import KINDS
from shim import compiler
from workshop import Workshop

SEED = 12
LONG = ("workflow: ", "actor: ")
"""Kinds that take many seconds each; tests of the workflow and of the engine have some of them."""


def test_a_campaign_has_each_kind_and_its_size():
    cases = plan(1000, seed=1)
    assert {name for name, _ in cases} == {*KINDS}
    assert len(cases) >= 1000
    assert len({*cases}) == len(cases)
    assert plan(1000, seed=1) == cases != plan(1000, seed=2)


@pytest.mark.slow
@pytest.mark.skipif(compiler() is None, reason="no C compiler: `cc` builds what strikes at a chosen call")
def test_no_fault_ends_in_silence(tmp_path: Path):
    cases = [case for case in plan(1000, SEED) if not case[0].startswith(LONG)]
    names = [name for name, _ in cases]
    earlier = {case: names[:number].count(case[0]) for number, case in enumerate(cases)}
    chosen = sorted(cases, key=lambda case: earlier[case])[:60]  # each kind once before any twice
    found = conduct(Workshop(tmp_path), chosen, tmp_path / "results.jsonl")
    assert {result.kind for result in found} == {*names}
    assert len(found) == 60
    assert bad(found) == [], table(found)
