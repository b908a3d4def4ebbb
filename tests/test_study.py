"""A study and its runs: what is refused, how it expands, and that a run's name stands for its content."""

import hashlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from pydantic import ValidationError

from checkout import ROOT
from factories import make_spec
from gipo.cluster import requests
from gipo.config import explain
from gipo.errors import GipoError
from gipo.runs.spec import OpenVLASpec, RunSpec
from gipo.scale import Scale, config
from gipo.study import Study

SCALE: dict[str, Any] = {
    "title": "Test",
    "tasks": ["push-v3", "door-open-v3"],
    "regimes": {"stale": 0.874, "fresh": 0.0855},
    "methods": {"ppo-clip": {"name": "ppo_clip"}, "gipo-1-1": {"name": "gipo", "parameters": {"sigma_neg": 1.0}}},
    "seeds": [3, 0, 1],
    "replay": {"capacity": 20_480},
}


def study(**changes: Any) -> Study:
    return Study.model_validate(SCALE | changes)


def spec(**sections: dict[str, Any]) -> RunSpec:
    return make_spec("door-open-v3", "stale", "gipo-1-1", 0, **sections)


@pytest.mark.parametrize(
    ("section", "change", "words"),
    [
        ("replay", {"capacity": 192}, r"replay\.capacity = 192 is smaller than learner\.batch_size = 256"),
        ("replay", {"capacity": 20_000}, r"capacity = 20000 is not a multiple of replay\.segment_length = 64"),
        ("replay", {"environments": 321}, r"capacity = 20480 is smaller than one round of collection, .* = 20544"),
        ("replay", {"segment_length": 256}, r"segment_length = 256 is longer than environment\.episode_steps = 200"),
        ("replay", {"lifetime": 0.0}, "greater than or equal to 0.000001"),
        ("replay", {"lifetime": 1e-320}, "greater than or equal to 0.000001"),
        ("replay", {"lifetime": float("inf")}, "less than or equal to 1000"),
        ("replay", {"lifetime": True}, "valid number"),
        ("replay", {"capacity": 20_480.0}, "valid integer"),
        ("replay", {"size": 1}, "Extra inputs"),
        ("environment", {"bins": 1}, "greater than or equal to 2"),
        ("environment", {"bins": 257}, "less than or equal to 256"),
        ("network", {"hidden": 0}, "greater than 0"),
        ("learner", {"estimator": "vtrace"}, "refresh_every"),
        ("learner", {"estimator": "td"}, "'gae' or 'vtrace'"),
        ("learner", {"batch_size": "256"}, "valid integer"),
        ("learner", {"updates": True}, "valid integer"),
        ("learner", {"gamma": 1.01}, "less than or equal to 1"),
        ("learner", {"gamma": float("nan")}, "1"),
        ("learner", {"policy_learning_rate": -1e-3}, "greater than or equal to 0.000000000001"),
        ("learner", {"policy_learning_rate": 1e-320}, "greater than or equal to 0.000000000001"),
        ("learner", {"gradient_clip": 1e-320}, "greater than or equal to 0.000000000001"),
        ("learner", {"accumulation": 10_001}, "less than or equal to 10000"),
        ("learner", {"refresh_every": 100_001}, "nothing is recomputed: refresh_every = 100001, updates = "),
        ("replay", {"capacity": 64 * 10**7}, "less than or equal to 100000000"),
        ("network", {"hidden": 16_385}, "less than or equal to 16384"),
        ("environment", {"episode_steps": 100_001}, "less than or equal to 100000"),
        ("learner", {"policy_learning_rate": True}, "valid number"),
        ("learner", {"policy_learning_rate": "3e-5"}, "valid number"),
        ("learner", {"value_learning_rate": float("inf")}, "less than or equal to 1"),
        ("learner", {"batch_size": 1}, "greater than or equal to 2"),
        ("learner", {"updates": 10**30}, "less than or equal to 100000000"),
        ("learner", {"updates": 25}, "the policy never moves: policy_start = 25, updates = 25"),
        ("learner", {"joint_ratio": "yes"}, "valid boolean"),
        ("learner", {"gamma": True}, "valid number"),
        ("evaluation", {"episodes": 2 * 10**9}, "less than or equal to 10000"),
        ("diagnostics", {"old_gap": -0.1}, "greater than or equal to 0"),
        ("evaluation", {"episodes": 0}, "greater than 0"),
    ],
)
def test_a_run_that_cannot_be_is_refused(section: str, change: dict[str, Any], words: str):
    with pytest.raises(ValueError, match=words):
        spec(**{section: change})


