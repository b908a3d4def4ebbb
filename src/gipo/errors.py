"""The one exception that a user of the command line sees as a single line."""

import re

MOST_ECHOED = 200
"""Characters at most of one word, or of one quoted thing, in a message: it may be what somebody typed."""
MOST_SAID = 600
"""Characters at most of a whole message."""


class GipoError(Exception):
    """A mistake in the input or on the machine; the message names the thing, its value and what was expected.

    The message is one line of printable characters, of at most `MOST_SAID`; the middle of what is too long is left out.
    """

    def __init__(self, message: str) -> None:
        line = re.sub(r"'[^']{201,}'|\S{201,}", lambda found: shortened(found[0], MOST_ECHOED), one_line(message))
        super().__init__(shortened(line, MOST_SAID))


def lacks_memory(error: Exception) -> bool:
    """Whether an exception says that there is too little memory: Python's, pyarrow's, torch's, or the linker's."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
        or "failed to map segment from shared object" in str(error)
    )


def one_line(message: str) -> str:
    """A message without line breaks and control characters."""
    line = " ".join(words for line in message.splitlines() if (words := line.strip()))
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)


def shortened(message: str, most: int = 300) -> str:
    """A message as one line; the middle of one with more than `most` characters is left out."""
    line = one_line(message)
    tail = most * 2 // 5
    return line if len(line) <= most else f"{line[: most - tail - 5]} ... {line[-tail:]}"
