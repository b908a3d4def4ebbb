"""Requirements on a study before a measured claim is judged on it."""

import itertools
import json
import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gipo.analysis import claims
from gipo.analysis.claims import Claim
from gipo.analysis.collect import Tables
from gipo.analysis.needs import Needs, least_chance
from gipo.analysis.results import Results
from gipo.analysis.verdicts import CANNOT_TELL, MEASURED, NOT_RUN, REPRODUCED
from gipo.config import read_yaml

NOTHING = pd.DataFrame()
PPO, GIPO = {"name": "ppo_clip"}, {"name": "gipo", "parameters": {"sigma_pos": 1, "sigma_neg": 1}}
OF, MINUS = ({"quantity": "score", "method": method, "regime": "stale"} for method in (GIPO, PPO))
LEAD = {"name": "difference", "of": OF, "minus": MINUS}
RULE = {"reproduced": [{"low": {"above": 0}}], "contradicted": [{"high": {"at_most": 0}}], "why": "because"}
LEARNT = {"quantity": "success", "at_least": 0.5}


def claim(needs: dict, measure: dict = LEAD) -> Claim:
    entry = {"id": "a", "section": "s", "kind": MEASURED, "claim": "c", "reference": "r", "source": "[P]"}
    return Claim.model_validate(entry | {"measure": measure, "needs": needs | {"why": "w"}, "rule": RULE})


def study(
    success: dict[str, float] | None = None, *, tasks: int = 2, seeds: int = 4, regimes: tuple[str, ...] = ("stale",),
    updates: int = 1000, learner: dict | None = None, d95: float = 1.0,
) -> Results:  # fmt: skip
    """GIPO (1,1) scores 0.8, PPO-Clip 0.2, in every run; one evaluation of one episode, before and after training."""
    success = {"gipo-1-1": 1.0, "ppo-clip": 0.0} | (success or {})
    spec = json.dumps({"suite": "metaworld", "learner": {"updates": updates, "policy_start": 0} | (learner or {})})
    rows = [
        {"run_id": f"{regime}{method}{task}{seed}", "task": f"task{task}", "regime": regime, "method": method}
        | {"seed": seed, "update": update, "env_steps": 5 * update, "score": score, "spec": spec, "d95": d95}
        | {"success_any": success[method] if update else 0.0}
        for regime, (method, score) in itertools.product(regimes, (("gipo-1-1", 0.8), ("ppo-clip", 0.2)))
        for task, seed, update in itertools.product(range(tasks), range(seeds), (0, updates))
    ]
    table = pd.DataFrame(rows)
    runs = table.drop_duplicates("run_id")
    return Results(Tables(runs, table, table, NOTHING), NOTHING, NOTHING, NOTHING, resamples=50)


def judged(one: Claim, results: Results, not_judged: str = "") -> pd.Series:
    return claims.scorecard(results, [one], not_judged).iloc[0]


@pytest.mark.parametrize(
    ("needs", "results", "reason"),
    [
        ({"reached": [LEARNT]}, study({"gipo-1-1": 0.3}), "the best method's success on stale data is 0.3, needed 0.5"),
        ({"policy_updates": 5000}, study(updates=4000), "4,000 policy updates in a run, needed 5,000"),
        ({"policy_updates": 999}, study(learner={"policy_start": 10, "policy_every": 5}), "198 policy updates"),
        ({"tasks": 8}, study(), "2 tasks, needed 8"),
        ({"seeds": 5}, study(), "4 seeds, needed 5"),
        ({"episodes": 9}, study(), "8 evaluation episodes, needed 9"),
        ({"chance": 0.05}, study(tasks=1, seeds=3), "has probability 0.1 by chance, needed 0.05"),
    ],
)
def test_a_study_that_falls_short_cannot_tell_and_says_why_in_numbers(
    needs: dict, results: Results, reason: str
) -> None:
    row = judged(claim(needs), results)
    assert row["verdict"] == CANNOT_TELL
    assert reason in row["note"][0].lower() + row["note"][1:]
    assert row["measured"] == pytest.approx(0.6)


@pytest.mark.parametrize(
    "needs",
    [
        {"reached": [LEARNT]},
        {"reached": [LEARNT | {"regime": "fresh", "at_least": 2}]},  # the claim is about stale data alone
        {"policy_updates": 1000, "tasks": 2, "seeds": 4, "episodes": 8, "chance": 0.05},
    ],
)
def test_a_study_that_has_what_a_claim_needs_judges_it(needs: dict) -> None:
    assert judged(claim(needs), study())["verdict"] == REPRODUCED


def test_all_that_is_missing_is_named() -> None:
    needs = {"reached": [LEARNT], "policy_updates": 5000, "seeds": 5}
    note = judged(claim(needs), study({"gipo-1-1": 0.0}))["note"]
    assert len(re.findall("needed", note)) == 3


