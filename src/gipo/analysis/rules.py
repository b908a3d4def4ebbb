"""Rules of claims: conditions on an estimate and its interval, and the verdict that they give."""

from __future__ import annotations

from pydantic import Field, model_validator

from gipo.analysis.statistics import Estimate
from gipo.analysis.verdicts import CONTRADICTED, INCONCLUSIVE, REPRODUCED
from gipo.config import Section


class Bounds(Section):
    """Limits on one number; all that are given must hold."""

    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> Bounds:
        if not self.model_fields_set:
            raise ValueError("expected at least one of above, at_least, below, at_most")
        return self

    def hold(self, x: float) -> bool:
        """Whether `x` lies within; never for NaN."""
        return (
            (self.above is None or x > self.above)
            and (self.at_least is None or x >= self.at_least)
            and (self.below is None or x < self.below)
            and (self.at_most is None or x <= self.at_most)
        )

    def words(self, name: str) -> str:
        """For example ``low > 0``."""
        signs = {"above": ">", "at_least": "≥", "below": "<", "at_most": "≤"}
        limits = self.model_dump(exclude_none=True)
        return " and ".join(f"{name} {signs[key]} {limit:.12g}" for key, limit in limits.items())


class Condition(Section):
    """Bounds on the estimate and on the ends of its interval; all that are given must hold."""

    value: Bounds | None = None
    low: Bounds | None = None
    high: Bounds | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> Condition:
        if not self.model_fields_set:
            raise ValueError("expected at least one of value, low, high")
        return self

    def _parts(self) -> dict[str, Bounds]:
        return {name: bounds for name, bounds in self if bounds is not None}

    def holds(self, estimate: Estimate) -> bool:
        """Whether the estimate meets it."""
        return all(bounds.hold(getattr(estimate, name)) for name, bounds in self._parts().items())

    def words(self) -> str:
        """For example ``low ≥ -0.1 and high ≤ 0.1``."""
        return " and ".join(bounds.words(name) for name, bounds in self._parts().items())


class Rule(Section):
    """Alternatives that settle a verdict; what meets neither list is inconclusive."""

    reproduced: list[Condition] = Field(min_length=1)
    contradicted: list[Condition] = Field(min_length=1)
    why: str

    def verdict(self, estimate: Estimate) -> str:
        """One of `gipo.analysis.verdicts.JUDGED`."""
        if any(condition.holds(estimate) for condition in self.reproduced):
            return REPRODUCED
        if any(condition.holds(estimate) for condition in self.contradicted):
            return CONTRADICTED
        return INCONCLUSIVE

    def words(self) -> str:
        """The rule as a sentence."""
        yes, no = (" or ".join(c.words() for c in cs) for cs in (self.reproduced, self.contradicted))
        return f"{REPRODUCED} if {yes}; {CONTRADICTED} if {no}; otherwise {INCONCLUSIVE} ({self.why})"
