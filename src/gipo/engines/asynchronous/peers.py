"""Calls between the actors of a run, which find each other by name and outlive each other's restarts."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import RayActorError


class PeerLostError(Exception):
    """The called actor died; whether it did what was asked is unknown."""


def actor_name(role: str, incarnation: int) -> str:
    """Name of an actor: Ray does not always forget that of a dead one, so each has its own."""
    return f"{role}#{incarnation}"


class Peer:
    """Another actor of this run, by its role."""

    PAUSE = 0.2  # seconds between looks for an actor that is being restarted

    def __init__(self, role: str) -> None:
        self.role = role
        self._handle: ray.actor.ActorHandle | None = None
        self._told: ray.ObjectRef | None = None

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

    def tell(self, method: str, *arguments: Any) -> None:
        """Call without an answer; what an actor was told and not yet done when it died is lost."""
        if self._told is not None and ray.wait([self._told], timeout=0)[0]:
            with suppress(PeerLostError):
                self.result(self._told)
        self._told = self.submit(method, *arguments)

    def _find(self) -> ray.actor.ActorHandle:
        while self._handle is None:
            names = [name for name in ray.util.list_named_actors() if name.rpartition("#")[0] == self.role]
            try:
                self._handle = ray.get_actor(max(names, default=""))
            except ValueError:  # there is none, or none any more
                time.sleep(self.PAUSE)
        return self._handle
