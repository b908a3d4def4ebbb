"""The words of the scorecard: kinds of claims, and verdicts on them."""

from __future__ import annotations

from typing import Literal, get_args

Kind = Literal["measured", "by construction", "set by the config", "exact"]
"""The ground of a claim: training runs; a definition, which leaves no other outcome; a key of the config; or a
calculation without runs. Only the first kind is counted."""
KINDS: tuple[Kind, ...] = get_args(Kind)
MEASURED: Kind = "measured"

REPRODUCED = "reproduced"
CONTRADICTED = "contradicted"
INCONCLUSIVE = "inconclusive"
CANNOT_TELL = "cannot tell"
NOT_RUN = "not run"
VERDICTS = (REPRODUCED, CONTRADICTED, INCONCLUSIVE, CANNOT_TELL, NOT_RUN)
"""The rule accepts; it rejects; neither; the study is too small for the claim; it has no runs for it."""
JUDGED = VERDICTS[:3]
"""Those that a claim's rule gives."""
ANSWERS = dict(zip(VERDICTS, ("Yes", "No", "Open", "This study cannot tell", "Not run"), strict=True))
"""Each as the answer to whether a claim holds."""


class NotJudgedError(Exception):
    """A claim gets no verdict by its rule; the message says why, in words that a note can begin with."""

    verdict = NOT_RUN


class NotRunError(NotJudgedError):
    """The study lacks a method, a regime, a task or the like."""


class CannotTellError(NotJudgedError):
    """The study has the runs, and nothing can be concluded from them."""

    verdict = CANNOT_TELL
