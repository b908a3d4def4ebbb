"""The logged statistics and evaluations of a run so far, and its declared results."""

from __future__ import annotations

import io
import time
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from gipo.files import atomic_path, write_json
from gipo.runs.directory import RunDirectory
from gipo.runs.provenance import provenance
from gipo.tables import RUN_EVALUATION, RUN_METRICS, STATISTICS, write_table


class Record:
    """Logged statistics, evaluation episodes, and the time that they took over all attempts.

    Args:
        origin: see `gipo.runs.provenance.origin`.
        device: where the learner leaves its statistics.
    """

    def __init__(self, origin: dict[str, Any], device: torch.device) -> None:
        self.origin, self.device = origin, device
        self.evaluations: list[dict[str, float]] = []
        self.interruptions = 0
        self._logged: list[tuple[int, int]] = []
        self._rows: list[Tensor] = []
        self._seconds_before = 0.0
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Wall time of all attempts, as far as their checkpoints tell."""
        return self._seconds_before + time.monotonic() - self._started

    def log(self, update: int, env_steps: int, row: Tensor) -> None:
        """Keep the statistics of an update (`gipo.tables.STATISTICS`), on their device."""
        self._logged.append((update, env_steps))
        self._rows.append(row)

    def latest(self, name: str) -> float | None:
        """A statistic of the latest update that was logged; None before the first one. Waits for the device."""
        return float(self._rows[-1][STATISTICS.index(name)]) if self._rows else None

    def state(self) -> dict[str, Any]:
        """All of it, for a checkpoint."""
        return {
            "logged": self._logged,
            "rows": self._in_memory(),
            "evaluations": self.evaluations,
            "seconds": self.seconds,
            "interruptions": self.interruptions,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self._logged, self._rows = state["logged"], list(state["rows"].to(self.device))
        self.evaluations = state["evaluations"]
        self._seconds_before, self.interruptions = state["seconds"], state["interruptions"]

    def write(self, directory: RunDirectory, policy: dict[str, Tensor], env_steps: int, updates: int) -> None:
        """Write the declared results; the provenance last."""
        metrics = pd.DataFrame(self._in_memory().double().numpy(), columns=list(STATISTICS))
        metrics[["update", "env_steps"]] = self._logged
        write_table(directory.metrics, metrics, RUN_METRICS)
        write_table(directory.evaluation, pd.DataFrame(self.evaluations), RUN_EVALUATION)
        weights = io.BytesIO()  # torch's own file errors do not tell a full disk
        torch.save(policy, weights)
        with atomic_path(directory.policy) as temporary:
            temporary.write_bytes(weights.getbuffer())
        device = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type
        write_json(
            directory.provenance,
            provenance(
                self.origin,
                device=device,
                wall_seconds=self.seconds,
                env_steps=env_steps,
                updates=updates,
                interruptions=self.interruptions,
            ),
        )

    def _in_memory(self) -> Tensor:
        """All logged statistics in main memory, float32 [rows, columns]."""
        return torch.stack(self._rows).cpu() if self._rows else torch.zeros(0, len(STATISTICS))
