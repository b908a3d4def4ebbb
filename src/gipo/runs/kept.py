"""A second, independent copy of a finished run's results, out of reach of Snakemake.

Snakemake removes the outputs of every member of a failed group of jobs, also of those that had finished, and disks
damage files. The next attempt at the run puts back what is missing or damaged instead of training again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gipo.errors import GipoError
from gipo.files import atomic_path
from gipo.runs.directory import RunDirectory, remove
from gipo.runs.manifest import RunManifest
from gipo.runs.spec import RunSpec


def recover(directory: RunDirectory, spec: RunSpec, code_digest: str, tell: Callable[[str], None]) -> bool:
    """Bring the results of a finished run and their copy into order, each file from wherever it is intact.

    Args:
        directory: of the run.
        spec: the run.
        code_digest: of the modules that would train it; results of other code count for nothing.
        tell: takes a line on what was put back, and one on whatever cannot be used.

    Returns:
        Whether the run is finished, by this code; otherwise it is to be trained.
    """
    for folder in (directory.path, directory.kept):
        path = RunDirectory(folder).manifest
        if not path.exists():
            continue
        try:
            manifest = RunManifest.read(path)
        except GipoError as error:
            tell(str(error))
            continue
        if not manifest.is_of(spec):
            tell(f"{folder} holds the results of another run, {manifest.run_id}; they are not used")
            continue
        if manifest.code_digest != code_digest:
            tell(f"{folder} holds results of other code than today's; they are not used")
            continue
        here, there = _damaged(manifest, directory.path), _damaged(manifest, directory.kept)
        if lost := sorted(set(here) & set(there)):
            tell(f"{spec.run_id}: missing or damaged, and so is the kept copy: {', '.join(lost)}")
            continue
        if here == list(manifest.files):
            tell(f"{spec.run_id} was finished by this code before; its results are back in place")
        elif mended := here + ([] if _holds(directory.path, manifest) else [path.name]):
            tell(f"{spec.run_id} is finished; missing or damaged, restored from the kept copy: {', '.join(mended)}")
        elif copied := there + ([] if _holds(directory.kept, manifest) else [path.name]):
            tell(f"{spec.run_id} is finished; copied again, missing or damaged in kept: {', '.join(copied)}")
        else:
            tell(f"{spec.run_id} is finished already")
        _copy(manifest, here, directory.kept, directory.path)
        _copy(manifest, there, directory.path, directory.kept)
        return True
    return False


def keep(directory: RunDirectory, manifest: RunManifest) -> None:
    """Copy what the folder ``kept`` lacks of a finished run's results, and their manifest last."""
    _copy(manifest, _damaged(manifest, directory.kept), directory.path, directory.kept)


def _copy(manifest: RunManifest, names: list[str], source: Path, target: Path) -> None:
    """Copy files of a run to a folder of which only the manifest of this run says that they are whole."""
    path = RunDirectory(target).manifest
    if not _holds(target, manifest):
        remove(path)
    for name in names:
        content = manifest.read_bytes(source, name)
        with atomic_path(target / name) as temporary:
            temporary.write_bytes(content)
    if not _holds(target, manifest):
        manifest.write(path)


def _holds(folder: Path, manifest: RunManifest) -> bool:
    """Whether a folder has this very manifest."""
    try:
        return RunManifest.read(RunDirectory(folder).manifest) == manifest
    except GipoError:
        return False


def _damaged(manifest: RunManifest, folder: Path) -> list[str]:
    """Files of a run that are not in a folder as they should be."""
    return [name for name, facts in manifest.files.items() if facts.damage(folder / name)]