@pytest.mark.parametrize(
    ("key", "value"),
    [("seed", -1), ("seed", 2**63), ("task", "a/b"), ("method", "../x"), ("regime", ""), ("regime", "r" * 65)],
)
def test_a_run_has_a_name_that_is_a_path(key: str, value: Any):
    with pytest.raises(ValueError, match=key):
        RunSpec.model_validate(spec().model_dump() | {key: value})


def test_the_largest_seed_fits_into_the_tables():
    seed = RunSpec.model_validate(spec().model_dump() | {"seed": 2**63 - 1}).seed
    assert pd.Series([seed], dtype="int64")[0] == seed


@pytest.mark.parametrize("repository", ["..", "../x", "x/..", "x/../y", ".hidden/x", "-x/y", "", "x" * 200])
def test_a_checkpoint_cannot_lie_outside_its_folder(repository: str):
    with pytest.raises(ValueError, match="repository"):
        OpenVLASpec(repository=repository, revision="main")


def test_vtrace_goes_with_refreshed_targets():
    assert spec(learner={"estimator": "vtrace", "refresh_every": 10}).learner.refresh_every == 10


def test_a_run_is_immutable():
    with pytest.raises(ValidationError):
        spec().seed = 1  # type: ignore[misc]


def test_equal_content_has_equal_name():
    one = spec()
    text = one.model_dump_json()
    backwards = dict(reversed(one.model_dump().items()))
    assert RunSpec.model_validate_json(text).run_id == RunSpec.model_validate(backwards).run_id == one.run_id
    assert one.run_id == f"door-open-v3/stale/gipo-1-1/seed0-{one.digest()[:8]}"


def test_a_default_that_is_written_out_is_the_same_run():
    assert spec(learner={"gamma": 0.99}).run_id == spec().run_id


