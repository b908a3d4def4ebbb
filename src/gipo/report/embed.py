"""Figures as they are put into the page: picture and table as data URIs."""

from __future__ import annotations

import base64
import gzip
from pathlib import Path

from gipo import figures
from gipo.analysis.reading import read_csv
from gipo.errors import GipoError

LARGEST_SVG = 400_000
"""Bytes above which the PNG is embedded in place of the SVG."""
LARGEST_CSV = 60_000
"""Bytes above which the table is embedded compressed."""


def figure(name: str, pictures: Path) -> dict[str, str]:
    """One built figure as the template needs it.

    Args:
        name: one of `gipo.figures.NAMES`.
        pictures: folder with ``<name>.svg``, ``.png`` and ``.csv``.

    Raises:
        GipoError: A file is missing or damaged.
    """
    module = figures.module(name)
    table = read_csv(pictures / f"{name}.csv")
    caption = module.caption(table)
    return {
        "name": name,
        "title": module.TITLE,
        "subtitle": module.SUBTITLE,
        "caption": caption,
        "alt": f"{module.TITLE}: {module.SUBTITLE}. The caption describes it.",
        "picture": _picture(pictures, name),
        **_download(pictures / f"{name}.csv"),
    }


def is_drawn(name: str, pictures: Path) -> bool:
    """Whether all files of a figure are there."""
    return all((pictures / f"{name}.{kind}").exists() for kind in ("svg", "png", "csv"))


def _picture(pictures: Path, name: str) -> str:
    """Data URI of the SVG, or of the PNG where the SVG is large."""
    svg = _bytes(pictures / f"{name}.svg")
    if len(svg) <= LARGEST_SVG:
        return _data_uri(svg, "image/svg+xml")
    return _data_uri(_bytes(pictures / f"{name}.png"), "image/png")


def _download(path: Path) -> dict[str, str]:
    """Data URI, file name and size of the table behind a figure."""
    content, name, kind = _bytes(path), path.name, "text/csv"
    if len(content) > LARGEST_CSV:
        content, name, kind = gzip.compress(content, mtime=0), f"{path.name}.gz", "application/gzip"
    return {"csv": _data_uri(content, kind), "csv_name": name, "csv_size": f"{max(len(content) / 1000, 1):.0f} kB"}


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise GipoError(f"cannot read {path}: {error.strerror}") from error


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
