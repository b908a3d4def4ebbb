"""Where MLflow keeps its records: in ``results/mlflow.db``, or on the server that ``MLFLOW_TRACKING_URI`` names."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gipo.errors import GipoError
from gipo.files import atomic_path
from gipo.tracking.curves import Curves

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when mlflow is imported, as are the others
os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")  # sees a store that was made again
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # the next look is soon
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

import sqlalchemy
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric, SqlParam
from sqlalchemy.exc import SQLAlchemyError

SERVER = "MLFLOW_TRACKING_URI"
"""Variable with the address of a server; who may write there is said by MLflow's own variables."""
STORE, ARTIFACTS = "mlflow.db", "mlflow-artifacts"
"""In the folder of all results: the local store, and what is attached to its records."""
NOTE, PARENT, KIND = "mlflow.note.content", "mlflow.parentRunId", "mlflow.experimentKind"
BATCH = 1000
"""Metrics that a server takes in one call."""
Point = tuple[str, float, int, int]
"""Name of the curve, value, time in milliseconds, update."""
WAIT = 60
"""Seconds that the local store waits for another process to have written."""


class ServerAwayError(GipoError):
    """The server cannot be reached, or refuses."""


@dataclass
class Record:
    """A run of MLflow, as far as it is compared."""

    id: str
    key: str
    """Id of the run, or task, regime and method of its seeds, or `REPORT`."""
    status: str
    """RUNNING, KILLED or FINISHED."""
    content: str
    """Digest of what it is made of; empty while that is going on."""
    artifacts: str
    """Address of what is attached to it."""
    start: int
    """In milliseconds."""

    @property
    def is_complete(self) -> bool:
        """Whether all of it was written."""
        return self.status == "FINISHED"


REPORT = "report"


class Store(ABC):
    """The records of one folder of results."""

    def __init__(self, client: MlflowClient) -> None:
        self.client = client

    @staticmethod
    def of(results: Path) -> Store:
        """The server that the environment names, or the local store, which is made where it is missing.

        Raises:
            GipoError: the address is none of a server, or the store cannot be used.
        """
        _quieten()
        return ServerStore(address) if (address := os.environ.get(SERVER)) else LocalStore(results)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Turn the errors of MLflow into one line.

        Raises:
            ServerAwayError: the server cannot be reached, or refuses.
            GipoError: the local store cannot be used.
        """
        try:
            yield
        except (MlflowException, SQLAlchemyError) as error:
            raise self.refusal(error) from error

    @abstractmethod
    def refusal(self, error: Exception) -> GipoError:
        """An error in one line, without the user's name or a token."""

    @property
    @abstractmethod
    def identity(self) -> object:
        """Something that changes where the records were lost."""

    def experiment(self, name: str, description: str) -> str:
        """Identifier of an experiment, made or restored where necessary, with this description."""
        found = self.client.get_experiment_by_name(name)
        if found is None:
            tags = {NOTE: description, KIND: "custom_model_development"}
            return str(self.client.create_experiment(name, self.location(name), tags))
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        if found.tags.get(NOTE) != description:
            self.client.set_experiment_tag(found.experiment_id, NOTE, description)
        return str(found.experiment_id)

    @abstractmethod
    def location(self, experiment: str) -> str | None:
        """Where the artifacts of an experiment lie; None: the server's own matter."""

    def records(self, experiment: str) -> list[Record]:
        """Every record of an experiment."""
        found, token = [], None
        while True:
            page = self.client.search_runs([experiment], page_token=token)
            found += [_record(run) for run in page]
            if not (token := page.token):
                return found

    def create(self, experiment: str, name: str, key: str, tags: Mapping[str, str], start: int) -> Record:
        """A new record, of something that is going on; `start` in milliseconds."""
        own = dict(tags) | {"record": key}
        run = self.client.create_run(experiment, start_time=start, tags=own, run_name=name)
        return _record(run)

    def set_tags(self, record: Record, tags: Mapping[str, str]) -> None:
        """Set some."""
        self.client.log_batch(record.id, tags=[RunTag(key, value) for key, value in tags.items()], synchronous=True)

    def finish(self, record: Record, end: int) -> None:
        """Mark a record as complete; `end` in milliseconds."""
        self.client.set_terminated(record.id, "FINISHED", end_time=end)
        record.status = "FINISHED"

    def set_status(self, record: Record, status: str) -> None:
        """RUNNING or KILLED."""
        self.client.update_run(record.id, status=status)
        record.status = status

    @abstractmethod
    def add(self, record: Record, parameters: Mapping[str, str], points: Sequence[Point]) -> None:
        """Add parameters and points of curves."""

    @abstractmethod
    def attach(self, record: Record, files: Mapping[str, Path]) -> None:
        """Attach files by the names that they have there, which may have folders."""

    def delete(self, record: Record) -> None:
        """Remove a record from sight."""
        self.client.delete_run(record.id)


