"""kill_at.c from Python: compiled, loaded into a process, and told where to strike."""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("kill_at.c")
FORMAT = struct.Struct("=QQQqiiii256s512s")
ACTIONS = ("nothing", "signal", "half", "fail", "clock")


def compiler() -> str | None:
    """The machine's C compiler."""
    return shutil.which("cc")


def build(folder: Path) -> Path:
    """Compile the library into a folder."""
    library = folder / "kill_at.so"
    subprocess.run([str(compiler()), "-O2", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    return library


class Control:
    """What the library does in all processes that were started with `environment`.

    Args:
        path: file that they share; it is made.
        root: folder whose files count.
    """

    def __init__(self, path: Path, root: Path) -> None:
        self.path, self.root = path, root.resolve()
        path.write_bytes(bytes(FORMAT.size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), FORMAT.size)
        self.count()

    def environment(self, library: Path) -> dict[str, str]:
        """Variables that load the library into a process and its children."""
        return os.environ | {"LD_PRELOAD": str(library), "KILL_AT_CONTROL": str(self.path)}

    def count(self, root: Path | None = None) -> None:
        """Only count from now on, from 0; below another folder if one is given."""
        self.root = root.resolve() if root else self.root
        self._set(0, "nothing", 0)

    def strike(
        self, at: int, action: str, number: int = 0, *, back: int = 0, lasting: bool = False, creating: bool = False
    ) -> None:
        """Count from 0, and strike at call number `at`.

        Args:
            at: from 1.
            action: ``signal``: the process sends itself signal `number`; ``half``: the same in the middle of a write;
                ``fail``: the call fails with errno `number`; ``clock``: the clock is set back.
            number: of the signal or the error.
            back: seconds by which the clock is set back.
            lasting: later calls fail as well.
            creating: only calls fail that make a file or folder.
        """
        self._set(at, action, number, back, lasting, creating)

    @property
    def calls(self) -> int:
        """Calls so far."""
        return self._get()[0]

    @property
    def struck(self) -> str:
        """The call that was struck; empty where none was."""
        return self._get()[8].rstrip(b"\0").decode(errors="replace")

    def _get(self) -> tuple:
        return FORMAT.unpack(self._map[:])

    def _set(
        self, at: int, action: str, number: int, back: int = 0, lasting: bool = False, creating: bool = False
    ) -> None:
        values = (0, at, 0, back, ACTIONS.index(action), number, lasting, creating, b"", str(self.root).encode())
        self._map[:] = FORMAT.pack(*values)
