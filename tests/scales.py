"""The results folder of a made-up study with everything that claims and figures read."""

from pathlib import Path

from factories import Study
from gipo import gridworld
from gipo.analysis.collect import collect
from gipo.weights import trust_weights


def write_scale(study: Study, root: Path) -> Path:
    """Write tables, trust weights and a small gridworld study below `root` and return it."""
    collect(study.runs, study.baselines, root / "tables")
    trust_weights().to_csv(root / "weights.csv", index=False)
    gridworld.write(root / "gridworld", pairs=10, seed=0)
    return root
