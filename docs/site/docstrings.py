"""Reads docstrings as they are written here: `name` is a link to what has that name, and ``::`` before code a colon."""

import re
from typing import Any

import griffe

NAME = re.compile(r"(?<!`)`((?!torch\.)[A-Za-z_][\w.]*)`(?!`)")
"""In a docstring, but for names of torch."""


class Docstrings(griffe.Extension):
    """Makes Markdown of every docstring."""

    def on_object(self, *, obj: griffe.Object, **others: Any) -> None:
        """Called for all that a module defines."""
        if obj.docstring:
            linked = NAME.sub(r"[`\1`][\1]", obj.docstring.value)
            obj.docstring.value = re.sub(r"::$", ":", linked, flags=re.MULTILINE)
