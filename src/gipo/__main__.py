"""The command ``gipo``, also as ``python -m gipo``."""

import sys


def main() -> None:
    """Run the command line, or say in one line how to install what it needs beyond the library."""
    try:
        from gipo.cli import app
    except ModuleNotFoundError as error:
        if not error.name or error.name.startswith("gipo"):
            raise
        sys.exit(
            f"error: the library GIPO is installed, but not its suite, whose command this is (no module {error.name}): "
            'in a checkout `make setup`, elsewhere `pip install "gipo[suite]"`'
        )
    app()


if __name__ == "__main__":
    main()
