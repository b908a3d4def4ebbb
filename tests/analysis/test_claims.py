import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gipo import theory
from gipo.analysis import claims
from gipo.analysis.cells import Cell
from gipo.analysis.claims import COLUMNS, Claim
from gipo.analysis.collect import Tables
from gipo.analysis.results import Results
from gipo.analysis.rules import Rule
from gipo.analysis.statistics import Estimate
from gipo.analysis.verdicts import (
    CANNOT_TELL,
    CONTRADICTED,
    INCONCLUSIVE,
    NOT_RUN,
    REPRODUCED,
    VERDICTS,
)
from gipo.errors import GipoError
from gipo.gridworld import pareto
from gipo.stages import StudyFolder

ORDERING = {"reproduced": [{"low": {"above": 0}}], "contradicted": [{"high": {"at_most": 0}}], "why": "because"}
GIPO = {"name": "gipo", "parameters": {"sigma_pos": 1, "sigma_neg": 1}}
PPO, SAPO, NO_CLIP = ({"name": name} for name in ("ppo_clip", "sapo", "no_clip"))
STALE_GIPO = {"quantity": "score", "method": GIPO, "regime": "stale"}
STALE_PPO = STALE_GIPO | {"method": PPO}
STALE_LEAD = {"name": "difference", "of": STALE_GIPO, "minus": STALE_PPO}
LAG_AND_TAIL = {
    "name": "correlation",
    "x": "gap_share",
    "y": "d95",
    "task": "t",
    "regimes": ["fresh", "stale"],
    "configurations": 3,
}


def claim(measure: dict, **more: object) -> Claim:
    entry = {"id": "a", "section": "s", "kind": "exact", "claim": "c", "reference": "r", "source": "[P]"}
    return Claim.model_validate(entry | {"measure": measure, "rule": ORDERING} | more)


def table(runs: dict[tuple[str, str], list[list[float]]], column: str, task: str = "") -> pd.DataFrame:
    """(regime, method) to values [seeds][tasks] of runs that logged once, at update 1000; `task`: of a single task."""
    return pd.DataFrame(
        [
            {"run_id": f"{regime}{method}{seed}{number}", "regime": regime, "method": method, "seed": seed}
            | {"task": task or f"task{number}", "update": 1000, "env_steps": 5000, "episode": 0, column: value}
            for (regime, method), seeds in runs.items()
            for seed, tasks in enumerate(seeds)
            for number, value in enumerate(tasks)
        ]
    )


EMPTY = pd.DataFrame(columns=["run_id", "update", "gap_mean", "regime", "method", "task"])


def tables(scores: pd.DataFrame | None = None, metrics: pd.DataFrame | None = None) -> Tables:
    return Tables(EMPTY, EMPTY if metrics is None else metrics, EMPTY if scores is None else scores, EMPTY)


def results(
    scores: pd.DataFrame | None = None, metrics: pd.DataFrame | None = None, *,
    weights: pd.DataFrame = EMPTY, grid: pd.DataFrame = EMPTY, margins: pd.DataFrame = EMPTY, **sweeps: Tables,
) -> Results:  # fmt: skip
    return Results(tables(scores, metrics), weights, grid, margins, resamples=400, sweeps=sweeps)


def judge(one: Claim, study: Results) -> pd.Series:
    """Its row by its rule, whatever it needs; for that see test_needs."""
    return claims.scorecard(study, [one.model_copy(update={"needs": None})]).iloc[0]


class TestRules:
    @pytest.mark.parametrize(
        ("value", "low", "high", "verdict"),
        [
            (0.5, 0.1, 0.9, REPRODUCED),
            (0.5, 0.0, 0.9, INCONCLUSIVE),
            (0.5, -0.1, 0.9, INCONCLUSIVE),
            (0.0, -0.1, 0.9, INCONCLUSIVE),
            (-0.5, -0.9, 0.1, INCONCLUSIVE),
            (-0.5, -0.9, -0.1, CONTRADICTED),
        ],
    )
    def test_ordering(self, value: float, low: float, high: float, verdict: str) -> None:
        assert Rule.model_validate(ORDERING).verdict(Estimate(value, low, high, 6, "")) == verdict

    @pytest.mark.parametrize(
        ("low", "high", "verdict"),
        [
            (0.9, 1.1, REPRODUCED),
            (0.8, 1.1, INCONCLUSIVE),
            (0.9, 1.3, INCONCLUSIVE),
            (1.3, 1.4, CONTRADICTED),
            (0.5, 0.6, CONTRADICTED),
        ],
    )
    def test_alternatives_are_any_of_and_conditions_all_of(self, low: float, high: float, verdict: str) -> None:
        rule = Rule.model_validate(
            {
                "reproduced": [{"low": {"at_least": 0.9}, "high": {"at_most": 1.1}}],
                "contradicted": [{"low": {"above": 1.2}}, {"high": {"below": 0.7}}],
                "why": "within a tenth",
            }
        )
        assert rule.verdict(Estimate((low + high) / 2, low, high, 6, "")) == verdict
        assert rule.words() == (
            "reproduced if low ≥ 0.9 and high ≤ 1.1; contradicted if low > 1.2 or high < 0.7; "
            "otherwise inconclusive (within a tenth)"
        )


CLAIMS = claims.load()
PUBLISHED = [one for one in CLAIMS if re.match(r"\d", one.reference)]


