"""Commands of gipo in children of one process that has imported everything: a start takes milliseconds, not seconds.

``recover`` is a command here as well: what the workflow does before it looks for files.

Run as a script it is that process: it reads a request in a line of JSON and answers in one.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

LIMITS = {"handles": resource.RLIMIT_NOFILE, "size": resource.RLIMIT_FSIZE}


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int | None
    """Exit code, or the negative number of the signal that ended it; None: it did not end in time and was killed."""
    errors: str
    """What it wrote to its error output."""
    output: str = ""
    """What it wrote to its output."""


class Zygote:
    """The process, from outside.

    Args:
        environment: variables of it and of all commands.
        folder: where outputs of commands go.
        modules: are imported as well.
    """

    def __init__(self, environment: dict[str, str], folder: Path, modules: tuple[str, ...] = ()) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(Path(__file__).resolve()), *modules]
        with (folder / "zygote.log").open("a") as log:
            self.process = subprocess.Popen(
                command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        assert self._answer()["ready"]
        self.started = 0
        self.errors: dict[int, Path] = {}
        """Error outputs of commands by their process."""

    def start(self, *command: str, cwd: Path, limits: dict[str, int] | None = None) -> int:
        """Start a gipo command in a folder; its process id."""
        self.started += 1
        errors = self.folder / f"{self.started}.errors"
        request = {"command": command, "cwd": str(cwd), "errors": str(errors), "limits": limits or {}}
        pid = self._ask(request)["pid"]
        self.errors[pid] = errors
        return pid

    def wait(self, pid: int, seconds: float = 60.0) -> Done:
        """Wait for a command; beyond `seconds` it is killed."""
        status = self._ask({"wait": pid, "seconds": seconds})["status"]
        errors = self.errors.pop(pid)
        said = []
        for path in (errors, errors.with_suffix(".output")):
            said.append(path.read_text(errors="replace") if path.exists() else "")
            path.unlink(missing_ok=True)
        return Done(status, *said)

    def run(self, *command: str, cwd: Path, limits: dict[str, int] | None = None, seconds: float = 60.0) -> Done:
        """Start a command and wait for it."""
        return self.wait(self.start(*command, cwd=cwd, limits=limits), seconds)

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()

    def _ask(self, request: dict) -> dict:
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the zygote died: {(self.folder / 'zygote.log').read_text()[-2000:]}")
        return json.loads(line)


def _child(request: dict) -> None:
    """Be a command of gipo."""
    os.setsid()
    os.chdir(request["cwd"])
    places = (os.devnull, Path(request["errors"]).with_suffix(".output"), request["errors"])
    for target, place in enumerate(places):
        os.dup2(os.open(place, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC), target)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    for name, value in request["limits"].items():
        if name == "memory":  # beyond what is in use
            value += int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (value, value))
        elif name == "handles":  # beyond those in use
            value += len([*Path("/proc/self/fd").iterdir()])
            resource.setrlimit(resource.RLIMIT_NOFILE, (value, value))
        else:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python does at its start
            resource.setrlimit(LIMITS[name], (value, value))
    sys.argv = ["gipo", *request["command"]]
    from gipo import cli

    if sys.argv[1] == "recover":  # the workflow calls it at its start
        cli.cli = partial(_recover, Path(sys.argv[2]), Path(sys.argv[3]))
    cli.app()


def _recover(config: Path, folder: Path, **settings: object) -> None:
    from gipo.recovery import recover
    from gipo.scale import Scale

    recover(Scale.load(config), folder, lambda line: None, dry=False)


def _wait(pid: int, seconds: float) -> int | None:
    """Exit code of a child."""
    handle = os.pidfd_open(pid)
    ended = select.select([handle], [], [], seconds)[0]
    os.close(handle)
    if not ended:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(ProcessLookupError, PermissionError):  # what it left running
        os.killpg(pid, signal.SIGKILL)
    return status if ended else None


def serve(modules: list[str]) -> None:
    """Answer requests until there are no more."""
    import importlib

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for module in modules:
        importlib.import_module(module)
    from gipo import cli  # noqa: F401
    from gipo.runs.code import code_digest

    code_digest("gipo.cli", *(module for module in modules if module.startswith("gipo.")))  # parses all sources once
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            print(json.dumps({"status": _wait(request["wait"], request["seconds"])}), file=answers, flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                answers.close()
                _child(request)
                status = 0
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else int(end.code is not None)
            except KeyboardInterrupt:
                status = 130
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                with suppress(OSError):
                    sys.stdout.flush()
                    sys.stderr.flush()
                os._exit(status)
        print(json.dumps({"pid": pid}), file=answers, flush=True)


if __name__ == "__main__":
    serve(sys.argv[1:])
