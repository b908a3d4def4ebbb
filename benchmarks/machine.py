"""What a benchmark was run on."""

from __future__ import annotations

from typing import Any

from gipo.runs.provenance import origin


def describe() -> dict[str, Any]:
    """Commit, processor, cores, Python and library versions, as flat columns."""
    found = origin("gipo")
    libraries = " ".join(f"{name}-{version}" for name, version in sorted(found["libraries"].items()))
    return {key: found[key] for key in ("git_commit", "git_dirty", "cpu", "cores", "python")} | {"libraries": libraries}
