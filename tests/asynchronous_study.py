"""A small study on the asynchronous engine, for the tests."""

import small_study
from gipo.study import Study

STUDY = small_study.STUDY | {
    "environment": {"bins": 8, "episode_steps": 12},
    "asynchronous": {"inference_batch": 4},
}


def make_spec(**sections):
    """The study's run, with other settings; a lifetime is the regime's."""
    replay = dict(sections.pop("replay", {}))
    regime = {"lifetime": replay.pop("lifetime")} if "lifetime" in replay else {}
    study = STUDY | {name: STUDY[name] | content for name, content in (sections | {"replay": replay}).items()}
    spec = Study.model_validate(study).run("door-open-v3", "stale", "gipo-1-1", 5)
    return spec.model_copy(update={"replay": spec.replay.model_copy(update=regime)})
