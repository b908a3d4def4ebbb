"""A small study on the asynchronous engine, for the tests."""

from gipo.study import Study

STUDY = {
    "title": "Test",
    "tasks": ["door-open-v3"],
    "regimes": {"stale": 0.874},
    "methods": {"gipo-1-1": {"name": "gipo", "parameters": {"sigma_pos": 1.0, "sigma_neg": 1.0}}},
    "seeds": [5],
    "environment": {"bins": 8, "episode_steps": 12},
    "network": {"hidden": 16, "value_hidden": 8},
    "replay": {"capacity": 512, "segment_length": 8, "environments": 4, "group_size": 2, "warmup_steps": 64},
    "learner": {"updates": 200, "batch_size": 32, "accumulation": 1, "warmup_updates": 10, "policy_start": 5},
    "evaluation": {"every": 100, "episodes": 3},
    "diagnostics": {"every": 10},
    "asynchronous": {"inference_batch": 4, "inference_seconds": 0.05},
}


def make_spec(**sections):
    """The study's run, with other settings; a lifetime is the regime's."""
    replay = dict(sections.pop("replay", {}))
    regime = {"lifetime": replay.pop("lifetime")} if "lifetime" in replay else {}
    study = STUDY | {name: STUDY[name] | content for name, content in (sections | {"replay": replay}).items()}
    spec = Study.model_validate(study).run("door-open-v3", "stale", "gipo-1-1", 5)
    return spec.model_copy(update={"replay": spec.replay.model_copy(update=regime)})
