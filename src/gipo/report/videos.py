"""Videos of final policies as they are put into the page (made by `gipo.videos`)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from gipo.figures import style
from gipo.report import embed
from gipo.stages import VIDEO_INDEX, VIDEOS, StudyFolder
from gipo.suites import Suite

MOST_EMBEDDED = 3_000_000
"""Bytes of all videos of a study above which the page plays them from their folder; it stays below 10 MB."""


def films(study: StudyFolder, suite: Suite, page: Path) -> dict[str, Any] | None:
    """The videos of a study for the template; None where none were made.

    Args:
        study: folder of the study.
        suite: of its tasks.
        page: folder of the page.

    Returns:
        ``note``, why there are none, else empty; ``beside``, the folder that the page plays them from, empty where
        they are in it; ``tasks``, a list of titles with their videos.

    Raises:
        GipoError: a file is damaged.
    """
    if not study.has(VIDEOS):
        return None
    index = json.loads(study.read_bytes(VIDEO_INDEX))
    contents = {row["file"]: study.read_bytes(row["file"]) for row in index["films"]}
    beside = ""
    if sum(map(len, contents.values())) > MOST_EMBEDDED:
        beside = Path(os.path.relpath(study.path, page)).as_posix()
    sources = {
        name: f"{beside}/{name}".removeprefix("./") if beside else embed.video(content)
        for name, content in contents.items()
    }
    rows = index["films"]
    regimes = style.order_regimes(row["regime"] for row in rows)
    labels = style.order(row["method"] for row in rows)
    rows.sort(key=lambda row: (regimes.index(row["regime"]), labels.index(row["method"])))
    tasks = [
        (suite.task_title(task), [_shown(row, sources) for row in rows if row["task"] == task])
        for task in suite.order_tasks(row["task"] for row in rows)
    ]
    return {"note": index["note"], "beside": beside and f"{beside}/{VIDEOS}".removeprefix("./"), "tasks": tasks}


def _shown(row: dict[str, Any], sources: dict[str, str]) -> dict[str, str]:
    """A video with its words."""
    words = f"{row['regime']}, {style.label(row['method'])}"
    solved = "solved" if row["success"] else "not solved"
    return {
        "source": sources[row["file"]],
        "words": words,
        "seed": f"seed {row['seed']}, median of {row['seeds']}",
        "result": f"{solved}, return {row['return']:,.0f}",
        "alt": f"{row['task']}, {words}: the final policy plays an episode; {solved}",
    }
