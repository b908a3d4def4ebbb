"""The gridworld of figure 4: an exact bias-variance study of the objectives, and of the claims drawn from it."""

from pathlib import Path

from gipo.errors import GipoError
from gipo.files import atomic_path
from gipo.gridworld import case_study, family


def write(out: Path, pairs: int = 1000, seed: int = 0) -> None:
    """Write policies.csv, case_study.csv, family.csv and family_claims.csv, each atomically.

    Args:
        out: folder, made if missing.
        pairs: size of the random family.
        seed: seed of the random family.

    Raises:
        GipoError: ``pairs`` is not positive, or a file cannot be written.
    """
    if pairs < 1:
        raise GipoError(f"gridworld: pairs = {pairs}, expected at least 1")
    outcomes = family.outcomes(pairs, seed)
    tables = {
        "policies": case_study.policies(),
        "case_study": case_study.points(),
        "family": outcomes,
        "family_claims": family.shares(outcomes),
    }
    for name, table in tables.items():
        with atomic_path(out / f"{name}.csv") as path:
            table.to_csv(path, index=False, float_format="%.8g")
