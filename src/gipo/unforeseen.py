"""One line about an exception that ends a command and that nobody made a `GipoError`; never a traceback."""

from __future__ import annotations

import os
import tempfile
import traceback

import typer
from typer.exceptions import TyperException

from gipo.errors import MOST_ECHOED, GipoError, lacks_memory, shortened


def line_of(error: Exception) -> str:
    """One line about an exception that ends a command; empty where its help was printed instead.

    What the machine refuses is said as it is, and so is a wrong command line. Anything else is a mistake in this
    package: its traceback goes to a file in the folder for temporary files, and the line names it.
    """
    if isinstance(error, typer.Abort) and isinstance(error.__cause__, Exception):  # which typer made of an EOFError
        error = error.__cause__
    if isinstance(error, TyperException):
        return _usage(error)
    return _refusal(error) or _mistake(error)


def _usage(error: TyperException) -> str:
    """The mistake in a command line."""
    if type(error).__name__ == "NoArgsIsHelpError":
        return ""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "gipo"
    said = error.format_message() if hasattr(error, "format_message") else str(error)
    return f"{shortened(said, MOST_ECHOED).rstrip('.')}; see `{command} --help`"


def _refusal(error: Exception) -> str:
    """The refusal of the machine, or of the input; empty where it is something else."""
    said = shortened(str(error), MOST_ECHOED)
    match error:
        case GipoError():
            return str(error)
        case _ if lacks_memory(error):
            return f"memory is not enough{f': {said}' if said else ''}"
        case RecursionError():
            return "an input has too many levels in one another"
        case ModuleNotFoundError() if error.name and not error.name.startswith("gipo"):
            return f"this Python has no module {error.name}: `make setup` makes an environment that has"
        case OSError() if error.errno is not None and error.strerror:
            place = f"{shortened(os.fsdecode(error.filename), MOST_ECHOED)}: " if _is_path(error.filename) else ""
            return f"{place}{error.strerror}"
        case UnicodeError():
            return f"text is expected to be UTF-8: {said}"
    return ""


def _is_path(name: object) -> bool:
    return isinstance(name, str | bytes)


def _mistake(error: Exception) -> str:
    """The line of a mistake in this package."""
    what = f"{type(error).__name__}: {shortened(str(error), MOST_ECHOED)}"
    text = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="gipo-traceback-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(text)
    except OSError as refused:
        return f"{what}. This is a mistake of gipo's; its traceback could not be written: {refused.strerror}"
    return f"{what}. This is a mistake of gipo's; please report it with {file.name}"
