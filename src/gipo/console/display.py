"""Where the lines go: above a live region on a terminal, else one after the other."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from gipo.console import lines
from gipo.console.session import Job, Session


class Display:
    """Shows a session until it is closed. Everything that touches the session holds ``lock``.

    Args:
        session: what is shown.
        colour: whether the terminal may be given colours.
    """

    TICK = 1.0
    """Seconds between two looks at the runs."""
    EVERY = 60.0
    """Seconds between two summaries where there is no terminal; later a twentieth of the time so far."""

    def __init__(self, session: Session, colour: bool = True) -> None:
        self.session, self.colour = session, colour
        self.lock = threading.RLock()
        self.console = Console(stderr=True, highlight=False, no_color=not colour)
        self.on_terminal = os.isatty(2) and os.environ.get("TERM") != "dumb"
        self._terminal: Terminal | None = None
        self._live: Live | None = None
        self._end = threading.Event()
        self._ticker: threading.Thread | None = None
        self._summed_up = time.monotonic()
        self._headed = False

    @property
    def width(self) -> int:
        """Of the names of runs."""
        return lines.width(self.session, self.console.width if self.on_terminal else None)

    def say(self, line: str, style: str = "") -> None:
        """Print a line that stays."""
        with self.lock:
            self.console.print(Text(line, style), soft_wrap=True)

    def finished(self, job: Job) -> None:
        """Print the row of a finished run; above the first one, the names of the columns."""
        if not self._headed:
            self.say(lines.header(self.width), "dim")
            self._headed = True
        self.say(lines.finished_row(job, self.width))

    def start(self) -> None:
        """Show the session from now on."""
        if self.on_terminal:
            self._terminal = Terminal(self.say)
            self.console = Console(file=self._terminal.screen, highlight=False, no_color=not self.colour)
            self._live = Live(console=self.console, auto_refresh=False, transient=True)
            self._live.start()
        self._ticker = threading.Thread(target=self._tick, daemon=True)
        self._ticker.start()
        atexit.register(self.stop)

    def stop(self) -> None:
        """Remove the live region and give the terminal back."""
        atexit.unregister(self.stop)
        self._end.set()
        if self._ticker:
            self._ticker.join()
        with self.lock:
            if self._live:
                self._live.stop()
                self._live = None
        if self._terminal:
            self._terminal.close()
            self.console = Console(stderr=True, highlight=False, no_color=not self.colour)
            self._terminal = None

    def _tick(self) -> None:
        while not self._end.wait(self.TICK):
            with self.lock:
                for job in self.session.look():
                    self.finished(job)
                if self._live:
                    self._live.update(self._region(), refresh=True)
                else:
                    self._sum_up()

    def _sum_up(self) -> None:
        now = time.monotonic()
        if now - self._summed_up >= max(self.EVERY, (now - self.session.began) / 20):
            self._summed_up = now
            doing = lines.now(self.session)
            self.say(f"{time.strftime('%H:%M')} {lines.summary(self.session)}" + (f" · now {doing}" if doing else ""))

    def _region(self) -> Group:
        """The work that is being done now, and how far all of it is."""
        rows = [lines.running_row(job, self.width) for job in self.session.being_made]
        if len(rows) > (most := max(1, self.console.height - 6)):
            rows[most:] = [f"and {len(rows) - most} more runs"]
        if others := lines.others(self.session):
            rows.append(f"also: {others}" if rows else f"now: {others}")
        rows = ([lines.header(self.width)] if self.session.being_made else []) + rows
        texts = [Text(row, "dim", no_wrap=True, overflow="ellipsis") for row in rows]
        return Group(*texts, Text(lines.summary(self.session), "bold", no_wrap=True, overflow="ellipsis"))


class Terminal:
    """The terminal, taken over from all that writes to it: what jobs print would tear the live region apart.

    Jobs inherit this process's output. It is led through a pipe, line by line, until `close`.

    Args:
        say: takes a line.
    """

    PATIENCE = 1.0
    """Seconds to wait for the last lines; a process that outlives its job may hold the pipe open."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._saved = [(stream, os.dup(stream)) for stream in (1, 2) if os.isatty(stream)]
        self.screen = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace")
        out, into = os.pipe()
        for stream, _ in self._saved:
            os.dup2(into, stream)
        os.close(into)
        self._reader = threading.Thread(target=self._read, args=(out, say), daemon=True)
        self._reader.start()

    def close(self) -> None:
        """Give the terminal back."""
        sys.stdout.flush()
        sys.stderr.flush()
        for stream, saved in self._saved:
            os.dup2(saved, stream)
            os.close(saved)
        self._reader.join(self.PATIENCE)

    @staticmethod
    def _read(out: int, say: Callable[[str], None]) -> None:
        with os.fdopen(out, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                say(line.rstrip("\n"))