class TestClaimsFile:
    def test_ids_are_unique_and_the_headline_comes_first(self) -> None:
        ids = [one.id for one in claims.load()]
        assert len(set(ids)) == len(ids)
        assert ids[0] == "stale-gipo-over-ppo"

    @pytest.mark.parametrize("one", CLAIMS, ids=lambda one: one.id)
    @given(ends=st.lists(st.floats(-50, 50) | st.floats(-0.2, 1.2), min_size=3, max_size=3))
    def test_no_result_is_both_reproduced_and_contradicted(self, one: Claim, ends: list[float]) -> None:
        low, value, high = sorted(ends)
        estimate = Estimate(value, low, high, 6, "")
        assert not (
            any(c.holds(estimate) for c in one.rule.reproduced)
            and any(c.holds(estimate) for c in one.rule.contradicted)
        )

    @pytest.mark.parametrize("one", PUBLISHED, ids=lambda one: one.id)
    def test_the_published_number_would_be_reproduced(self, one: Claim) -> None:
        value = float(one.reference.split()[0])
        assert one.rule.verdict(Estimate(value, value, value, 6, "")) == REPRODUCED

    def test_sources_are_tagged(self) -> None:
        assert all(re.match(r"\[[PCHR]", one.source) for one in claims.load())


class TestBadClaims:
    GOOD = yaml.safe_load(claims.CLAIMS.read_text())[0]

    @pytest.mark.parametrize(
        ("change", "key"),
        [
            ({"measure": {"name": "vibes"}}, "measure: .*'vibes'"),
            ({"measure": {"name": "level", "of": STALE_PPO, "minus": STALE_PPO}}, r"measure\.level\.minus"),
            ({"measure": {"name": "level", "of": STALE_PPO | {"sweep": "beta"}}}, r"of\.sweep: .*'beta'"),
            ({"measure": {"name": "level", "of": STALE_PPO | {"quantity": "luck"}}}, r"of\.quantity: .*'luck'"),
            ({"measure": LAG_AND_TAIL | {"y": "luck"}}, r"measure\.correlation\.y: .*'luck'"),
            ({"rule": ORDERING | {"reproduced": []}}, r"rule\.reproduced"),
            ({"rule": ORDERING | {"reproduced": [{"low": {"over": 0}}]}}, r"rule\.reproduced\.0\.low\.over"),
            ({"rule": ORDERING | {"reproduced": [{"low": {}}]}}, r"reproduced\.0\.low: .*at least one of above"),
            ({"rule": ORDERING | {"reproduced": [{}]}}, r"reproduced\.0: .*at least one of value"),
            ({"rule": ORDERING | {"reproduced": [{"low": {"above": "nothing"}}]}}, r"low\.above: .*'nothing'"),
            ({"rule": None}, "rule: .*valid dictionary"),
            ({"source": "the paper"}, "source: .*'the paper'"),
            ({"verdict": "reproduced"}, "verdict: .*not permitted"),
        ],
    )
    def test_malformed_claim_is_named_with_its_key(self, change: dict, key: str, tmp_path: Path) -> None:
        path = tmp_path / "claims.yaml"
        path.write_text(yaml.safe_dump([self.GOOD | change]))
        with pytest.raises(GipoError, match=f"claim 'stale-gipo-over-ppo', .*{key}"):
            claims.load(path)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a: 1", "expected a list"),
            ("[", "is not valid YAML"),
            ("- 7", "claim 7, the whole"),
            (None, "cannot read"),
        ],
    )
    def test_file_that_holds_no_claims(self, text: str | None, message: str, tmp_path: Path) -> None:
        if text is not None:
            (tmp_path / "claims.yaml").write_text(text)
        with pytest.raises(GipoError, match=message):
            claims.load(tmp_path / "claims.yaml")

    def test_double_id(self, tmp_path: Path) -> None:
        (tmp_path / "claims.yaml").write_text(yaml.safe_dump([self.GOOD, self.GOOD]))
        with pytest.raises(GipoError, match="more than one claim has the id 'stale-gipo-over-ppo'"):
            claims.load(tmp_path / "claims.yaml")


