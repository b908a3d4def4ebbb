"""A finished study of any scale with made-up numbers: runs and stages with manifests, as the workflow leaves them."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from factories import evaluation, metrics, write_baseline, write_manifest, write_results
from gipo.runs import kept
from gipo.runs.baseline import BaselineManifest
from gipo.runs.directory import RunDirectory
from gipo.runs.manifest import Receipt, RunManifest
from gipo.runs.spec import RunSpec
from gipo.scale import Scale
from gipo.stages import StudyFolder
from gipo.study import Study
from gipo.verify import RECEIPT


def write_whole(scale: Scale, results: Path, policy: int = 1000) -> None:
    """Write every run, baseline and stage of a scale.

    Args:
        scale: whose suites are all MetaWorld.
        results: folder of all results.
        policy: bytes of a run's policy.
    """
    tables: dict[str, tuple[pd.DataFrame, pd.DataFrame]] = {}
    for spec in scale.runs.values():
        write_whole_run(spec, results, policy, tables)
    for study in scale.parts.values():
        for part in study.parts():
            for task in part.scored_by_baselines():
                spec = part.baseline(task)
                write_baseline(results / "baselines", task, episodes=spec.episodes, digest=spec.digest())
    for name, study in scale.parts.items():
        write_stages(StudyFolder(results / name), study, results, scale.figures()[name])
    folder = StudyFolder(results / scale.name)
    if scale.is_composed:
        for name in scale.parts:
            StudyFolder(results / name).manifest_of("scorecard")
        folder.write_stage("scorecard", {"scorecard.csv": b"claim\n"})
        write_figures(folder, ["scorecard"], {"scorecard": ["scorecard"]})
    made = {f"figures/{name}": folder.manifest_of(f"figures/{name}").digest() for name in scale.figures()[scale.name]}
    folder.write_stage("report", {"report.html": b"<html>"}, made)
    Receipt(files={}, runs=list(scale.runs)).write(folder.path / RECEIPT)


def write_whole_run(
    spec: RunSpec, results: Path, policy: int, tables: dict[str, tuple[pd.DataFrame, pd.DataFrame]]
) -> None:
    """Write a run as training leaves it; runs of one length share their numbers, which `tables` keeps."""
    directory = RunDirectory(results / "runs" / spec.run_id)
    key = f"{spec.learner} {spec.replay} {spec.evaluation} {spec.diagnostics}"
    if key not in tables:
        rng = np.random.default_rng(zlib.crc32(key.encode()))
        tables[key] = metrics(spec, rng), evaluation(spec, 0.5, rng)
    write_results(directory.path, spec, *tables[key])
    directory.policy.write_bytes(spec.run_id.encode().ljust(policy, b"\0"))
    write_manifest(directory.path, spec)
    directory.log.write_text("a line\n")
    kept.keep(directory, RunManifest.read(directory.manifest))


def write_stages(folder: StudyFolder, study: Study, results: Path, figures: list[str]) -> None:
    """Write what is made of a study's runs; the files say what they are, and no more."""
    for grid, part in {"tables": study, **{f"sweeps/{name}": study.sweep(name) for name in study.sweeps}}.items():
        inputs = {run.run_id: RunManifest.read(results / "runs" / run.run_id / "manifest.json") for run in part.runs()}
        inputs |= {
            f"baselines/{path.name}": BaselineManifest.read(path / "manifest.json")
            for path in part.baseline_directories(results)
        }
        files = {f"{grid}/{name}.parquet": _parquet(name) for name in ("runs", "metrics", "evaluations", "baselines")}
        folder.write_stage(grid, files, {name: manifest.digest() for name, manifest in inputs.items()})
    folder.write_stage("weights", {"weights.csv": b"ratio\n1\n"})
    names = ("policies", "case_study", "margins", "family", "family_claims", "field", "field_family")
    folder.write_stage("gridworld", {f"gridworld/{name}.csv": f"{name}\n1\n".encode() for name in names})
    tables = folder.manifest_of("tables").digest()
    folder.write_stage("scorecard", {"scorecard.csv": b"claim\n"}, {"tables": tables})
    folder.write_stage("videos", {"videos/videos.json": b"{}\n"}, {"tables": tables})
    write_figures(folder, figures, {"fig1": ["weights"], "fig4": ["gridworld"], "scorecard": ["scorecard"]})


def write_figures(folder: StudyFolder, figures: list[str], sources: dict[str, list[str]]) -> None:
    """Write figures, made of the tables where no other source is named."""
    for name in figures:
        inputs = {stage: folder.manifest_of(stage).digest() for stage in sources.get(name, ["tables"])}
        files = {f"figures/{name}.{kind}": f"{name}\n".encode() for kind in ("svg", "png", "csv")}
        folder.write_stage(f"figures/{name}", files, inputs)


def _parquet(name: str) -> bytes:
    return pd.DataFrame({name: [1]}).to_parquet()