def leaves(section: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in section.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


def other(value: Any) -> Any:
    """Another valid value."""
    match value:
        case bool():
            return not value
        case int():
            return 2 * value or 1
        case float():
            return value / 2 or 0.5
        case str():
            return f"{value}x"
        case _:
            return 10


CHOICES = {("suite",), ("learner", "estimator"), ("asynchronous",), ("openvla",), ("states",), ("imagination",)}
CONVENTIONS: dict[tuple[str, str], tuple[Any, dict[str, dict[str, Any]]]] = {  # another value, and what it needs
    ("replay", "segments"): ("per-episode", {}),
    ("replay", "rounds"): ("in-turn", {}),
    ("learner", "policy_warmup"): ("from-start", {}),
    ("learner", "uses"): (10, {"learner": {"policy_start": 30}, "replay": {"lifetime": 0.08}}),
    ("learner", "sampling"): ("segments", {}),
    ("learner", "schedule"): ("round", {"replay": {"lifetime": 0.08}}),
    ("learner", "kl"): ("exact", {}),
    ("learner", "advantage_scope"): ("micro-batch", {}),
    ("learner", "advantage_deviation"): ("sample", {}),
    ("learner", "targets"): ("batch", {"learner": {"sampling": "segments"}}),
    ("learner", "vtrace_weighted"): (True, {"learner": {"estimator": "vtrace", "refresh_every": 10}}),
    ("evaluation", "action"): ("sampled", {}),
}


@pytest.mark.parametrize("path", sorted(set(leaves(spec().model_dump())) - CHOICES - set(CONVENTIONS)), ids=".".join)
def test_any_change_is_another_run(path: tuple[str, ...]):
    content = spec().model_dump()
    section = content
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = other(section[path[-1]])
    assert RunSpec.model_validate(content).digest() != spec().digest()


@pytest.mark.parametrize(("section", "name"), CONVENTIONS)
def test_another_convention_is_another_run(section: str, name: str):
    value, needs = CONVENTIONS[section, name]
    content = spec().model_dump()
    for needed, keys in needs.items():
        content[needed] |= keys
    before = RunSpec.model_validate(content)
    content[section] |= {name: value}
    assert RunSpec.model_validate(content).digest() != before.digest()


def test_another_engine_is_another_run():
    content = spec().model_dump()
    asynchronous = RunSpec.model_validate(content | {"asynchronous": {}})
    other = RunSpec.model_validate(content | {"asynchronous": {"inference_batch": 4}})
    assert len({spec().digest(), asynchronous.digest(), other.digest()}) == 3


def test_an_absent_part_changes_no_known_digest():
    present = {name: value for name, value in spec().model_dump(mode="json").items() if value is not None}
    assert spec().digest() == hashlib.sha256(json.dumps(present, sort_keys=True).encode()).hexdigest()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"suite": "libero", "task": "libero_goal_7", "states": {}}, "needs the asynchronous engine"),
        (
            {"suite": "libero", "task": "libero_goal_7", "asynchronous": {}},
            "libero needs one of openvla and states; given: none",
        ),
        ({"states": {}, "asynchronous": {}}, "metaworld needs neither openvla nor states; given: states"),
        ({"replay": spec().replay.model_dump() | {"lifetime": None}}, "needs the asynchronous engine"),
    ],
)
def test_an_engine_that_cannot_is_named(content: dict[str, object], message: str):
    with pytest.raises(ValidationError, match=message):
        RunSpec.model_validate(spec().model_dump() | content)


def test_a_regime_by_its_actors_has_as_many_environments_and_no_lifetime():
    replay = study(regimes={"fresh": {"actors": 10}}, asynchronous={}).runs()[0].replay
    assert (replay.environments, replay.group_size, replay.lifetime) == (10, 1, None)


def test_another_estimator_is_another_run():
    gae, vtrace = ({"estimator": name, "refresh_every": 10} for name in ("gae", "vtrace"))
    assert spec(learner=gae).digest() != spec(learner=vtrace).digest()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seeds": list(range(1_001))}, "seeds"),
        (
            {"seeds": list(range(1_000)), "methods": {f"m{n}": {"name": "gipo"} for n in range(20)}},
            "80,000 runs, expec",
        ),
        ({"regimes": {f"r{number}": 0.5 for number in range(1_001)}}, "regimes"),
        ({"regimes": {"many": {"actors": 10_001}}, "asynchronous": {}}, "less than or equal to 10000"),
        ({"methods": {"m": {"name": "..x:y"}}}, "match pattern"),
        ({"methods": {"m": {"name": "gipo", "parameters": {f"p{n}": 1.0 for n in range(51)}}}}, "at most 50 items"),
        ({"methods": {"m": {"name": "gipo", "parameters": {"kernel": "x" * 65}}}}, "at most 64 characters"),
        ({"title": ""}, "title"),
        ({"title": "two\nlines"}, "title"),
        ({"methods": {"m": {"name": "gipo", "learner": {f"k{n}": 1 for n in range(51)}}}}, "at most 50 items"),
        ({"gridworld": {"pairs": 10**9}}, "less than or equal to 1000000"),
        ({"statistics": {"resamples": 10**9}}, "less than or equal to 1000000"),
    ],
)
def test_a_study_beyond_measure_is_refused_at_once(change: dict[str, Any], words: str):
    with pytest.raises(ValidationError, match=words):
        study(**change)