class TestRunMeasures:
    def test_level_is_the_mean_with_the_bootstrap_interval_of_two_seeds(self) -> None:
        # means of two draws from {0, 1}: 0, 0.5, 1 with probability 1/4, 1/2, 1/4
        study = results(metrics=table({("stale", "sapo"): [[0.0], [1.0]]}, "dead"))
        row = judge(claim({"name": "level", "of": {"quantity": "dead", "method": SAPO, "regime": "stale"}}), study)
        assert tuple(row[["measured", "low", "high", "n", "verdict"]]) == (0.5, 0.0, 1.0, 2, INCONCLUSIVE)
        assert row["note"] == "1 task x 2 seeds."

    def test_level_of_a_regime_averages_over_methods_and_counts_their_runs(self) -> None:
        study = results(metrics=table({("fresh", "a"): [[0.1], [0.1]], ("fresh", "b"): [[0.3], [0.3]]}, "d95"))
        row = judge(claim({"name": "level", "of": {"quantity": "d95", "regime": "fresh"}}), study)
        assert row["measured"] == pytest.approx(0.2)
        assert row["n"] == 4

    def test_gap_share_is_in_units_of_the_updates(self) -> None:
        study = results(metrics=table({("fresh", "a"): [[50.0], [70.0]]}, "gap_mean"))
        row = judge(claim({"name": "level", "of": {"quantity": "gap_share", "regime": "fresh"}}), study)
        assert row["measured"] == pytest.approx(0.06)

    def test_only_the_last_fifth_of_the_env_steps_counts(self) -> None:
        late = table({("stale", "sapo"): [[0.4], [0.4]]}, "dead")
        early = late.assign(update=500, env_steps=2500, dead=9.0)
        study = results(metrics=pd.concat([early, late]))
        row = judge(claim({"name": "level", "of": {"quantity": "dead", "method": SAPO, "regime": "stale"}}), study)
        assert row["measured"] == pytest.approx(0.4)

    def test_score_is_the_interquartile_mean(self) -> None:
        scores = table({("stale", "ppo-clip"): [[0.0, 0.2], [0.4, 9.0]]}, "score")
        row = judge(claim({"name": "level", "of": STALE_PPO}), results(scores))
        assert row["measured"] == pytest.approx(0.3)

    def test_difference_of_two_methods(self) -> None:
        scores = {("stale", "gipo-1-1"): [[0.7], [0.8]], ("stale", "ppo-clip"): [[0.1], [0.3]]}
        row = judge(claim(STALE_LEAD), results(table(scores, "score")))
        assert row["measured"] == pytest.approx(0.55)
        assert row["low"] == pytest.approx(0.4)
        assert row["high"] == pytest.approx(0.7)
        assert row["n"] == 4
        assert row["verdict"] == REPRODUCED

    def test_ratio_of_two_regimes(self) -> None:
        runs = {("stale", "sapo"): [[0.6], [0.6]], ("fresh", "sapo"): [[0.1], [0.1]]}
        cell = {"quantity": "dead", "method": SAPO}
        measure = {"name": "ratio", "of": cell | {"regime": "stale"}, "over": cell | {"regime": "fresh"}}
        assert judge(claim(measure), results(metrics=table(runs, "dead")))["measured"] == pytest.approx(6)

    def test_ratio_over_zero_has_no_verdict(self) -> None:
        runs = {("stale", "sapo"): [[0.6], [0.6]], ("fresh", "sapo"): [[0.0], [0.1]]}
        cell = {"quantity": "dead", "method": SAPO}
        measure = {"name": "ratio", "of": cell | {"regime": "stale"}, "over": cell | {"regime": "fresh"}}
        row = judge(claim(measure), results(metrics=table(runs, "dead")))
        assert row["verdict"] == CANNOT_TELL
        assert "the denominator is 0 in some runs" in row["note"]

    def test_interaction_is_the_difference_of_differences(self) -> None:
        values = {"stale": (0.7, 0.2), "fresh": (0.8, 0.7)}
        runs = {
            (regime, method): [[value], [value]]
            for regime, pair in values.items()
            for method, value in zip(("gipo-1-1", "ppo-clip"), pair, strict=True)
        }
        measure = {"name": "interaction", "of": STALE_GIPO, "minus": STALE_PPO, "against_regime": "fresh"}
        row = judge(claim(measure), results(table(runs, "score")))
        assert row["measured"] == pytest.approx(0.4)
        assert row["n"] == 8

    def test_intervals_do_not_depend_on_other_methods(self) -> None:
        rng = np.random.default_rng(0)
        runs = {("stale", name): rng.random((5, 3)).tolist() for name in ("ppo-clip", "gipo-1-1", "other")}
        with_other = judge(claim(STALE_LEAD), results(table(runs, "score")))
        del runs["stale", "other"]
        pd.testing.assert_series_equal(with_other, judge(claim(STALE_LEAD), results(table(runs, "score"))))


class TestScores:
    def study(self, sweep: bool = False) -> Results:
        """Returns on two tasks; the score is twice the return."""
        returns = {
            ("stale", "gipo-1-1"): [[0.6, 40.0], [0.8, 60.0]],
            ("stale", "ppo-clip"): [[0.2, 10.0], [0.4, 10.0]],
            ("stale", "sapo"): [[0.5, 0.0], [0.5, 0.0]],
        }
        rows = table(returns, "return").assign(success_any=1.0)
        rows["score"] = 2 * rows["return"]
        return results(rows)

    def test_a_score_above_the_experts_counts_as_the_experts(self) -> None:
        row = judge(claim({"name": "level", "of": STALE_GIPO}), self.study())
        assert row["measured"] == 1

    def test_the_min_max_score_is_between_the_least_and_the_greatest_method_of_each_task(self) -> None:
        # by hand: task 0 from PPO's 0.3 to GIPO's 0.7, task 1 from SAPO's 0 to GIPO's 50
        level = {"name": "level", "of": STALE_PPO | {"quantity": "min_max_score"}}
        row = judge(claim(level), self.study())  # -0.25, 0.25 and twice 0.2, of which the IQM takes the middle two
        assert row["measured"] == pytest.approx(0.2)
        lead = {"name": "difference", "of": STALE_GIPO, "minus": STALE_PPO}
        lead = {key: value | {"quantity": "min_max_score"} if key != "name" else value for key, value in lead.items()}
        assert judge(claim(lead), self.study())["measured"] == pytest.approx(1.0 - 0.2)

    def test_an_aside_is_said_and_decides_nothing(self) -> None:
        aside = {"text": "Otherwise", "measure": {"name": "level", "of": STALE_GIPO | {"quantity": "success"}}}
        missing = aside | {"measure": {"name": "level", "of": STALE_GIPO | {"regime": "fresh"}}}
        row = judge(claim({"name": "level", "of": STALE_PPO}, asides=[aside, missing]), self.study())
        assert row["note"].endswith("Otherwise: 1.00. Otherwise: no runs in regime 'fresh'.")
        assert row["measured"] == pytest.approx(0.9)  # 0.4, 0.8 and twice the ceiling


