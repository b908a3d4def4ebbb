"""The MLflow record of finished runs. Run directories are the truth; this is a view of them that can be made again."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from gipo.errors import GipoError
from gipo.files import atomic_path
from gipo.runs.code import code_of
from gipo.runs.finished import FinishedRun

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when mlflow is imported

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

EXPERIMENT = "gipo"
BATCH = 1000  # the most metrics that MLflow takes in one call


def track(run_dirs: Iterable[Path], store: Path) -> None:
    """Bring the MLflow experiment up to date with finished runs: what is recorded already is left as it is.

    A run is known by its run id and the digest of its files. One that was trained again replaces its older record,
    and so does one whose recording was interrupted: only a complete record is marked as finished.

    Args:
        run_dirs: Directories of finished runs.
        store: SQLite file, e.g. results/mlflow.db; artifacts lie beside it in mlflow-artifacts.

    Raises:
        GipoError: A run is missing, unfinished, damaged or the work of other code than today's, or the store cannot be
            used.
    """
    runs = [_read(path) for path in sorted(set(run_dirs))]
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it prints the traceback of what it raises
    try:
        if not store.exists():
            with atomic_path(store) as tmp:  # MLflow cannot repair a store whose making was interrupted
                _experiment(MlflowClient(f"sqlite:///{tmp}"), _artifacts(store))
        client = MlflowClient(f"sqlite:///{store}")
        experiment = _experiment(client, _artifacts(store))
        records = list(_records(client, experiment))
        for run in runs:
            _bring_up_to_date(client, experiment, run, records)
    except (MlflowException, SQLAlchemyError) as error:
        reason = str(getattr(error.__cause__ or error, "orig", None) or error).partition("\n")[0]
        raise GipoError(
            f"cannot use the MLflow store {store.absolute()}: {reason}; delete it, and it is made again from the runs"
        ) from error


def usable(run_dirs: Iterable[Path], tell: Callable[[str], None]) -> list[Path]:
    """The directories whose runs can be recorded; `tell` takes a line for each of the others."""
    found = []
    for path in sorted(run_dirs):
        try:
            _read(path)
        except GipoError as error:
            tell(f"left out: {error}")
        else:
            found.append(path)
    return found


def _read(path: Path) -> FinishedRun:
    run = FinishedRun.read(path)
    run.check_code(code_of(run.spec))
    run.metrics(), run.evaluation()
    return run


def _artifacts(store: Path) -> Path:
    return store.with_name("mlflow-artifacts").resolve()


def _experiment(client: MlflowClient, artifacts: Path) -> str:
    """Identifier of the experiment, made or restored where necessary."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return str(client.create_experiment(EXPERIMENT, artifact_location=artifacts.as_uri()))
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)


def _records(client: MlflowClient, experiment: str) -> Iterator[Run]:
    """Every record of the experiment."""
    page = client.search_runs([experiment])
    while True:
        yield from page
        if not page.token:
            return
        page = client.search_runs([experiment], page_token=page.token)


def _bring_up_to_date(client: MlflowClient, experiment: str, run: FinishedRun, records: list[Run]) -> None:
    digest = _digest(run)
    known = [record for record in records if record.data.tags.get("run_id") == run.spec.run_id]
    for record in known:
        if record.info.status == "FINISHED" and record.data.tags["digest"] == digest:
            return
        client.delete_run(record.info.run_id)
    _record(client, experiment, run, digest)


def _record(client: MlflowClient, experiment: str, run: FinishedRun, digest: str) -> None:
    """Write one record; times are those of the training."""
    end = int(1000 * datetime.fromisoformat(run.provenance.finished_at).timestamp())
    start = end - int(1000 * run.provenance.wall_seconds)
    spec = run.spec
    tags = {
        **{"task": spec.task, "regime": spec.regime, "method": spec.method, "seed": str(spec.seed)},
        **{"run_id": spec.run_id, "digest": digest, "directory": str(run.directory.path)},
        "git_commit": run.provenance.git_commit or "unknown",
        "numeric_classes": "; ".join(run.manifest.numeric_classes),
    }
    identifier = client.create_run(experiment, start_time=start, tags=tags, run_name=spec.run_id).info.run_id
    parameters = [Param(key, str(value)) for key, value in _flat(spec.model_dump(mode="json"))]
    client.log_batch(identifier, params=parameters, synchronous=True)
    curves = pd.concat([_long(run.metrics()), _long(_evaluation_curves(run))])
    time_of = start + (end - start) * curves["update"] // spec.learner.updates
    metrics = list(map(Metric, curves["name"], curves["value"], time_of, curves["update"]))
    for first in range(0, len(metrics), BATCH):
        client.log_batch(identifier, metrics=metrics[first : first + BATCH], synchronous=True)
    with tempfile.TemporaryDirectory() as folder:  # MLflow takes files, and these are checked
        for name in _recorded(run):
            (Path(folder) / name).write_bytes(run.read_bytes(name))
        run.manifest.write(Path(folder) / run.directory.manifest.name)
        client.log_artifacts(identifier, folder)
    client.set_terminated(identifier, "FINISHED", end_time=end)


def _evaluation_curves(run: FinishedRun) -> pd.DataFrame:
    """Mean over the episodes of each evaluation."""
    columns = ["return", "success_any", "success_last"]
    means = run.evaluation().groupby("update")[columns].mean().add_prefix("evaluation/")
    return means.reset_index()


def _long(curves: pd.DataFrame) -> pd.DataFrame:
    """One row per point of each curve: update, name, value; points that are NaN are left out."""
    return curves.melt("update", var_name="name").astype({"value": "float64"}).dropna()


def _flat(section: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested dictionaries with dotted keys."""
    for key, value in section.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _recorded(run: FinishedRun) -> list[str]:
    """Files that are recorded beside the manifest; policies would fill the store."""
    directory = run.directory
    return [path.name for path in (directory.spec, directory.provenance, directory.metrics, directory.evaluation)]


def _digest(run: FinishedRun) -> str:
    """SHA-256 of the files that are recorded, as the manifest has them."""
    files = [run.manifest.files[name].sha256 for name in _recorded(run)]
    return hashlib.sha256("\n".join(files).encode()).hexdigest()
