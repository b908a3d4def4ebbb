"""Where Ray keeps the sockets of a run: a socket's path may have 107 bytes, and 67 of them are what Ray appends."""

import os
import tempfile
from pathlib import Path

from gipo.errors import GipoError

LONGEST_PATH = 107
LONGEST_NAME = "ray/session_2026-12-31_23-59-59_999999_4194304/sockets/plasma_store"
"""Of a socket, with the highest process number that Linux has."""


def ray_folder() -> Path:
    """Folder for Ray below ``RAY_TMPDIR`` or the temporary directory; below /tmp where the latter's path is too long.

    Raises:
        GipoError: ``RAY_TMPDIR`` is too long, or the temporary directory is and /tmp cannot be written.
    """
    named = os.environ.get("RAY_TMPDIR")
    folder = Path(named).absolute() if named else Path(tempfile.gettempdir())
    if _fits(folder):
        return folder / "ray"
    if named or not os.access("/tmp", os.W_OK):
        room = LONGEST_PATH - len(LONGEST_NAME) - 1
        raise GipoError(
            f"Ray has no room for its sockets in {folder}: set RAY_TMPDIR to a path of {room} bytes at most"
        )
    return Path("/tmp/ray")


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder / LONGEST_NAME)) <= LONGEST_PATH