def test_a_study_expands_to_every_combination_in_order():
    runs = study().runs()
    cells = [(run.task, run.regime, run.method, run.seed) for run in runs]
    expected = itertools.product(["push-v3", "door-open-v3"], ["stale", "fresh"], ["ppo-clip", "gipo-1-1"], [3, 0, 1])
    assert cells == list(expected)
    assert {run.regime: run.replay.lifetime for run in runs} == SCALE["regimes"]
    assert len({run.run_id for run in runs}) == 2 * 2 * 2 * 3


def test_shared_settings_reach_every_run():
    assert {run.replay.capacity for run in study().runs()} == {20_480}
    assert {run.objective.name for run in study().runs() if run.method == "gipo-1-1"} == {"gipo"}


def test_one_run_is_the_same_alone_and_in_the_expansion():
    assert study().run("push-v3", "fresh", "gipo-1-1", 0) in study().runs()


def test_a_sweep_is_a_grid_of_its_own_that_takes_the_rest_from_the_main_grid():
    one = study(sweeps={"lag": {"tasks": ["push-v3"], "regimes": {"stale": 0.874, "lag-1": 1.0}, "seeds": [0]}})
    lag = one.sweep("lag")
    assert [(r.task, r.regime, r.method, r.seed) for r in lag.runs()] == [
        ("push-v3", regime, method, 0) for regime in ("stale", "lag-1") for method in ("ppo-clip", "gipo-1-1")
    ]
    assert lag.sweeps == {}
    shared = {run.run_id for run in lag.runs()} & {run.run_id for run in one.runs()}
    assert len(shared) == 2
    assert len(one.all_runs()) == len(one.runs()) + 2
    assert one.run("push-v3", "lag-1", "gipo-1-1", 0) in lag.runs()
    with pytest.raises(GipoError, match="no sweep 'sigma' in this study; it has: lag"):
        one.sweep("sigma")
    with pytest.raises(GipoError, match="no run of door-open-v3, lag-1"):
        one.run("door-open-v3", "lag-1", "gipo-1-1", 0)


def test_with_a_fixed_inflow_the_capacity_follows_from_the_lifetime():
    regimes = {f"lag-{lifetime}": lifetime for lifetime in (0.05, 0.3, 1.0)}
    runs = study(sweeps={"lag": {"regimes": regimes, "env_steps_per_update": 8.0}}).sweep("lag").runs()
    for run in runs:
        replay = run.replay
        assert replay.capacity / run.lifetime_updates == pytest.approx(8.0)
        assert replay.capacity % run.round_steps == 0
        assert replay.lifetime == pytest.approx(regimes[run.regime], abs=run.round_steps / (8 * run.learner.updates))


def test_a_method_or_a_sweep_may_change_the_learner():
    vtrace = {"name": "no_clip", "learner": {"estimator": "vtrace"}}
    one = study(
        sweeps={
            "vtrace": {
                "regimes": {"refreshed": 0.5},
                "learner": {"refresh_every": 50},
                "methods": {"no-clip": {"name": "no_clip"}, "vtrace-no-clip": vtrace},
            }
        }
    )
    learners = {run.method: run.learner for run in one.sweep("vtrace").runs()}
    assert (learners["no-clip"].estimator, learners["no-clip"].refresh_every) == ("gae", 50)
    assert (learners["vtrace-no-clip"].estimator, learners["vtrace-no-clip"].refresh_every) == ("vtrace", 50)
    assert {run.learner.refresh_every for run in one.runs()} == {None}


def test_directories_are_named_by_content():
    one, two = study(), study(baselines={"episodes": 5})
    root = Path("results")
    assert one.run_directories(root) == [root / "runs" / run.run_id for run in one.runs()]
    assert one.run_directories(root) == two.run_directories(root)
    assert set(one.baseline_directories(root)).isdisjoint(two.baseline_directories(root))
    assert [path.name.rpartition("-")[0] for path in one.baseline_directories(root)] == SCALE["tasks"]


def test_baselines_follow_the_environment_and_not_the_learner():
    one = study().baseline("push-v3").baseline_id
    assert study(learner={"updates": 700}).baseline("push-v3").baseline_id == one
    assert study(environment={"episode_steps": 400}).baseline("push-v3").baseline_id != one


