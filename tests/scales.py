"""The results folder of a made-up study with everything that claims and figures read."""

import tempfile
from pathlib import Path

from factories import Study, write_sweeps
from gipo import trust_weights
from gipo.analysis.collect import collect
from gipo.gridworld import tables
from gipo.stages import StudyFolder, stage_of


def write_scale(study: Study, root: Path, sweeps: bool = True) -> StudyFolder:
    """Write tables, small sweeps, trust weights and a small gridworld study below `root`."""
    folder = StudyFolder(root)
    collect(study.runs, study.baselines, folder)
    if sweeps:
        collect_sweeps(folder)
    trust_weights.write(folder)
    tables.write(folder, pairs=10, seed=0)
    return folder


def collect_sweeps(folder: StudyFolder) -> None:
    """Write the tables of small sweeps."""
    with tempfile.TemporaryDirectory() as runs:
        for name, sweep in write_sweeps(Path(runs)).items():
            collect(sweep.runs, sweep.baselines, folder, f"sweeps/{name}")


def put(folder: StudyFolder, name: str, content: bytes) -> None:
    """Write a file as if its stage had made it so, beside what else the stage made."""
    stage = stage_of(name)
    files, inputs = {}, {}
    if folder.manifest_path(stage).exists():
        manifest = folder.manifest_of(stage)
        files, inputs = {file: folder.read_bytes(file) for file in manifest.files}, manifest.inputs
    folder.write_stage(stage, files | {name: content}, inputs)