class TestMethodsByWhatTheyAre:
    def test_a_claim_takes_the_runs_of_its_method_whatever_their_label(self) -> None:
        scores = {("stale", "foo: gipo-1-1"): [[0.7], [0.8]], ("stale", "bar: ppo-clip"): [[0.1], [0.3]]}
        assert judge(claim(STALE_LEAD), results(table(scores, "score")))["measured"] == pytest.approx(0.55)

    def test_a_label_that_says_gipo_does_not_make_it_gipo(self) -> None:
        scores = {("stale", "gipo-1-1: ppo-clip"): [[0.7], [0.8]], ("stale", "sapo"): [[0.1], [0.3]]}
        study = results(table(scores, "score"))
        row = judge(claim(STALE_LEAD), study)
        assert (row["verdict"], row["note"]) == (NOT_RUN, "Not in this study: gipo-1-1 in regime 'stale'.")
        assert judge(claim({"name": "level", "of": STALE_PPO}), study)["measured"] == pytest.approx(0.75)

    def test_two_labels_of_one_method_are_refused_and_named(self) -> None:
        scores = {("stale", name): [[0.7], [0.8]] for name in ("gipo-1-1", "foo: gipo-1-1", "ppo-clip")}
        row = judge(claim(STALE_LEAD), results(table(scores, "score")))
        assert (row["verdict"], row["note"]) == (CANNOT_TELL, "Ambiguous: 'foo' and 'gipo-1-1' are both gipo-1-1.")

    def test_a_label_does_not_change_an_interval(self) -> None:
        runs = np.random.default_rng(0).random((2, 5, 3)).tolist()
        rows = [
            judge(
                claim(STALE_LEAD),
                results(table({("stale", name): run for name, run in zip(names, runs, strict=True)}, "score")),
            )
            for names in (("gipo-1-1", "ppo-clip"), ("x: gipo-1-1", "y: ppo-clip"))
        ]
        pd.testing.assert_series_equal(*rows)

    def test_another_kernel_or_other_targets_are_another_method(self) -> None:
        names = ("gipo-1-1[kernel=cauchy]", "vtrace-gipo-1-1", "ppo-clip")
        row = judge(claim(STALE_LEAD), results(table({("stale", name): [[0.7], [0.8]] for name in names}, "score")))
        assert row["note"] == "Not in this study: gipo-1-1 in regime 'stale'."

    def test_an_objective_that_does_not_exist_is_found_when_claims_are_read(self) -> None:
        with pytest.raises(ValueError, match="unknown objective 'gippo'"):
            claim({"name": "level", "of": STALE_GIPO | {"method": {"name": "gippo"}}})

    def test_the_rivals_of_a_family_are_those_of_another_objective(self) -> None:
        names = ("gipo-1-1: sapo", "foo: gipo-1-1", "bar: gipo-2-2", "no-clip")
        scores = {("stale", name): [[score]] * 2 for name, score in zip(names, (0.9, 0.8, 0.7, 0.6), strict=True)}
        assert judge(claim(TOP_TWO), results(table(scores, "score")))["measured"] == 1


class TestNotTested:
    @pytest.mark.parametrize(
        ("runs", "reason"),
        [
            ({("stale", "gipo-1-1"): [[1.0], [1.0]]}, "Not in this study: ppo-clip in regime 'stale'."),
            ({("fresh", "gipo-1-1"): [[1.0], [1.0]]}, "No runs in regime 'stale'"),
            ({("stale", "gipo-1-1"): [[1.0, 1.0]] * 2, ("stale", "ppo-clip"): [[1.0]] * 2}, "no runs of task 'task1'"),
            ({("stale", "gipo-1-1"): [[1.0]], ("stale", "ppo-clip"): [[0.1]]}, "single seed.*no verdict"),
            ({("stale", "gipo-1-1"): [[1.0], [np.nan]], ("stale", "ppo-clip"): [[0.1]] * 2}, "ndefined.*no verdict"),
        ],
    )
    def test_what_is_missing_is_said(self, runs: dict, reason: str) -> None:
        row = judge(claim(STALE_LEAD), results(table(runs, "score")))
        assert row["verdict"] == (CANNOT_TELL if re.search("no runs of task|verdict", reason) else NOT_RUN)
        assert re.search(reason, row["note"])

    def test_regime_without_runs(self) -> None:
        study = results(metrics=table({("stale", "a"): [[1.0], [1.0]]}, "d95"))
        row = judge(claim({"name": "level", "of": {"quantity": "d95", "regime": "fresh"}}), study)
        assert (row["verdict"], row["note"]) == (NOT_RUN, "No runs in regime 'fresh'.")

    @pytest.mark.parametrize(
        ("where", "reason"),
        [
            ({"sweep": "vtrace"}, "No sweep 'vtrace' at this scale."),
            ({"task": "push-v3"}, "No runs of task 'push-v3' in regime 'stale'."),
            ({"task": "push-v3", "sweep": "lag"}, "No runs of task 'push-v3' in sweep 'lag' in regime 'stale'."),
        ],
    )
    def test_sweep_or_task_without_runs(self, where: dict, reason: str) -> None:
        runs = table({("stale", "ppo-clip"): [[1.0], [1.0]]}, "score")
        row = judge(claim({"name": "level", "of": STALE_PPO | where}), results(runs, lag=tables(runs)))
        assert (row["verdict"], row["note"]) == (NOT_RUN, reason)

    def test_methods_with_other_numbers_of_seeds(self) -> None:
        study = results(metrics=table({("stale", "a"): [[1.0]] * 2, ("stale", "b"): [[1.0]] * 3}, "d95"))
        row = judge(claim({"name": "level", "of": {"quantity": "d95", "regime": "stale"}}), study)
        assert row["note"] == "Methods in regime 'stale' differ in their number of seeds."

    def test_a_claim_on_the_other_suite(self) -> None:
        row = judge(claim({"name": "level", "of": STALE_PPO | {"suite": "libero"}}), results())
        assert (row["verdict"], row["note"]) == (NOT_RUN, "Needs runs of LIBERO.")
        assert pd.isna(row["measured"])


