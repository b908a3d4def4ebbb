"""The replay's books: what came with the segments that it stored, exactly, whenever its process is killed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gipo.engines.asynchronous.processes import map_counts
from gipo.errors import GipoError
from gipo.runs.spec import RunSpec

Stamp = tuple[int, int, int]
"""Group of the rollout worker that sends a segment, its incarnation, and how many it has sent with this one."""
Episode = tuple[float, bool]
"""Return, and whether it succeeded, of an episode that ended in a segment."""


class Ledger:
    """Two pages, of which the one for as many segments as the replay holds is true.

    The next page is written before the segment is stored, and the number of segments stored, a single word, makes it
    the true one: page and segment count together or not at all.

    Args:
        directory: where its file lies.
        spec: the run.
    """

    LATEST = 100  # episodes whose returns are kept

    def __init__(self, directory: Path, spec: RunSpec) -> None:
        groups = len(spec.replay.groups)
        numbers = [("segments", "i8"), ("episodes", "i8")]
        page = np.dtype([*numbers, ("stamps", "i8", (groups, 2)), ("latest", "f8", (self.LATEST, 2))])
        directory.mkdir(parents=True, exist_ok=True)
        self.path = self.path_in(directory)
        self.pages = map_counts(self.path, page, (2,))

    @staticmethod
    def path_in(directory: Path) -> Path:
        """Its file."""
        return directory / "ledger"

    @staticmethod
    def segments_in(directory: Path) -> int:
        """Segments that the replay in a directory has stored, including those already overwritten."""
        counts = directory / "counts"
        return int(np.fromfile(counts, np.int64)[0]) if counts.exists() else 0

    def check(self, segments: int) -> None:
        """Refuse to go on where no page is for so many segments.

        Raises:
            GipoError: there is none, as after a power failure.
        """
        if segments not in self.pages["segments"]:
            raise GipoError(
                f"{self.path} does not fit the replay beside it, as after a power failure; "
                f"delete {self.path.parents[1]} to make this run from update 0 on"
            )

    def has(self, segments: int, stamp: Stamp) -> bool:
        """Whether these are stored already, or come from a worker that another one has replaced."""
        group, *number = stamp
        return bool(self.pages["stamps"][self._page(segments), group].tolist() >= number)

    def write(self, segments: int, more: int, episodes: list[Episode], stamp: Stamp) -> None:
        """Write the page for ``more`` segments than there are."""
        old = self._page(segments)
        new = 1 - old
        self.pages["segments"][new] = -1
        for name in ("episodes", "stamps", "latest"):
            self.pages[name][new] = self.pages[name][old]
        group, *number = stamp
        self.pages["stamps"][new, group] = number
        for place, episode in enumerate(episodes, int(self.pages["episodes"][old])):
            self.pages["latest"][new, place % self.LATEST] = episode
        self.pages["episodes"][new] += len(episodes)
        self.pages["segments"][new] = segments + more

    def counts(self, segments: int) -> dict[str, float]:
        """Episodes that ended in the segments stored, and means over the latest of them."""
        page = self.pages[self._page(segments)]
        if not (episodes := int(page["episodes"])):
            return {"episodes": 0}
        returns, successes = page["latest"][:episodes].mean(axis=0).tolist()
        return {"episodes": episodes, "episode_return": returns, "episode_success": successes}

    def _page(self, segments: int) -> int:
        return self.pages["segments"].tolist().index(segments)
