"""The toy suite at run time."""

from gipo.envs.toy import ACTION_DIMENSIONS, OBSERVATION_SIZE, ToyEnv

from gipo.engines.suites.network import NetworkSuite


def make_suite(spec, pretrained):
    settings = spec.environment
    return NetworkSuite(
        spec,
        observation_size=OBSERVATION_SIZE,
        action_dimensions=ACTION_DIMENSIONS,
        make_environment=lambda: ToyEnv(spec.task, settings.bins, settings.episode_steps),
    )