def test_a_claim_on_two_regimes_needs_learning_in_both() -> None:
    measure = LEAD | {"name": "interaction", "against_regime": "fresh"}
    both = study(regimes=("stale", "fresh"))
    assert judged(claim({"reached": [LEARNT]}, measure), both)["verdict"] != CANNOT_TELL
    rows = both.tables.evaluations
    failed = rows.assign(success_any=rows["success_any"] * (rows["regime"] == "stale"))
    half = Results(Tables(both.tables.runs, NOTHING, failed, NOTHING), NOTHING, NOTHING, NOTHING, resamples=50)
    row = judged(claim({"reached": [LEARNT]}, measure), half)
    assert row["verdict"] == CANNOT_TELL
    assert "success on fresh data is 0," in row["note"]


def test_a_statistic_can_be_asked_for_as_well() -> None:
    needs = {"reached": [{"quantity": "d95", "at_least": 0.223}]}
    assert judged(claim(needs), study(d95=0.3))["verdict"] == REPRODUCED
    assert "d95 on stale data is 0.2, needed 0.223" in judged(claim(needs), study(d95=0.2))["note"]


def test_what_has_not_run_is_not_run_whatever_it_needs() -> None:
    of = OF | {"sweep": "ranking"}
    assert judged(claim({"tasks": 99}, {"name": "level", "of": of}), study())["verdict"] == NOT_RUN


def test_a_scale_that_tests_the_software_gives_no_verdict() -> None:
    row = judged(claim({"tasks": 1}), study(), not_judged=claims.NO_VERDICTS)
    assert row["verdict"] == CANNOT_TELL
    assert row["note"].startswith("Not judged: this scale tests the software.")


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 2))
def test_least_chance_is_the_share_of_labellings_that_are_as_clear(one: int, other: int, tasks: int) -> None:
    """By enumeration: of all ways to label the runs of each task, those in which one group is above in all tasks."""
    ways = [set(chosen) for chosen in itertools.combinations(range(one + other), one)]
    top, bottom = set(range(other, one + other)), set(range(one))
    clear = sum(
        all(chosen == top for chosen in labels) or all(chosen == bottom for chosen in labels)
        for labels in itertools.product(ways, repeat=tasks)
    )
    groups = [np.zeros((one, tasks)), np.zeros((other, tasks))]
    assert least_chance(groups) == pytest.approx(clear / len(ways) ** tasks)


@given(st.integers(1, 5), st.integers(1, 2))
def test_least_chance_of_one_group_is_that_of_a_sign_test(seeds: int, tasks: int) -> None:
    assert least_chance([np.zeros((seeds, tasks))]) == min(1, 2 * math.pow(0.5, seeds * tasks))


def test_needs_have_something_to_ask_for() -> None:
    with pytest.raises(ValueError, match="something that a study must reach"):
        Needs(why="because")
    with pytest.raises(ValueError, match="needs of claims that are measured, and of no others"):
        Claim.model_validate(claim({"tasks": 1}).model_dump() | {"kind": "exact"})


class TestClaimsFile:
    CLAIMS = claims.load()

    def test_exact_measures_are_of_no_measured_claim_and_need_no_runs(self) -> None:
        assert all((one.kind == MEASURED) <= bool(one.measure.cells()) for one in self.CLAIMS)
        assert all((one.kind in ("exact", "by construction")) == (not one.measure.cells()) for one in self.CLAIMS)

    def test_claims_of_one_sort_have_the_same_needs(self) -> None:
        """Their needs without the reasons, by the quantity and the measure."""
        asked: dict[tuple, set[str]] = {}
        for one in self.CLAIMS:
            if one.needs and one.measure.name != "correlation":
                cell, returns = one.measure.cells()[0], one.measure.cells()[0].quantity in ("score", "success")
                sort = cell.suite, returns, returns and one.measure.name == "level"
                asked.setdefault(sort, set()).add(one.needs.model_dump_json(exclude={"why"}))
        assert {key: len(needs) for key, needs in asked.items()} == {
            ("metaworld", True, False): 1,
            ("metaworld", True, True): 1,
            ("metaworld", False, False): 2,  # how far the policy moves, and how the samples are used
            ("libero", True, False): 1,
            ("libero", True, True): 1,
        }

    def test_rules_and_needs_have_no_number_of_another_file(self) -> None:
        for entry in read_yaml(claims.CLAIMS):
            judging = [entry["rule"], entry.get("needs", {})]
            assert not [leaf for leaf in _leaves([{**one, "why": ""} for one in judging]) if "{" in leaf]


def _leaves(value: object) -> list[str]:
    if isinstance(value, dict):
        return [leaf for one in value.values() for leaf in _leaves(one)]
    if isinstance(value, list):
        return [leaf for one in value for leaf in _leaves(one)]
    return [str(value)]