class TestSweepsAndTasks:
    def test_a_cell_takes_the_runs_of_its_sweep(self) -> None:
        main, sweep = (table({("stale", "ppo-clip"): [[value], [value]]}, "score") for value in (0.2, 0.6))
        study = results(main, ranking=tables(sweep))
        levels = [{"name": "level", "of": STALE_PPO | where} for where in ({}, {"sweep": "ranking"})]
        assert [judge(claim(level), study)["measured"] for level in levels] == pytest.approx([0.2, 0.6])

    def test_the_same_method_in_two_sweeps_is_two_groups_of_runs(self) -> None:
        one, two = (table({("stale", "ppo-clip"): [[value], [value]]}, "score") for value in (0.2, 0.6))
        cells = [STALE_PPO | {"sweep": name} for name in ("ranking", "vtrace")]
        study = results(ranking=tables(one), vtrace=tables(two))
        row = judge(claim({"name": "difference", "of": cells[1], "minus": cells[0]}), study)
        assert (row["measured"], row["n"]) == (pytest.approx(0.4), 4)

    def test_a_cell_takes_the_runs_of_its_task(self) -> None:
        study = results(table({("stale", "ppo-clip"): [[0.1, 0.3], [0.1, 0.5]]}, "score"))
        row = judge(claim({"name": "level", "of": STALE_PPO | {"task": "task1"}}), study)
        assert (row["measured"], row["n"], row["note"]) == (pytest.approx(0.4), 2, "1 task x 2 seeds.")

    def test_claims_with_a_number_for_door_open_ignore_the_other_tasks(self) -> None:
        door = table({("stale", "ppo-clip"): [[0.3]] * 2, ("stale", "gipo-1-1"): [[1.3]] * 2}, "d95", "door-open-v3")
        push = table({("stale", "ppo-clip"): [[9.0]] * 2, ("stale", "gipo-1-1"): [[0.0]] * 2}, "d95", "push-v3")
        study = results(metrics=pd.concat([door, push]))
        rows = [judge(one, study) for one in claims.load() if one.id in ("d95-gipo-over-ppo", "d95-ppo", "d95-gipo")]
        assert [row["measured"] for row in rows] == pytest.approx([1, 0.3, 1.3])


class TestExtremes:
    OF, OTHERS = STALE_GIPO, (STALE_PPO, STALE_GIPO | {"method": SAPO})

    @pytest.mark.parametrize(
        ("name", "means", "value", "verdict"),
        [
            ("advantage_over_best", (0.9, 0.5, 0.7), 0.2, REPRODUCED),
            ("advantage_over_best", (0.6, 0.5, 0.7), -0.1, CONTRADICTED),
            ("shortfall_from_least", (0.1, 0.5, 0.4), 0.3, REPRODUCED),
            ("shortfall_from_least", (0.45, 0.5, 0.4), -0.05, CONTRADICTED),
        ],
    )
    def test_against_the_nearest_of_the_others(self, name: str, means: tuple, value: float, verdict: str) -> None:
        names = ("gipo-1-1", "ppo-clip", "sapo")
        runs = {("stale", method): [[mean - 0.01], [mean + 0.01]] for method, mean in zip(names, means, strict=True)}
        row = judge(claim({"name": name, "of": self.OF, "others": self.OTHERS}), results(table(runs, "score")))
        assert (row["measured"], row["n"], row["verdict"]) == (pytest.approx(value), 6, verdict)

    def test_the_interval_is_that_of_the_maximum(self) -> None:
        # the others are -1 and a mean of two draws from {-2, 0}; their maximum is -1, -1, 0 with odds 1/4, 1/2, 1/4
        runs = {
            ("stale", "gipo-1-1"): [[1.0]] * 2,
            ("stale", "ppo-clip"): [[-1.0]] * 2,
            ("stale", "sapo"): [[-2.0], [0.0]],
        }
        row = judge(
            claim({"name": "advantage_over_best", "of": self.OF, "others": self.OTHERS}), results(table(runs, "score"))
        )
        assert tuple(row[["measured", "low", "high"]]) == (2.0, 1.0, 2.0)


SCORES = {"quantity": "score", "regime": "stale"}
TOP_TWO = {"name": "top_ranks", "of": SCORES, "objective": "gipo", "ranks": 2, "configurations": 4}


