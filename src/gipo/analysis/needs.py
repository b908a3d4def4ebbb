"""Requirements on a study before a measured claim can be judged on it."""

from __future__ import annotations

import json
import math
from typing import Annotated

import pandas as pd
from pydantic import Field, model_validator

from gipo.analysis import statistics
from gipo.analysis.cells import Cell, Quantity
from gipo.analysis.results import MeasureBase, Place, Results
from gipo.analysis.statistics import Array
from gipo.config import PositiveInt, Section


class Reached(Section):
    """A level that the best method must reach, in the mean over its runs, among the runs that a claim is about."""

    quantity: Quantity
    at_least: float
    regime: str | None = None
    """None: every regime that the claim is about."""

    def unmet(self, place: Place, results: Results) -> str:
        """The shortfall, in numbers; empty if there is none."""
        if self.regime not in {None, place.regime}:
            return ""
        best = max(curve.window().mean() for curve in Cell.at(place, self.quantity).curves(results))
        if best >= self.at_least:
            return ""
        return f"the best method's {self.quantity} on {place.regime} data is {best:.3g}, needed {self.at_least:g}"

    def words(self) -> str:
        """For example ``the best method's success at least 0.5``."""
        where = f" on {self.regime} data" if self.regime else ""
        return f"the best method's {self.quantity}{where} at least {self.at_least:g}"


class Needs(Section):
    """All that a study must reach before a claim can be judged; see the head of claims.yaml."""

    reached: tuple[Reached, ...] = ()
    policy_updates: PositiveInt | None = None
    """Updates of every run that move the policy."""
    tasks: PositiveInt | None = None
    seeds: PositiveInt | None = None
    """Runs of a method on a task."""
    episodes: PositiveInt | None = None
    """Evaluation episodes behind an estimate, all runs of a method together."""
    chance: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Largest probability of the clearest outcome by chance, see `least_chance`."""
    why: str

    @model_validator(mode="after")
    def _not_empty(self) -> Needs:
        if not self.model_fields_set - {"why"}:
            raise ValueError("expected something that a study must reach")
        return self

    def unmet(self, measure: MeasureBase, results: Results) -> list[str]:
        """All that a study lacks, in numbers, one phrase for each; empty if it can tell.

        Raises:
            NotJudgedError: there are no such runs, or not for every seed and task.
        """
        lacks = [reached.unmet(place, results) for reached in self.reached for place in measure.places()]
        if self.policy_updates:
            least = min(_policy_updates(results.runs_at(place)) for place in measure.places())
            lacks.append(_fewer(least, self.policy_updates, "policy updates in a run"))
        groups = measure.groups(results)
        if self.tasks:
            lacks.append(_fewer(groups[0].shape[1], self.tasks, "tasks"))
        if self.seeds:
            lacks.append(_fewer(min(map(len, groups)), self.seeds, "seeds"))
        if self.episodes:
            lacks.append(_fewer(_episodes(measure, results), self.episodes, "evaluation episodes"))
        if self.chance and (chance := least_chance(groups)) > self.chance:
            lacks.append(
                f"even the clearest outcome of so few runs has probability {chance:.2g} by chance, "
                f"needed {self.chance:g} at most"
            )
        return [words for words in dict.fromkeys(lacks) if words]

    def words(self) -> str:
        """All of it as a phrase."""
        counts = {
            "policy updates in a run": self.policy_updates,
            "tasks": self.tasks,
            "seeds": self.seeds,
            "evaluation episodes": self.episodes,
        }
        parts = [reached.words() for reached in self.reached]
        parts += [f"{number:,} {name}" for name, number in counts.items() if number]
        parts += [f"the clearest outcome by chance no more likely than {self.chance:g}"] if self.chance else []
        return f"{'; '.join(parts)} ({self.why})"


def least_chance(groups: list[Array]) -> float:
    """Two-sided probability of the clearest outcome that so many runs can have, if nothing were true.

    Of two groups: every run of the one above every run of the other in every column, when labels are exchanged within
    columns; the smallest p-value of a stratified rank test, 2 / prod (n + m over n). Of one group: all N runs on one
    side of a level, the smallest p-value of a sign test, 2 / 2^N.

    Args:
        groups: of what is compared, [seeds, ...] each; of more than two the first two count.
    """
    one, *others = groups
    columns = math.prod(one.shape[1:])
    ways = math.comb(len(one) + len(others[0]), len(one)) ** columns if others else 2 ** (len(one) * columns)
    return min(1.0, 2 / ways)


def _fewer(here: int, needed: int, what: str) -> str:
    return f"{here:,} {what}, needed {needed:,}" if here < needed else ""


def _policy_updates(runs: pd.DataFrame) -> int:
    """Of the run with the fewest."""
    learners = [json.loads(spec)["learner"] for spec in runs["spec"]]
    return min(
        math.ceil((learner["updates"] - learner["policy_start"]) / learner.get("policy_every", 1))
        for learner in learners
    )


def _episodes(measure: MeasureBase, results: Results) -> int:
    """Of the method with the fewest, in the window over which its runs are averaged."""
    counts = []
    for cell in measure.cells():
        rows = cell.rows(results)
        rows = rows[rows["method"].isin(cell.methods(results))]
        last = rows.groupby("run_id")["env_steps"].transform("max")
        late = rows[last - rows["env_steps"] <= statistics.WINDOW * last]
        counts.append(int(late.groupby("method").size().min()))
    return min(counts)
