"""MetaWorld at run time: one task, and the network on its observations."""

from __future__ import annotations

from pathlib import Path

from gipo.engines.suites.network import NetworkSuite
from gipo.envs.metaworld import ACTION_DIMENSIONS, OBSERVATION_SIZE, MetaWorldEnv
from gipo.runs.spec import RunSpec


def make_suite(spec: RunSpec, pretrained: Path) -> NetworkSuite:
    """The suite of a MetaWorld run, which needs no pretrained model; see `gipo.engines.suites.make_suite`."""
    settings = spec.environment
    return NetworkSuite(
        spec,
        observation_size=OBSERVATION_SIZE,
        action_dimensions=ACTION_DIMENSIONS,
        make_environment=lambda: MetaWorldEnv(spec.task, bins=settings.bins, episode_steps=settings.episode_steps),
    )
