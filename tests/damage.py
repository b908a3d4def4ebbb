"""Damage to a file."""

from pathlib import Path


def flip(path: Path) -> None:
    """One bit is another."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    """Two fifths are left."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 5])


def empty(path: Path) -> None:
    """Nothing is left."""
    path.write_bytes(b"")
