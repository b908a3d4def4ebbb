"""A second name for the results of a finished run, out of reach of Snakemake.

Snakemake removes the outputs of every member of a failed group of jobs, also of those that had finished. Their files
live on under these names, so that the next attempt puts them back instead of training again.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from gipo.errors import GipoError
from gipo.files import atomic_path, read_json
from gipo.runs.directory import RunDirectory


def keep(directory: RunDirectory) -> None:
    """Link the results of a finished run into its folder ``kept``; the provenance last."""
    store = _store(directory)
    for path in _results(directory):
        _link(path, store / path.name)


def restore(directory: RunDirectory, code_digest: str) -> bool:
    """Put kept results back, if there are any and they are the work of this code; whether it was so.

    Args:
        directory: of a run that has no results now.
        code_digest: of the modules that would train it (`gipo.runs.code.code_digest`).
    """
    store = _store(directory)
    kept = [store / path.name for path in _results(directory)]
    try:
        if read_json(kept[-1])["code_digest"] != code_digest or read_json(kept[0]) != read_json(directory.spec):
            return False
    except GipoError:
        return False
    for path, source in zip(_results(directory), kept, strict=True):
        _link(source, path)
    return True


def _store(directory: RunDirectory) -> Path:
    return directory.path / "kept"


def _results(directory: RunDirectory) -> list[Path]:
    """The declared outputs of a run, its spec first and its provenance last."""
    return [directory.spec, directory.metrics, directory.evaluation, directory.policy, directory.provenance]


def _link(source: Path, target: Path) -> None:
    """Give `source` another name, or copy it where the file system has no links."""
    with atomic_path(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
