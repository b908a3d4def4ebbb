"""The gate before training: a pretrained start that solves clearly less than its authors publish is broken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gipo.errors import GipoError
from gipo.runs.spec import RunSpec

MARGIN = 0.05
"""By which the whole interval of the measured success has to lie below the published rate [R]: the authors play other
episodes, of all initial states."""


def check_start(spec: RunSpec, published: float, episodes: Sequence[dict[str, Any]]) -> None:
    """Refuse to train from a broken start.

    Args:
        spec: the run, which starts from a pretrained model.
        published: success rate that the authors of the model publish for the run's task.
        episodes: the run's evaluation at update 0.

    Raises:
        GipoError: the Wilson 95 % interval of the success lies more than `MARGIN` below the published rate.
    """
    from scipy.stats import binomtest  # a second of the start of every run

    assert spec.openvla
    solved, played = sum(bool(episode["success_any"]) for episode in episodes), len(episodes)
    interval = binomtest(solved, played).proportion_ci(0.95, "wilson")
    if interval.high >= published - MARGIN:
        return
    raise GipoError(
        f"{spec.openvla.repository} at {spec.openvla.revision} is a broken start: it solves {solved / played:.3f} "
        f"[{interval.low:.3f}, {interval.high:.3f}] of {played} episodes of {spec.task}, published {published:g}; "
        "fetch it again, and see that images and proprio of its section openvla are those that it was trained with; "
        "or leave published_success out of the scale to train from it all the same"
    )
