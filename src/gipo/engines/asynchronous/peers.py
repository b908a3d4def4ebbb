"""Calls between the actors of a run, which find each other by name and outlive each other's restarts."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt
import ray
from ray.exceptions import RayActorError

Version = tuple[int, int]
"""Of a policy: incarnation of its learner, and updates made. A learner that starts again has made fewer than before."""
Weights = tuple[Version, dict[str, npt.NDArray[np.float32]]]
"""A version, and the state dict of the policy then."""
NONE: Version = (-1, -1)
"""Older than every policy."""


class PeerLostError(Exception):
    """The called actor died; whether it did what was asked is unknown."""


class Peer:
    """The newest actor of a role in this run.

    A handle is kept until a call to it fails, and then looked for again: a dead actor answers no call, and one that
    hangs is killed by the supervisor.
    """

    PAUSE = 0.2  # seconds between looks for an actor that is being restarted

    def __init__(self, role: str) -> None:
        self.role = role
        self._handle: ray.actor.ActorHandle | None = None

    def submit(self, method: str, *arguments: Any) -> ray.ObjectRef:
        """Call without waiting, once the actor is there."""
        return getattr(self._find(), method).remote(*arguments)

    def result(self, answer: ray.ObjectRef) -> Any:
        """Wait for an answer.

        Raises:
            PeerLostError: the actor died first.
        """
        try:
            return ray.get(answer)
        except RayActorError as error:
            self._handle = None
            raise PeerLostError(self.role) from error

    def ask(self, method: str, *arguments: Any) -> Any:
        """Call and wait, again after a restart: only for calls that may be made twice."""
        while True:
            try:
                return self.result(self.submit(method, *arguments))
            except PeerLostError:
                time.sleep(self.PAUSE)

    def _find(self) -> ray.actor.ActorHandle:
        while self._handle is None:
            names = [name for name in ray.util.list_named_actors() if name.rpartition("#")[0] == self.role]
            try:
                self._handle = ray.get_actor(max(names, default=""))
            except ValueError:  # there is none, or none any more
                time.sleep(self.PAUSE)
        return self._handle
