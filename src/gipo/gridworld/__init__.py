"""The gridworld of figure 4: an exact bias-variance study of the objectives, and of the claims drawn from it."""

from gipo.errors import GipoError
from gipo.gridworld import case_study, family
from gipo.stages import StudyFolder, csv_bytes


def write(study: StudyFolder, pairs: int = 1000, seed: int = 0) -> None:
    """Write policies, case_study, margins, family and family_claims (.csv) below ``gridworld``, with their manifest.

    Args:
        study: folder, made if missing.
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
        "margins": case_study.margins(),
        "family": outcomes,
        "family_claims": family.shares(outcomes),
    }
    study.write_stage("gridworld", {f"gridworld/{name}.csv": csv_bytes(table, 8) for name, table in tables.items()})
