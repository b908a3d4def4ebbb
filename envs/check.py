"""Checked by `make` before anything is installed, with whatever Python 3 is there: each failure is one line.

python3 envs/check.py python         this Python and this folder can hold the environment
python3 envs/check.py scale NAME     there is a scale of this name
"""

import difflib
import importlib.util
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120  of any Python 3
NOT_IN_SCRIPTS = '"$`\\:'
"""Characters of a path with which the programs that pip installs, or PATH, do not work."""


def check_python():
    """The version that pyproject.toml asks for, the modules that make environments, and the folder's name."""
    with open(os.path.join(ROOT, "pyproject.toml"), encoding="utf-8") as file:  # noqa: PTH118, PTH123
        first, end = re.search(r'^requires-python = ">=3\.(\d+),<3\.(\d+)"', file.read(), re.MULTILINE).groups()
    if not (3, int(first)) <= sys.version_info[:2] < (3, int(end)):
        found = "{}.{}".format(*sys.version_info[:2])
        needed = f"Python 3.{first} to 3.{int(end) - 1} is needed"
        return f"{needed}, and {sys.executable} is {found}: make PYTHON=python3.{first} ..."
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        return f"{sys.executable} has no module {missing[0]}; on Debian: apt-get install python3-venv"
    found = sorted(set(ROOT) & set(NOT_IN_SCRIPTS))
    if found:
        return f"an environment cannot work in {ROOT}, because of {' '.join(found)} in its name: rename the folder"
    return None


def check_scale(name):
    """The name of a file in workflow/config."""
    files = os.listdir(os.path.join(ROOT, "workflow", "config"))  # noqa: PTH118, PTH208
    known = sorted(file[: -len(".yaml")] for file in files if file.endswith(".yaml"))
    if name in known:
        return None
    close = difflib.get_close_matches(name, known)
    meant = f"; did you mean {' or '.join(close)}?" if close else ""
    return f"unknown scale {name!r}{meant} Known: {', '.join(known)}"


if __name__ == "__main__":
    failure = check_python() if sys.argv[1] == "python" else check_scale(sys.argv[2])
    if failure:
        sys.exit(f"error: {failure}")
