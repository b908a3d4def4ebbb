"""The logged statistics and evaluations of a run so far, its attempts, and its declared results."""

from __future__ import annotations

import io
import math
import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gipo.files import atomic_path, write_json
from gipo.runs.directory import RunDirectory
from gipo.runs.manifest import Attempt, RunManifest
from gipo.runs.numerics import numeric_class
from gipo.runs.provenance import Origin, Provenance, machine, now
from gipo.runs.spec import RunSpec
from gipo.tables import RUN_EVALUATION, RUN_METRICS, STATISTICS, write_table


class Record:
    """Logged statistics, evaluation episodes, attempts, and the time that they took.

    Args:
        origin: the code that makes the run.
        device: where the learner leaves its statistics.
    """

    LATEST = 100
    """Training episodes over which their return and success are averaged."""

    def __init__(self, origin: Origin, device: torch.device) -> None:
        self.origin, self.device = origin, device
        self.evaluations: list[dict[str, float]] = []
        self.attempts: list[dict[str, Any]] = []
        self._logged: list[tuple[int, int, float, float]] = []
        self._ended: deque[tuple[float, bool]] = deque(maxlen=self.LATEST)
        self._rows: list[Tensor] = []
        self._seconds_before = 0.0
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Wall time of all attempts, as far as their checkpoints tell."""
        return self._seconds_before + time.monotonic() - self._started

    def begin(self, update: int) -> None:
        """Add the attempt that this process makes, from ``update`` on."""
        gpu = self.device.type == "cuda"
        attempt = Attempt(
            started_at=now(),
            from_update=update,
            numeric_class=numeric_class(self.device),
            device=torch.cuda.get_device_name(self.device) if gpu else self.device.type,
            **machine(),
            **self.origin.model_dump(include={"git_commit", "git_dirty"}),
        )
        self.attempts.append(attempt.model_dump())

    def log(self, update: int, env_steps: int, row: Tensor) -> None:
        """Keep the statistics of an update (`gipo.tables.STATISTICS`), on their device."""
        latest = np.array(self._ended or [(math.nan, math.nan)], dtype=float).mean(axis=0)
        self._logged.append((update, env_steps, *latest.tolist()))
        self._rows.append(row)

    def ended(self, episodes: Iterable[tuple[float, bool]]) -> None:
        """Keep the returns of training episodes, and whether they succeeded."""
        self._ended.extend(episodes)

    def latest(self, name: str) -> float | None:
        """A statistic of the latest update that was logged; None before the first one. Waits for the device."""
        return float(self._rows[-1][STATISTICS.index(name)]) if self._rows else None

    def state(self) -> dict[str, Any]:
        """All of it, for a checkpoint."""
        return {
            "logged": self._logged,
            "ended": list(self._ended),
            "rows": self._in_memory(),
            "evaluations": self.evaluations,
            "attempts": self.attempts,
            "seconds": self.seconds,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self._logged, self._rows = state["logged"], list(state["rows"].to(self.device))
        self._ended.extend(state["ended"])
        self.evaluations, self.attempts = state["evaluations"], state["attempts"]
        self._seconds_before = state["seconds"]

    def write(
        self,
        spec: RunSpec,
        directory: RunDirectory,
        policy: dict[str, Tensor],
        env_steps: int,
        others: Sequence[Path] = (),
    ) -> None:
        """Write the declared results, and their manifest last.

        Args:
            spec: the run, which is at its end.
            directory: of the run.
            policy: its weights.
            env_steps: env steps collected for training.
            others: files in the directory that are results as well.
        """
        metrics = pd.DataFrame(self._in_memory().double().numpy(), columns=list(STATISTICS))
        metrics[["update", "env_steps", "train_return", "train_success"]] = self._logged
        write_table(directory.metrics, metrics, RUN_METRICS)
        write_table(directory.evaluation, pd.DataFrame(self.evaluations), RUN_EVALUATION)
        weights = io.BytesIO()  # torch's own file errors do not tell a full disk
        torch.save(policy, weights)
        with atomic_path(directory.policy) as temporary:
            temporary.write_bytes(weights.getbuffer())
        seconds, updates = self.seconds, spec.learner.updates
        made = Provenance(
            **self.origin.model_dump(),
            finished_at=now(),
            wall_seconds=seconds,
            env_steps=env_steps,
            updates=updates,
            env_steps_per_second=env_steps / seconds,
            updates_per_second=updates / seconds,
            interruptions=len(self.attempts) - 1,
        )
        write_json(directory.provenance, made.model_dump(mode="json"))
        RunManifest(
            files=RunManifest.facts(directory.path, [path.name for path in (*directory.results, *others)]),
            run_id=spec.run_id,
            spec_digest=spec.digest(),
            code_digest=self.origin.code_digest,
            attempts=[Attempt.model_validate(attempt) for attempt in self.attempts],
        ).write(directory.manifest)

    def _in_memory(self) -> Tensor:
        """All logged statistics in main memory, float32 [rows, columns]."""
        return torch.stack(self._rows).cpu() if self._rows else torch.zeros(0, len(STATISTICS))
