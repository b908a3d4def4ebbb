"""The results folder of a made-up study with everything that claims and figures read."""

import tempfile
from pathlib import Path

from factories import Study, write_sweeps
from gipo import gridworld
from gipo.analysis.collect import collect
from gipo.trust_weights import trust_weights


def write_scale(study: Study, root: Path) -> Path:
    """Write tables, small sweeps, trust weights and a small gridworld study below `root` and return it."""
    collect(study.runs, study.baselines, root / "tables")
    collect_sweeps(root)
    trust_weights().to_csv(root / "weights.csv", index=False)
    gridworld.write(root / "gridworld", pairs=10, seed=0)
    return root


def collect_sweeps(root: Path) -> Path:
    """Write the tables of small sweeps below ``root/sweeps`` and return that folder."""
    with tempfile.TemporaryDirectory() as runs:
        for name, sweep in write_sweeps(Path(runs)).items():
            collect(sweep.runs, sweep.baselines, root / "sweeps" / name)
    return root / "sweeps"
