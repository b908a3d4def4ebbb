"""``python -m gipo``."""

from gipo.cli import app

app()