LIBERO = {
    "suite": "libero",
    "tasks": ["libero_spatial", "libero_10"],
    "regimes": {"fresh": {"actors": 10}, "stale": {"actors": 3}},
    "openvla": {"repository": "somebody/a-model", "revision": "a" * 40},
    "asynchronous": {},
}


def libero(**changes: Any) -> Study:
    content = {key: value for key, value in (SCALE | LIBERO | changes).items() if key != "sweeps"}
    return Study.model_validate(content)


def test_a_published_success_is_of_a_pretrained_model_and_of_a_task_of_the_study():
    assert libero(published_success={"libero_10": 0.5}).runs() == libero().runs()  # their digests do not change
    with pytest.raises(ValueError, match="published_success is for libero_goal, expected tasks: libero_spatial, libe"):
        libero(published_success={"libero_goal": 0.5})
    with pytest.raises(ValueError, match="less than or equal to 1"):
        libero(published_success={"libero_10": 96.2})
    with pytest.raises(ValueError, match="published_success is of pretrained models: it needs openvla"):
        study(published_success={"push-v3": 0.5})


def test_each_task_may_have_a_checkpoint_of_its_own():
    models = {task: {"repository": f"somebody/{task}", "revision": "a" * 40} for task in LIBERO["tasks"]}
    one = libero(openvla=models)
    assert {run.task: run.openvla.repository for run in one.runs()} == {
        task: model["repository"] for task, model in models.items()
    }
    assert len(one.pretrained()) == 2
    assert len(libero().pretrained()) == 1
    with pytest.raises(ValueError, match="openvla is for libero_10, expected tasks: libero_spatial, libero_10"):
        libero(openvla={"libero_10": models["libero_10"]})


@pytest.mark.parametrize(
    ("task", "given", "steps"),
    [("libero_10", {}, 520), ("libero_spatial_0", {}, 220), ("libero_10", {"episode_steps": 64}, 64)],
)
def test_libero_has_time_limits_of_its_own_and_a_study_may_have_shorter_ones(
    task: str, given: dict[str, int], steps: int
):
    runs = libero(tasks=[task], environment=given).runs()
    assert {run.environment.episode_steps for run in runs} == {steps}


def test_what_no_policy_or_simulator_of_libero_does_is_refused():
    with pytest.raises(ValidationError, match="episode_steps = 221, but episodes of libero_spatial have 220 at most"):
        libero(environment={"episode_steps": 221})
    with pytest.raises(ValidationError, match="bins = 64, but OpenVLA's actions have 256 tokens"):
        libero(environment={"bins": 64})


def test_how_old_liberos_data_are_does_not_depend_on_the_speed_of_a_machine():
    """OldFrac is 1 - K / L: 0 where fresh, 0.884 where stale, as in the paper's table 1."""
    scale = Study.load(config("libero"))
    shares = {run.regime: max(0.0, 1 - run.old_gap_updates / run.lifetime_updates) for run in scale.runs()}
    assert shares == pytest.approx({"fresh": 0.0, "stale": 0.884}, abs=0.003)
    by_actors = Study.model_validate(scale.model_dump() | {"regimes": {"fresh": {"actors": 10}}})
    assert all(run.replay.lifetime is None for run in by_actors.runs())


def test_liberos_tasks_have_no_baseline():
    assert libero().baseline_directories(Path("results")) == []
    assert len(study().baseline_directories(Path("results"))) == 2


def test_a_libero_study_has_no_sweeps():
    with pytest.raises(ValueError, match="suite libero has: none"):
        Study.model_validate(SCALE | LIBERO | {"sweeps": {"ranking": {}}})


