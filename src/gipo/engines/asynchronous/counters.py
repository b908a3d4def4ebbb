"""Counts of the rollout workers: episodes, and segments that were lost."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from statistics import fmean


class Counters:
    """Counts; keeps the latest episodes only."""

    LATEST = 100

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter(episodes=0, segments_lost=0)
        self.latest: deque[tuple[float, bool]] = deque(maxlen=self.LATEST)

    async def episode(self, total: float, success: bool) -> None:
        """A training episode has ended with this return."""
        self.counts["episodes"] += 1
        self.latest.append((float(total), bool(success)))

    async def count(self, name: str) -> None:
        """Something happened once more."""
        self.counts[name] += 1

    async def run(self) -> None:
        """Wait until the process is ended."""
        await asyncio.Event().wait()

    async def statistics(self) -> dict[str, float]:
        """Counts, and means over the latest training episodes."""
        if not self.latest:
            return dict(self.counts)
        returns, successes = zip(*self.latest, strict=True)
        return self.counts | {"episode_return": fmean(returns), "episode_success": fmean(successes)}