class TestTopRanks:
    def row(self, scores: dict[str, list[float]]) -> pd.Series:
        runs = {("stale", method): [[value] for value in seeds] for method, seeds in scores.items()}
        return judge(claim(TOP_TWO), results(table(runs, "score")))

    @pytest.mark.parametrize(
        ("scores", "count"),
        [((0.1, 0.2, 0.8, 0.9), 2), ((0.1, 0.85, 0.8, 0.9), 1), ((0.95, 0.85, 0.8, 0.1), 0), ((0.5, 0.5, 0.5, 0.9), 1)],
        ids=["both", "one", "none", "a tie goes to the rival"],
    )
    def test_count(self, scores: tuple, count: int) -> None:
        names = ("a", "z", "gipo-1-1", "gipo-2-2")
        row = self.row({name: [score, score] for name, score in zip(names, scores, strict=True)})
        assert tuple(row[["measured", "low", "high", "n"]]) == (count, count, count, 8)

    def test_interval_is_over_resamples_of_every_method(self) -> None:
        # The rival's mean is 0, 0.5 or 1 with odds 1/4, 1/2, 1/4: at 1 it displaces one of the two.
        row = self.row({"a": [0.0, 1.0], "b": [0.1, 0.1], "gipo-1-1": [0.7, 0.7], "gipo-2-2": [0.8, 0.8]})
        assert tuple(row[["measured", "low", "high"]]) == (2, 1, 2)

    def test_fewer_configurations_than_the_claim_is_about(self) -> None:
        row = self.row({name: [0.1, 0.2] for name in ("a", "b", "gipo-1-1")})
        assert (row["verdict"], row["note"]) == (CANNOT_TELL, "3 methods were ranked, needed 4.")

    def test_only_scores_of_all_methods_are_ranked(self) -> None:
        with pytest.raises(ValueError, match="expected the score of all methods"):
            claim(TOP_TWO | {"of": STALE_GIPO})


class TestCorrelation:
    def study(self, runs: dict[tuple[str, str], list[tuple[float, float]]]) -> Results:
        """(regime, method) to (mean gap share, D0.95) of each seed."""
        columns = [
            table({cell: [[pair[i]] for pair in seeds] for cell, seeds in runs.items()}, name, "t")
            for i, name in enumerate(("gap_mean", "d95"))
        ]
        metrics = columns[0].assign(gap_mean=1000 * columns[0]["gap_mean"], d95=columns[1]["d95"])
        return results(metrics=pd.concat([metrics, metrics.assign(task="other", d95=7.0)]))

    def test_pearson_of_the_means_by_hand(self) -> None:
        # means (0, 0), (1, 3), (2, 3): deviations (-1, -2), (0, 1), (1, 1), so r = 3 / sqrt(2 * 6)
        runs = {("fresh", "a"): [(0, -1), (0, 1)], ("stale", "a"): [(1, 2), (1, 4)], ("stale", "b"): [(2, 3), (2, 3)]}
        row = judge(claim(LAG_AND_TAIL), self.study(runs))
        assert (row["measured"], row["n"]) == (pytest.approx(3 / np.sqrt(12)), 6)
        assert row["low"] < row["measured"] < row["high"] <= 1
        assert row["note"] == "1 task x 2 seeds; 3 configurations, whose choice the interval does not cover."

    def test_both_values_of_a_run_are_resampled_together(self) -> None:
        """All runs on one line: r is 1 in every resample that keeps pairs, and in few that do not."""
        rng = np.random.default_rng(0)
        runs = {
            (regime, method): [(x, 1 + 2 * x) for x in rng.random(4)]
            for regime in ("fresh", "stale")
            for method in ("a", "b")
        }
        row = judge(claim(LAG_AND_TAIL), self.study(runs))
        assert tuple(row[["measured", "low", "high"]]) == pytest.approx((1, 1, 1))

    def test_two_configurations_are_always_on_a_line(self) -> None:
        runs = {("fresh", "a"): [(0, 0), (0, 1)], ("stale", "a"): [(1, 1), (1, 2)]}
        row = judge(claim(LAG_AND_TAIL), self.study(runs))
        assert (row["verdict"], row["note"]) == (CANNOT_TELL, "2 configurations, needed 3.")

    def test_a_nan_is_said(self) -> None:
        runs = {(regime, method): [(0, 1), (1, 2)] for regime in ("fresh", "stale") for method in ("a", "b")}
        runs["stale", "b"] = [(0, 1), (1, np.nan)]
        row = judge(claim(LAG_AND_TAIL), self.study(runs))
        assert row["verdict"] == CANNOT_TELL
        assert "a value is NaN" in row["note"]


