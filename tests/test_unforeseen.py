"""Whatever ends a command, its user sees one line."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gipo.errors import MOST_ECHOED, MOST_SAID, GipoError
from gipo.unforeseen import line_of


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (GipoError("seeds = [0, 0] names one twice"), "seeds = [0, 0] names one twice"),
        (MemoryError(), "memory is not enough"),
        (MemoryError("Unable to allocate 8 TiB"), "memory is not enough: Unable to allocate 8 TiB"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "memory is not enough: "),
        (ImportError("agg.so: failed to map segment from shared object"), "memory is not enough: agg.so"),
        (RecursionError("maximum recursion depth exceeded"), "too many levels"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/results/x"), "/results/x: No space left on device"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "Too many open files"),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), b"/x"), "/x: Permission denied"),
        (IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), "/x"), "/x: Is a directory"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "expected to be UTF-8"),
        (ModuleNotFoundError("No module named 'ray'", name="ray"), "has no module ray: `make setup`"),
    ],
)
def test_what_the_machine_refuses_is_said_as_it_is(temporary: Path, error: Exception, line: str):
    assert line in line_of(error)
    assert list(temporary.iterdir()) == []


def test_a_mistake_of_ours_leaves_its_traceback_in_a_file(temporary: Path):
    try:
        {}["weights"]
    except KeyError as error:
        line = line_of(error)
    (file,) = temporary.iterdir()
    assert line.startswith("KeyError: 'weights'. This is a mistake of gipo's")
    assert str(file) in line
    assert 'in test_a_mistake_of_ours_leaves_its_traceback_in_a_file\n    {}["weights"]' in file.read_text()
    assert file.stat().st_mode & 0o077 == 0


def test_a_traceback_that_cannot_be_written_is_no_second_mistake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    assert "could not be written: No such file" in line_of(KeyError("x"))


@pytest.mark.parametrize("error", [GipoError, MemoryError, KeyError, OSError, UnicodeError])
@pytest.mark.parametrize(
    "said", ["x" * 5000, "'" + "x y " * 2000 + "'", "x y " * 2000, "a\n\n\x1b[31mb\r\n" * 900, "\ud800"]
)
def test_a_line_is_bounded_and_printable(temporary: Path, error: type[Exception], said: str):
    line = line_of(error(said))
    assert line.isprintable()
    assert len(line) < MOST_SAID + 200
    assert "x" * (MOST_ECHOED + 1) not in line


def test_what_is_typed_is_echoed_in_part():
    typed = "y" * 5000
    message = str(GipoError(f"unknown figure {typed!r}; known: fig1"))
    assert message.endswith("yyy'; known: fig1")
    assert message.count("y") <= MOST_ECHOED
    words = "y " * 5000
    assert str(GipoError(f"unknown figure {words!r}; known: fig1")).count("y") <= MOST_ECHOED


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nope"], "error: No such command 'nope'; see `python -m gipo --help`\n"),
        (["weights"], "error: Missing argument 'sources'; see `python -m gipo weights --help`\n"),
    ],
)
def test_a_wrong_command_line_is_one_line_too(arguments: list[str], line: str):
    done = subprocess.run([sys.executable, "-m", "gipo", *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", line)


def test_a_long_option_is_echoed_in_part():
    command = [sys.executable, "-m", "gipo", "weights", "--" + "z" * 5000]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.count("z") <= MOST_ECHOED


CALL = """
import sys
from gipo import cli
def weights(out):
    {code}
cli.cli.registered_commands[:] = []
cli.cli.command("weights")(lambda: weights(None))
cli.cli.command("other")(lambda: None)
sys.argv = ["gipo", "weights"]
cli.app()
"""


@pytest.mark.parametrize(
    ("code", "status", "line"),
    [
        ("raise KeyboardInterrupt", 130, ""),
        ("open('/proc/self/mem/x')", 1, "error: /proc/self/mem/x: Not a directory\n"),
        ("input()", 1, "error: EOFError: "),
        ("import ctypes, resource as r; r.setrlimit(r.RLIMIT_AS, (2**30,) * 2); bytearray(2**31)", 1, "error: memory"),
        ("f = lambda: f(); f()", 1, "error: an input has too many levels in one another\n"),
    ],
)
def test_a_command_ends_in_a_line_and_a_status(tmp_path: Path, code: str, status: int, line: str):
    done = subprocess.run(
        [sys.executable, "-c", CALL.format(code=code)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    said = done.stderr.lstrip("\n")  # typer ends the line of whoever did not answer
    assert (done.returncode, said.startswith(line), "Traceback" in said) == (status, True, False)
    assert said.count("\n") == bool(line)


def test_a_reader_that_has_seen_enough_is_no_error():
    shell = f"{sys.executable} -m gipo --help | head -c 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.returncode in (0, 1, 128 + signal.SIGPIPE)
