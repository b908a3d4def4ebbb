"""A point in the plane that is to reach a target: the smallest suite that can be trained on, for the tests."""

from gipo.suites import Suite

SUITE = Suite(name="toy", title="Toy", tasks=("near", "far"), score="baselines")