class TestTheory:
    @pytest.mark.parametrize("bound", ["attenuation", "performance", "finite_sample"])
    def test_bounds_hold_on_every_mdp(self, bound: str) -> None:
        row = judge(claim({"name": "theory", "bound": bound, "mdps": 30}), results())
        assert tuple(row[["measured", "low", "high", "n"]]) == (1, 1, 1, 30)

    @pytest.mark.parametrize(
        ("bound", "function", "wrong"),
        [
            ("attenuation", "attenuation_bound", lambda divergence, sigma, epsilon: 0.1 * divergence),
            ("performance", "performance_lower_bound", lambda mdp, pi, mu, sigma: mdp.performance(mu)),
            ("finite_sample", "hoeffding_radius", lambda largest_advantage, sigma, samples, delta: 0.0),
        ],
    )
    def test_a_bound_that_is_too_tight_is_found_out(
        self, bound: str, function: str, wrong: Callable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(theory, function, wrong)
        [one] = [one for one in claims.load() if one.id == f"theory-{bound.replace('_', '-')}"]
        row = judge(one, results())
        assert row["verdict"] == CONTRADICTED
        assert row["measured"] < 0.9


class TestExactMeasures:
    LOG_RHO = np.linspace(-4, 4, 81)

    def weights(self, scale: float = 1.0, tilt: float = 0.0) -> pd.DataFrame:
        """Trust weights of GIPO (1, 0.5), multiplied by `scale` and tilted, and a rival's."""
        frames = []
        for sign, sigma in ((1, 1.0), (-1, 0.5)):
            weight = scale * np.exp(-0.5 * (self.LOG_RHO / sigma) ** 2) + tilt * self.LOG_RHO
            curve = {"log_rho": self.LOG_RHO, "advantage_sign": sign, "weight": weight}
            curve["multiplier"] = weight * np.exp(self.LOG_RHO)
            parameters = '{"kernel": "gaussian", "sigma_neg": 0.5, "sigma_pos": 1.0}'
            frames.append(pd.DataFrame(curve | {"method": "gipo-1-0.5", "parameters": parameters}))
            frames.append(frames[-1].assign(method="no-clip", parameters="{}", weight=1.0, multiplier=99.0))
        return pd.concat(frames)

    @pytest.mark.parametrize(("scale", "verdict"), [(1.0, REPRODUCED), (1.1, CONTRADICTED), (0.9, INCONCLUSIVE)])
    def test_bound(self, scale: float, verdict: str) -> None:
        [one] = [one for one in claims.load() if one.id == "weight-bound"]
        row = judge(one, results(weights=self.weights(scale)))
        assert row["verdict"] == verdict
        assert row["measured"] == pytest.approx(scale, rel=0.01)
        assert row["n"] == 2

    @pytest.mark.parametrize(("tilt", "verdict"), [(0.0, REPRODUCED), (0.01, CONTRADICTED)])
    def test_symmetry(self, tilt: float, verdict: str) -> None:
        [one] = [one for one in claims.load() if one.id == "weight-symmetry"]
        row = judge(one, results(weights=self.weights(tilt=tilt)))
        assert row["verdict"] == verdict
        assert row["measured"] == pytest.approx(8 * tilt, abs=1e-12)

    def test_symmetry_needs_a_symmetric_grid(self) -> None:
        lopsided = self.weights().query("log_rho > -3")
        assert "not symmetric" in judge(claim({"name": "asymmetry"}), results(weights=lopsided))["note"]

    def test_weights_without_gipo(self) -> None:
        rival = self.weights().query("method == 'no-clip'")
        assert judge(claim({"name": "bound_use"}), results(weights=rival))["verdict"] == NOT_RUN

    GRID = pd.DataFrame(
        {"claim": ["x", "y", "y_a", "y_b"], "statement": ["X", "Y", "A alone", "B alone"]}
        | {"case_study": [True, False, False, True], "share": [0.97, 0.3, 0.4, 0.6], "n": 900}
        | {"low": [0.96, 0.25, 0.3, 0.5], "high": [0.98, 0.35, 0.5, 0.7]}
    )
    GRID = pd.concat([GRID.assign(estimator="all", case_study=~GRID["case_study"]), GRID.assign(estimator="right")])

    @pytest.mark.parametrize(
        ("name", "value", "verdict", "note"),
        [
            ("x", 1.0, REPRODUCED, "Exact, by enumeration."),
            ("y", 0.0, CONTRADICTED, "Exact, by enumeration; not for A."),
        ],
    )
    def test_case_study(self, name: str, value: float, verdict: str, note: str) -> None:
        row = judge(claim({"name": "case_study", "claim": name}), results(grid=self.GRID))
        assert (row["measured"], row["verdict"], row["note"]) == (value, verdict, note)

    def test_family(self) -> None:
        row = judge(claim({"name": "family", "claim": "y"}), results(grid=self.GRID))
        assert tuple(row[["measured", "low", "high", "n"]]) == (0.3, 0.25, 0.35, 900)

    @pytest.mark.parametrize(
        ("excess", "gain", "verdict"),
        [
            (0.0, 0.07, REPRODUCED),
            (0.01, 0.02, REPRODUCED),  # the width of a line behind
            (0.02, 0.5, INCONCLUSIVE),
            (0.2, 0.5, CONTRADICTED),
            (0.0, 0.0, CONTRADICTED),  # the same front
        ],
    )
    def test_margin(self, excess: float, gain: float, verdict: str) -> None:
        [one] = [one for one in claims.load() if one.id == "grid-dominates-sapo"]
        ours = pd.DataFrame(
            {"case": list("ABCD"), "estimator": "right", "method": "sapo"}
            | {"excess_share": [excess, excess / 2, 0.0, 1.0], "gain_share": [gain + 0.1, gain, 0.9, 0.0]}
        )
        others = [ours.assign(estimator="all", excess_share=1), ours.assign(method="ppo_clip", excess_share=1)]
        row = judge(one, results(margins=pd.concat([ours, *others])))
        assert tuple(row[["measured", "low", "high", "n"]]) == (excess, -gain, excess, 3)
        assert row["verdict"] == verdict
        assert f"A {100 * excess:.2f} % and {100 * gain + 10:.2f} %, B" in row["note"]

    def test_margins_without_the_method(self) -> None:
        margins = pd.DataFrame(columns=["case", "estimator", "method", "excess_share", "gain_share"])
        with pytest.raises(GipoError, match=r"margins\.csv: expected rows of method 'sapo', found none"):
            judge(claim({"name": "margin", "method": "sapo"}), results(margins=margins))

    def test_case_study_and_random_pairs_have_one_width_of_a_tie(self) -> None:
        for one in claims.load():
            if one.measure.name == "margin":
                [reproduced] = one.rule.reproduced
                assert reproduced.high is not None
                assert reproduced.low is not None
                assert (reproduced.high.at_most, reproduced.low.below) == (pareto.TIE, -pareto.TIE)

    def test_gridworld_claim_that_the_study_does_not_know(self) -> None:
        with pytest.raises(GipoError, match=r"family_claims\.csv: expected one row of claim 'z', found 0"):
            judge(claim({"name": "family", "claim": "z"}), results(grid=self.GRID))


@pytest.mark.parametrize("id_", ["ess-eff-old", "old-share"])
@pytest.mark.parametrize(
    ("gipo", "ppo", "verdict", "words"),
    [(0.5, 0.9, CONTRADICTED, "Opposite of the claim"), (0.9, 0.5, REPRODUCED, "Opposite of the authors' own log")],
)
def test_a_claim_that_the_authors_log_contradicts_says_which_side_came_out(
    id_: str, gipo: float, ppo: float, verdict: str, words: str
) -> None:
    [one] = [one for one in claims.load() if one.id == id_]
    assert "the authors' log has −0.0" in one.reference
    runs = {("stale", "gipo-1-1"): [[gipo], [gipo]], ("stale", "ppo-clip"): [[ppo], [ppo]]}
    row = judge(one, results(metrics=table(runs, id_.replace("-", "_"), "door-open-v3")))
    assert row["verdict"] == verdict
    assert words in row["note"]


def test_unknown_quantity_lists_the_known() -> None:
    with pytest.raises(ValueError, match=r"expected one of score, min_max_score, success, gap_share, .*old_frac"):
        Cell(quantity="luck", regime="stale")


def test_scorecard_of_a_study_judges_every_claim_and_is_the_same_twice(scale: StudyFolder, tmp_path: Path) -> None:
    for name in ("one.csv", "two.csv"):
        claims.write_scorecard(scale, 50, tmp_path / name)
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    rows = pd.read_csv(tmp_path / "one.csv")
    assert list(rows.columns) == list(COLUMNS)
    assert list(rows["id"]) == [one.id for one in claims.load()]
    assert set(rows["verdict"]) <= set(VERDICTS)
    by_id = rows.set_index("id")
    assert by_id.loc["vtrace-smoothing", "note"] == "No sweep 'vtrace' at this scale."
    assert by_id.loc["table1-old-frac-stale", "verdict"] == REPRODUCED
    assert by_id.loc["near-zero-old-sigma", "verdict"] == NOT_RUN
    assert by_id.loc["weight-bound", "verdict"] == REPRODUCED
    assert by_id.loc["grid-ppo-variance", "verdict"] == REPRODUCED


def test_with_the_sweeps_every_claim_but_those_on_libero_and_world_models_has_runs(swept_scale: StudyFolder) -> None:
    rows = claims.scorecard(Results.read(swept_scale, resamples=50), claims.load())
    untested = rows[rows["verdict"] == NOT_RUN]
    assert (
        untested["note"].str.fullmatch(r"Needs runs of LIBERO\.|No runs in regime '\w+-imagined-5(-success)?'\.").all()
    )
    assert "LIBERO" not in "".join(set(rows["section"]) - set(untested["section"]))


def test_a_damaged_sweep_is_no_missing_sweep(swept_scale: StudyFolder, tmp_path: Path) -> None:
    copy = StudyFolder(shutil.copytree(swept_scale.path, tmp_path / "scale"))
    (copy.path / "sweeps/ranking/metrics.parquet").unlink()
    with pytest.raises(GipoError, match=r"ranking/metrics\.parquet is missing"):
        Results.read(copy, resamples=50)


@pytest.mark.parametrize("gone", ["sweeps/ranking", "manifests/sweeps/ranking.json"])
def test_half_a_sweep_is_no_missing_sweep(swept_scale: StudyFolder, tmp_path: Path, gone: str) -> None:
    copy = StudyFolder(shutil.copytree(swept_scale.path, tmp_path / "scale"))
    path = copy.path / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(GipoError, match=r"sweeps/ranking/runs\.parquet (is missing|stands in no manifest)"):
        Results.read(copy, resamples=50)


def test_missing_files_are_named(scale: StudyFolder, tmp_path: Path) -> None:
    with pytest.raises(GipoError, match=r"tables/runs\.parquet is missing"):
        claims.write_scorecard(StudyFolder(tmp_path), 50)
    copy = StudyFolder(shutil.copytree(scale.path, tmp_path / "scale"))
    (copy.path / "weights.csv").unlink()
    with pytest.raises(GipoError, match=r"weights\.csv is missing"):
        claims.write_scorecard(copy, 50)
