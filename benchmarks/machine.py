"""What a benchmark was run on."""

from __future__ import annotations

from typing import Any

from gipo.runs.code import code_digest
from gipo.runs.provenance import machine, origin


def describe() -> dict[str, Any]:
    """Commit, processor, cores, Python and library versions, as flat columns."""
    code, found = origin(code_digest("gipo")), machine()
    libraries = " ".join(f"{name}-{version}" for name, version in sorted(found["libraries"].items()))
    return {
        "git_commit": code.git_commit,
        "git_dirty": code.git_dirty,
        **{key: found[key] for key in ("cpu", "cores", "python")},
        "libraries": libraries,
    }
