"""The one exception that a user of the command line sees as a single line."""


class GipoError(Exception):
    """A mistake in the input or on the machine; the message names the thing, its value and what was expected."""
