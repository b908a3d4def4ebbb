"""Figures as they are put into the page: picture and table as data URIs."""

from __future__ import annotations

import base64
import gzip

import pandas as pd

from gipo import figures
from gipo.report import explore
from gipo.stages import StudyFolder

LARGEST_SVG = 400_000
"""Bytes above which the PNG is embedded in place of the SVG."""
LARGEST_CSV = 60_000
"""Bytes above which the table is embedded compressed."""


def _where(table: pd.DataFrame) -> str:
    """The task of a figure that shows a single one."""
    tasks = sorted(set(table["task"].dropna())) if "task" in table else []
    return f" ({tasks[0]})" if len(tasks) == 1 else ""


def picture(content: bytes) -> str:
    """Data URI of an SVG."""
    return _data_uri(content, "image/svg+xml")


def video(content: bytes) -> str:
    """Data URI of an animated WebP."""
    return _data_uri(content, "image/webp")


def figure(name: str, study: StudyFolder) -> dict[str, str]:
    """One built figure as the template needs it.

    Args:
        name: one of `gipo.figures.NAMES`.
        study: folder with ``figures/<name>.svg``, ``.png`` and ``.csv``.

    Raises:
        GipoError: A file is missing or damaged.
    """
    module = figures.module(name)
    table = study.read_csv(f"figures/{name}.csv")
    caption = module.caption(table)
    return {
        "name": name,
        "title": module.TITLE,
        "subtitle": module.SUBTITLE + _where(table),
        "caption": caption,
        "alt": f"{module.TITLE}: {module.SUBTITLE}. The caption describes it.",
        "picture": _picture(study, name),
        "explore": explore.document(name, table) if name in explore.CURVES else "",
        **download(f"{name}.csv", study.read_bytes(f"figures/{name}.csv")),
    }


def _picture(study: StudyFolder, name: str) -> str:
    """Data URI of the SVG, or of the PNG where the SVG is large."""
    svg = study.read_bytes(f"figures/{name}.svg")
    if len(svg) <= LARGEST_SVG:
        return picture(svg)
    return _data_uri(study.read_bytes(f"figures/{name}.png"), "image/png")


def download(file: str, content: bytes) -> dict[str, str]:
    """Data URI, file name and size of a CSV."""
    kind = "text/csv"
    if len(content) > LARGEST_CSV:
        content, file, kind = gzip.compress(content, mtime=0), f"{file}.gz", "application/gzip"
    return {"csv": _data_uri(content, kind), "csv_name": file, "csv_size": f"{max(len(content) / 1000, 1):.0f} kB"}


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
