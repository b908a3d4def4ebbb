"""How stale a batch of anybody's trainer is, and what each objective of the package would do with it.

`batch` reads it, `table` has the numbers, `show` prints them and `picture` draws them.
"""

from __future__ import annotations

from pathlib import Path

from gipo.errors import GipoError
from gipo.files import atomic_path


def diagnose(file: Path, old_gap: float | None, out: Path | None, picture: Path | None) -> None:
    """Write the diagnosis of a batch, and print it.

    Args:
        file: see `batch.read`.
        old_gap: K, the gap in updates from which a sample is old; by default `table.usual_old_gap`.
        out: CSV for a row per objective, with the numbers of the batch in each.
        picture: PNG or SVG.

    Raises:
        GipoError: the batch cannot be used, ``old_gap`` is given where gaps are not known, or ``picture`` is to be of
            another kind.
    """
    from gipo.diagnose import batch, show, table
    from gipo.stages import csv_bytes

    if picture and picture.suffix not in (".png", ".svg"):
        raise GipoError(f"{picture}: expected a file .png or .svg")
    found = batch.read(file)
    if old_gap is None:
        old_gap = table.usual_old_gap(found.samples)
    elif found.samples.gap is None:
        raise GipoError(f"{file} has no gap, without which --old-gap says nothing")
    numbers, objectives = table.of_batch(found.samples, old_gap), table.of_objectives(found.samples, old_gap)
    if out:
        with atomic_path(out) as path:
            path.write_bytes(csv_bytes(objectives.assign(**numbers), 10))
    if picture:
        from gipo.diagnose.picture import content

        with atomic_path(picture) as path:
            path.write_bytes(content(numbers, objectives, "svg" if picture.suffix == ".svg" else "png"))
    show.show(file, found, numbers, objectives)