class LocalStore(Store):
    """SQLite in the folder of results.

    Artifacts are links to the files of the results, which take no room. All addresses are relative to the folder, so
    that it may be moved or copied: the server of ``make mlflow`` serves them from where it is.
    """

    def __init__(self, results: Path) -> None:
        self.results, self.path = results, results / STORE
        with self.guarded():
            if not self.path.exists():
                with atomic_path(self.path) as path:  # MLflow cannot repair a store whose making was interrupted
                    MlflowClient(_address(path)).delete_experiment("0")  # nobody needs "Default"
            super().__init__(MlflowClient(_address(self.path)))
        self.engine = sqlalchemy.create_engine(_address(self.path), poolclass=sqlalchemy.NullPool)

    def refusal(self, error: Exception) -> GipoError:
        """An error in one line."""
        causes = [getattr(one, "orig", None) for one in (error, error.__cause__)]
        reason = str(next(filter(None, causes), error)).partition("\n")[0]
        where = self.path.absolute()
        return GipoError(
            f"cannot use the MLflow store {where}: {reason}; delete it, and it is made again from the runs"
        )

    @property
    def identity(self) -> object:
        """The file, by its number."""
        try:
            return self.path.stat().st_ino
        except FileNotFoundError:
            return None

    def location(self, experiment: str) -> str:
        """Below the folder of results."""
        return f"mlflow-artifacts:/{ARTIFACTS}/{experiment.rpartition('/')[2]}"

    def add(self, record: Record, parameters: Mapping[str, str], points: Sequence[Point]) -> None:
        """In one transaction past MLflow's client, which takes ten times as long to write the same rows."""
        given: list[dict[str, Any]] = [
            {"run_uuid": record.id, "key": key, "value": value} for key, value in parameters.items()
        ]
        columns = ("key", "value", "timestamp", "step")
        shown = [dict(zip(columns, point, strict=True), run_uuid=record.id, is_nan=False) for point in points]
        last = {point["key"]: point for point in shown}
        tables: dict[Any, list[dict[str, Any]]] = {
            SqlParam: given,
            SqlMetric: shown,
            SqlLatestMetric: list(last.values()),
        }
        with self.engine.begin() as connection:
            for table, rows in tables.items():
                if rows:
                    connection.execute(sqlalchemy.insert(table).prefix_with("OR REPLACE"), rows)

    def attach(self, record: Record, files: Mapping[str, Path]) -> None:
        """Link them."""
        folder = self._folder(record)
        for name, path in files.items():
            link = folder / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(os.path.relpath(path, link.parent))

    def delete(self, record: Record) -> None:
        """Remove a record from sight, and its links."""
        super().delete(record)
        shutil.rmtree(self._folder(record), ignore_errors=True)

    def _folder(self, record: Record) -> Path:
        return self.results / urlsplit(record.artifacts).path.lstrip("/")


class ServerStore(Store):
    """A server."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise GipoError(f"{SERVER} is no address of an MLflow server: expected http:// or https:// and its name")
        self.host = parts.hostname
        super().__init__(MlflowClient(address))

    def refusal(self, error: Exception) -> GipoError:
        """An error in one line: what MLflow says may hold the address with a password."""
        code = getattr(error, "error_code", None) or type(error).__name__
        return ServerAwayError(f"the MLflow server {self.host} is away or refuses ({code})")

    @property
    def identity(self) -> object:
        """Always the same."""
        return self.host

    def location(self, experiment: str) -> None:
        """The server's own matter."""

    def add(self, record: Record, parameters: Mapping[str, str], points: Sequence[Point]) -> None:
        """In as few calls as it takes."""
        given = [Param(key, value) for key, value in parameters.items()]
        self.client.log_batch(record.id, params=given, synchronous=True)
        for first in range(0, len(points), BATCH):
            metrics = [Metric(*point) for point in points[first : first + BATCH]]
            self.client.log_batch(record.id, metrics=metrics, synchronous=True)

    def attach(self, record: Record, files: Mapping[str, Path]) -> None:
        """Upload them."""
        for name, path in files.items():
            self.client.log_artifact(record.id, str(path), str(Path(name).parent) if "/" in name else None)


@contextmanager
def alone(results: Path, name: str) -> Iterator[bool]:
    """Wait until no other process records runs of these results.

    Args:
        results: folder of all results.
        name: of whoever records, which no other has.

    Yields:
        Whether nobody else has recorded since the same name did.

    Raises:
        GipoError: the file system has no locks, which SQLite needs as well.
    """
    folder = results / ARTIFACTS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("a+") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)  # goes with the process, however that ends
            file.seek(0)
            was_last = file.read() == name
            file.truncate(0)
            file.write(name)
            file.flush()
            yield was_last
    except OSError as error:
        raise GipoError(f"cannot lock {folder}: {error.strerror}") from error


def now() -> int:
    """This moment in milliseconds."""
    return int(1000 * time.time())


def _record(run: Run) -> Record:
    info, tags = run.info, run.data.tags
    record, content = (tags.get(name, "") for name in ("record", "content"))
    return Record(info.run_id, record, info.status, content, info.artifact_uri, info.start_time)


def points_of(curves: Curves, start: int, end: int, updates: int) -> list[Point]:
    """Points of curves, at times from `start` to `end`, in milliseconds, as their updates are among all `updates`."""
    found: list[Point] = []
    for name, curve in curves.items():
        times = start + (end - start) * curve.updates // updates
        found += zip([name] * len(times), curve.values.tolist(), times.tolist(), curve.updates.tolist(), strict=True)
    return found


def _address(path: Path) -> str:
    return f"sqlite:///{path}?timeout={WAIT}"


def _quieten() -> None:
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it prints the traceback of what it raises
