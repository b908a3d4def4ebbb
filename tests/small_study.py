"""A study that trains in seconds, for tests of the engines."""

STUDY = {
    "title": "Test",
    "tasks": ["door-open-v3"],
    "regimes": {"fresh": 0.0855, "stale": 0.874},
    "methods": {"gipo-1-1": {"name": "gipo", "parameters": {"sigma_pos": 1.0, "sigma_neg": 1.0}}},
    "seeds": [5],
    "environment": {"bins": 8, "episode_steps": 30},
    "network": {"hidden": 16, "value_hidden": 8},
    "replay": {"capacity": 512, "segment_length": 8, "environments": 4, "group_size": 2, "warmup_steps": 64},
    "learner": {"updates": 200, "batch_size": 32, "accumulation": 1, "warmup_updates": 10, "policy_start": 5},
    "evaluation": {"every": 100, "episodes": 3},
    "diagnostics": {"every": 10},
}

IMAGINATION = {"length": 3, "lifetime": 0.2, "warmup_steps": 192, "refit_every": 60, "fit_steps": 50, "hidden": 16}
IMAGINATION |= {"branches": 3}
"""Its section for regimes with imagined transitions."""
