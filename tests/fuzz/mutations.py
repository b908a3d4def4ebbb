"""Ways to damage a file, from bits to values."""

from __future__ import annotations

import json
import random
from typing import Any

import yaml

NASTY: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, -(10**30), 0.5, 1e-320, 1e300, float("nan"), float("inf")),
    *(
        "",
        " ",
        "-x",
        "..",
        "../..",
        "/etc/passwd",
        "a/b",
        "\0",
        "\n",
        "\x1b[31m",
        "é",
        "\ud800",
        "'",
        '"',
        "{}",
        "%s",
        "$x",
    ),
    *("x" * 300, "9" * 400, "x y " * 3000, [], {}, [[]], [None] * 50, {"": {}}, [{"a": [1]}], list(range(2000))),
)
"""Values that nobody expects."""

Mutation = bytes


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Content with one or a few bytes or stretches that are others, or not there."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 5, 30))):
        size = len(data)
        at = chance.randrange(size + 1)
        length = chance.choice((1, 2, 4, 8, 64, chance.randrange(size + 1)))
        match chance.randrange(7):
            case 0 if size:
                data[at % size] ^= 1 << chance.randrange(8)
            case 1 if size:
                data[at % size] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            case 2:
                del data[at:]
            case 3:
                del data[at : at + length]
            case 4:
                data[at:at] = data[at : at + length][: 1 << 16]
            case 5:
                data[at:at] = chance.randbytes(min(length, 1 << 12))
            case _:
                value = chance.choice((0, 1, 255, 2**16, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1))
                width = chance.choice((2, 4, 8))
                data[at : at + width] = (value % 2 ** (8 * width)).to_bytes(width, chance.choice(("little", "big")))
    return bytes(data)


def changed(tree: Any, chance: random.Random) -> Any:
    """A tree of lists and mappings with a value, a key or a branch that is another."""
    places = list(_places(tree))
    if not places or chance.random() < 0.03:
        return chance.choice(NASTY)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        parent, key = chance.choice(places)
        if not _has(parent, key):
            continue
        match chance.randrange(6):
            case 0:
                del parent[key]
            case 1 if isinstance(parent, dict):
                parent[chance.choice((*(word for word in NASTY if isinstance(word, str)), 3, None, 1.5))] = parent[key]
            case 2:
                parent[key] = json.loads(json.dumps(chance.choice(places)[0], default=str))
            case 3:
                parent[key] = [parent[key]]
            case _:
                parent[key] = chance.choice(NASTY)
    return tree


def damaged_json(content: bytes, chance: random.Random) -> bytes:
    """JSON with other bytes, or with other values."""
    if chance.random() < 0.3:
        return damaged(content, chance)
    if chance.random() < 0.02:
        return b"[" * 5000 + b"]" * 5000
    return json.dumps(changed(json.loads(content), chance)).encode("utf-8", "surrogatepass")


def damaged_yaml(content: bytes, chance: random.Random) -> bytes:
    """YAML with other bytes, or with other values."""
    if chance.random() < 0.3:
        return damaged(content, chance)
    if chance.random() < 0.03:
        return chance.choice(
            (b"a: " + b"[" * 3000 + b"]" * 3000, b"a: &a [*a, *a]\n", b"scales: &a [*a]\n", b"? ? ? a\n")
        )
    return yaml.safe_dump(changed(yaml.safe_load(content), chance), allow_unicode=False).encode(
        "utf-8", "surrogatepass"
    )


def _places(tree: Any) -> Any:
    """Every list or mapping with each of its keys."""
    keys = tree.keys() if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in list(keys):
        yield tree, key
        yield from _places(tree[key])


def _has(parent: Any, key: Any) -> bool:
    return key in parent if isinstance(parent, dict) else key < len(parent)