@pytest.mark.parametrize(("gpus", "learners"), [(0, 1), (1, 1), (2, 1), (3, 1), (4, 2), (7, 4), (8, 6), (16, 12)])
def test_the_learner_gets_what_inference_and_evaluation_leave_in_equal_shares(gpus: int, learners: int):
    run = libero(learner={"batch_size": 12}).runs()[0]
    assert requests.learners(run, gpus) == learners
    assert requests.learners(study().runs()[0], 8) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tasks": ["push-v3", "push-v3"]}, "tasks .* twice"),
        ({"seeds": [1, 0, 1]}, r"seeds = \[1, 0, 1\] names one twice"),
        ({"tasks": []}, "tasks"),
        ({"regimes": {}}, "regimes"),
        ({"methods": {}}, "methods"),
        ({"tasks": ["push-v2"]}, "unknown task 'push-v2'; did you mean 'push-v3'"),
        ({"methods": {"m": {"name": "trpo"}}}, r"methods\.m: unknown objective 'trpo'"),
        ({"methods": {"m": {"name": "gipo", "parameters": {"sigma_pos": 0}}}}, r"methods\.m: .*sigma_pos = 0"),
        ({"replay": {"capacity": 448}}, r"replay\.capacity = 448 is smaller than learner\.batch_size"),
        ({"replay": {"capacity": 20_480, "lifetime": 0.5}}, "lifetime"),
        ({"seed": 0}, "seed"),
        ({"methods": {"m": {"name": "no_clip", "learner": {"gama": 0.9}}}}, r"methods\.m: learner: unknown key gama"),
        (
            {"methods": {"m": {"name": "gipo", "parameters": {"sigma_pos": 1e-200}}}},
            r"methods\.m: .*sigma_pos = 1e-200",
        ),
        ({"methods": {"m": {"name": "gipo", "parameters": {"sigma_pos": True}}}}, r"methods.m.parameters.sigma_pos"),
        ({"methods": {"m": {"name": "sapo", "parameters": {"tau_pos": 1e300}}}}, r"methods\.m: .*tau_pos = 1e\+300"),
        ({"seeds": [2**64]}, "seeds.0"),
        ({"sweeps": {"lagg": {}}}, "sweeps.lagg"),
        ({"sweeps": {"lag": {"tasks": ["push-v2"]}}}, r"sweeps\.lag: unknown task 'push-v2'"),
        ({"sweeps": {"lag": {"learner": {"updates": 0}}}}, r"sweeps\.lag: learner\.updates = 0"),
        ({"sweeps": {"lag": {"env_steps_per_update": 1.0}}}, "regime 'stale' .* means different runs"),
    ],
)
def test_a_study_that_cannot_be_is_refused(changes: dict[str, Any], words: str):
    with pytest.raises(ValueError, match=words):
        study(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"tasks": ["push-v3" * 1000]},
        {"seeds": list(range(2000)) * 2},
        {"methods": {"m": {"name": "gipo" * 1000}}},
        {"methods": {"m": {"name": "m:" + "gipo" * 20, "parameters": {"x" * 5000: 1.0}}}},
        {"x" * 5000: 1},
        {"title": ["x"] * 5000},
        {"title": "x" * 5000},
        {"learner": {"updates": "7" * 5000}},
    ],
)
def test_a_mistake_is_never_echoed_at_length(changes: dict[str, Any]):
    with pytest.raises(ValidationError) as caught:
        study(**changes)
    message = explain(caught.value)
    assert len(message) < 320
    assert "\n" not in message


@pytest.mark.parametrize("which", ["task", "regime", "method", "seed"])
def test_a_run_that_is_not_in_the_study_is_named(which: str):
    cell = {"task": "push-v3", "regime": "stale", "method": "gipo-1-1", "seed": 0} | {which: 9}
    with pytest.raises(GipoError, match=rf"no {which} 9 in this study; it has: "):
        study().run(**cell)


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "workflow" / "config").glob("*.yaml")))
def test_the_scales_are_valid(name: str):
    path = ROOT / "workflow" / "config" / f"{name}.yaml"
    content = yaml.safe_load(path.read_text())
    if "scales" in content:
        assert list(Scale.load(path).parts) == content["scales"]
    else:
        assert Study.load(path) == Study.model_validate(content)
