"""Methods by what they are: an objective with its parameters, and what the learner does otherwise under it.

A study's labels are the user's words and decide nothing. The tables' column ``method`` holds a *name*: the *id* of the
method alone where the label is just that, else ``label: id``. `identify` makes ids, and `read` reads names::

    ppo-clip                      an objective at its defaults
    ppo-clip[eps=0.1]             settings that are not the defaults
    gipo-1-0.5                    GIPO with its two sigmas, which its id always has
    vtrace-gipo-1-1               V-trace targets
    sapo[learner.kl_coefficient=0.3]
                                  a learner unlike that of the other methods in the table
    my_module:mine[alpha=2]       an objective of the user's own
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd

from gipo import objectives
from gipo.errors import GipoError
from gipo.runs.spec import LearnerSpec

_VTRACE = "vtrace-"
_FIRST = ("no-clip", "ppo-clip", "sapo")
_NUMBER = r"(?!0-|0$)\d+(?:\.\d+)?(?:e[+-]?\d+)?"
_GIPO = re.compile(rf"gipo-({_NUMBER})-({_NUMBER})")


@dataclass(frozen=True)
class Method:
    """A name, taken apart.

    Attributes:
        name: as in the column ``method``.
        label: the user's word for it; the id where it is just that.
        id: the same for the same objective and learner, whatever the label.
        vtrace: whether targets are V-trace's.
        objective: the objective's name with ``-`` for ``_``, and with its module if it is the user's own.
        sigmas: sigma_pos and sigma_neg of GIPO; empty for any other objective.
        settings: the others that are not the defaults, as text.
    """

    name: str
    label: str
    id: str
    vtrace: bool
    objective: str
    sigmas: tuple[float, ...]
    settings: str


@cache
def read(name: str) -> Method:
    """Read a name from the column ``method``."""
    label, separator, identity = name.partition(": ")
    if not separator:
        identity = label
    body, _, settings = identity.removeprefix(_VTRACE).partition("[")
    match = _GIPO.fullmatch(body)
    return Method(
        name=name,
        label=label,
        id=identity,
        vtrace=identity.startswith(_VTRACE),
        objective="gipo" if match else body.replace("_", "-") if ":" not in body else body,
        sigmas=tuple(map(float, match.groups())) if match else (),
        settings=settings.removesuffix("]"),
    )


def without_vtrace(name: str) -> str:
    """Name of the same method without V-trace targets; as it is where it has none."""
    method = read(name)
    identity = method.id.removeprefix(_VTRACE)
    return identity if method.name == method.id else f"{method.label}: {identity}"


def rank(name: str) -> tuple[bool, int, tuple[float, ...], bool, str]:
    """Sorts names: the paper's rivals, other objectives, GIPO by its sigmas; then those with V-trace targets."""
    method = read(name)
    place = _FIRST.index(method.objective) if method.objective in _FIRST else len(_FIRST)
    return method.vtrace, place + (method.objective == "gipo"), method.sigmas, name != method.id, name


def find(names: Iterable[str], identity: str) -> list[str]:
    """Those of `names` whose method has that id, sorted; more than one where a study has it under several labels."""
    return sorted(name for name in set(names) if read(name).id == identity)


def identify(
    objective: str, parameters: Mapping[str, Any], estimator: str = "gae", changes: Mapping[str, Any] | None = None
) -> str:
    """Id of a method.

    Args:
        objective: a registered name, or ``module:name``.
        parameters: of the objective, those that were given; defaults need not be.
        estimator: of the advantages, ``gae`` or ``vtrace``.
        changes: keys of the learner's section that differ from the other methods'.
    """
    given, usual = with_defaults(objective, parameters)
    name = objective.replace("_", "-") if objective in objectives.names() else objective
    if objective == "gipo":
        name += "".join(f"-{_written(given.pop(side))}" for side in ("sigma_pos", "sigma_neg"))
    settings = {key: value for key, value in given.items() if key not in usual or value != usual[key]}
    settings |= {f"learner.{key}": value for key, value in (changes or {}).items()}
    listed = ", ".join(f"{key}={_written(value)}" for key, value in sorted(settings.items()))
    return (_VTRACE if estimator == "vtrace" else "") + name + (f"[{listed}]" if listed else "")


def names(runs: pd.DataFrame) -> dict[str, str]:
    """Label to name of every method in a table of runs with the columns ``method`` and ``spec``.

    Raises:
        GipoError: a label stands for more than one objective or learner.
    """
    specs: dict[str, dict[str, dict[str, Any]]] = {}
    for label, text in zip(runs["method"], runs["spec"], strict=True):
        spec = {part: json.loads(text)[part] for part in ("objective", "learner")}
        if specs.setdefault(label, spec) != spec:
            raise GipoError(f"method {label!r} stands for different objectives or learners in the tables")
    found = {}
    for label, spec in specs.items():
        learner = spec["learner"]
        alike = [other["learner"] for other in specs.values() if other["learner"]["estimator"] == learner["estimator"]]
        changes = {key: value for key, value in learner.items() if value != _usual(key, alike)}
        identity = identify(spec["objective"]["name"], spec["objective"]["parameters"], learner["estimator"], changes)
        found[label] = identity if label == identity else f"{label}: {identity}"
    return found


def _usual(key: str, learners: list[dict[str, Any]]) -> Any:
    """The value that most methods with one estimator have; of values equally frequent the default."""
    values = [learner.get(key) for learner in learners]
    default = LearnerSpec.model_fields[key].default if key in LearnerSpec.model_fields else None
    return max(values, key=lambda value: (values.count(value), value == default))


def with_defaults(objective: str, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """All parameters, and the defaults; of an objective of the user's own, which need not be here, those given."""
    if objective not in objectives.names():
        return dict(given), {}
    made: Any = objectives.make(objective, **given)
    fields = dataclasses.fields(made)
    defaults = {field.name: field.default for field in fields if field.default is not dataclasses.MISSING}
    return {field.name: getattr(made, field.name) for field in fields}, defaults


def _written(value: Any) -> str:
    """A value such that different ones are written differently: numbers in their shortest form, words as they are."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z][\w.-]*", value):
        return value
    return json.dumps(value)
