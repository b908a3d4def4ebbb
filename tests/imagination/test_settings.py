"""Regimes with imagined transitions in a study: what they give, what they leave alone, and what is refused by name."""

import pytest
from pydantic import ValidationError

from gipo.cluster import requests
from gipo.replay import Replay
from gipo.runs.spec import ImaginationSpec, RunSpec
from gipo.study import Study
from small_study import STUDY

IMAGINED = {"regimes": {"plain": 0.874, "five": {"lifetime": 0.874, "imagined": 5}}, "imagination": {"length": 3}}
IMAGINED["imagination"] |= {"warmup_steps": 168}

FOUR_FIFTHS = {"lifetime": 0.8, "imagined": 5}


def study(**sections):
    content = STUDY | IMAGINED
    for name, section in sections.items():
        content = content | {name: content.get(name, {}) | section if isinstance(section, dict) else section}
    return Study.model_validate(content)


def runs(**sections):
    return {run.regime: run for run in study(**sections).runs()}


def test_a_regime_has_the_settings_of_the_study_and_a_ratio_of_its_own():
    imagination = runs()["five"].imagination
    assert imagination == ImaginationSpec(length=3, warmup_steps=168, ratio=5)
    assert runs()["five"].replay == runs()["plain"].replay


def test_runs_without_a_model_are_the_same_as_where_the_study_has_none():
    (plain,) = Study.model_validate(STUDY | {"regimes": {"plain": 0.874}}).runs()
    assert runs()["plain"].run_id == plain.run_id
    assert plain.imagination is None


def test_the_digest_of_a_run_without_a_model_knows_nothing_of_models():
    """Of the laptop scale's first run, as it was before there were models."""
    from gipo.scale import CONFIGS, Scale

    assert next(iter(Scale.load(CONFIGS / "laptop.yaml").runs)) == "handle-press-v3/fresh/ppo-clip/seed0-353de363"


def test_every_setting_of_the_model_makes_another_run():
    ids = {runs(imagination=changed)["five"].run_id for changed in ({}, {"length": 2}, {"disagreement": 0.1})}
    ids |= {runs(regimes={"five": {"lifetime": 0.874, "imagined": 4}})["five"].run_id}
    assert len(ids) == 4


def test_at_a_fixed_inflow_the_capacity_follows_from_the_lifetime():
    one = runs(env_steps_per_update=6.4)["five"].replay
    assert one.capacity == round(0.874 * 6.4 * 200 / 32) * 32


def test_imagined_transitions_need_the_section():
    with pytest.raises(ValidationError, match=r"regimes\.five: imagined transitions need a section imagination"):
        Study.model_validate(STUDY | {"regimes": IMAGINED["regimes"]})


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        (
            {"asynchronous": {}, "regimes": {"five": {"lifetime": 0.874, "imagined": 5, "reward": "success"}}},
            "regimes with reward: success cannot go with section asynchronous",
        ),
        (
            {"regimes": {"five": {"lifetime": 0.874, "imagined": 0, "reward": "success"}}},
            "regimes with reward: success need imagined transitions",
        ),
        ({"regimes": {"five": {"lifetime": 0.874, "reward": "success"}}}, r"imagined"),
        ({"regimes": {"five": {"lifetime": 0.874, "imagined": 5, "reward": "none"}}}, "environment.* or 'success'"),
        ({"learner": {"sampling": "distinct"}}, "imagination cannot go with learner.sampling = distinct"),
        ({"learner": {"refresh_every": 50}}, "imagination cannot go with learner.refresh_every = 50"),
        ({"learner": {"kl": "exact"}}, "imagination cannot go with learner.kl = exact"),
        (
            {"learner": {"uses": 5, "policy_start": 5}, "regimes": {"plain": 0.8, "five": FOUR_FIFTHS}},
            "imagination cannot go with learner.uses = 5",
        ),
        ({"replay": {"segments": "per-episode"}}, "imagination cannot go with replay.segments = per-episode"),
        ({"imagination": {"length": 4}}, "imagination.length = 4 needs a replay.segment_length above 8, got 8"),
        ({"imagination": {"length": 65}}, "less than or equal to 64"),
        ({"imagination": {"warmup_steps": 167}}, r"imagination.warmup_steps = 167: .* 21 segments.* 168 transitions"),
        ({"replay": {"capacity": 160}}, r"replay.capacity = 160: .* 21 segments"),
        ({"imagination": {"warmup_steps": 700}}, "nothing is imagined: .* = 700, the run has about 649 env steps"),
        ({"environment": {"episode_steps": 16}}, "environment.episode_steps above 16, the longest branch"),
        ({"imagination": {"rounds": 4}}, r"rounds"),
        ({"regimes": {"five": {"lifetime": 0.874, "imagined": -1}}}, "greater than or equal to 0"),
        ({"regimes": {"five": {"imagined": 1}}}, r"lifetime"),
    ],
)
def test_what_cannot_go_together_is_refused_by_name(sections, words):
    with pytest.raises(ValidationError, match=words):
        study(**sections)


def test_a_job_asks_for_the_memory_of_both_replays():
    run = runs()["five"]
    real = Replay(512, 8, 39, 4, successes=True)
    imagined = Replay(2559, 3, 39, 4, cut=True)
    size = 0
    for one in (real, imagined):
        stores = [*one.segments.tensors().values(), one.advantages, one.targets, one.versions]
        size += sum(store.nbytes for store in stores)
    assert size / 1e6 <= requests.replay_mb(run) <= 1.6 * size / 1e6
    assert requests.replay_mb(runs()["plain"]) < requests.replay_mb(run) / 6


def test_a_spec_on_disk_comes_back_with_its_model():
    run = runs()["five"]
    assert RunSpec.model_validate(run.model_dump(mode="json")) == run
