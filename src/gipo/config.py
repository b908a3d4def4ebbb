"""Checked configuration: YAML files, sections of them, and what is said of the first mistake in one."""

from __future__ import annotations

import hashlib
import json
import re
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gipo.errors import GipoError, shortened

MOST = 10**9
"""Largest count and largest real number that a configuration may hold; far beyond what any run needs."""
LEAST = 1e-12
"""Smallest number that is positive and no 0: far smaller ones are 0 in the float32 of a network."""
MOST_BYTES = 1 << 20
"""Of a YAML file; the largest scale here has 4,000."""
MERGE = "tag:yaml.org,2002:merge"
"""Tag of the key ``<<``."""
MOST_MERGED = 10_000
"""Keys that the merges of a YAML file may add up to."""

Flag = Annotated[bool, Field(strict=True)]
"""true or false."""
PositiveInt = Annotated[int, Field(gt=0, le=MOST, strict=True)]
"""From 1 to `MOST`."""
NonNegativeInt = Annotated[int, Field(ge=0, le=MOST, strict=True)]
"""From 0 to `MOST`."""
Seed = Annotated[int, Field(ge=0, lt=2**63, strict=True)]
"""From 0 to 2^63 - 1: tables hold seeds as signed integers of 64 bits."""
PositiveFloat = Annotated[float, Field(ge=LEAST, le=MOST, strict=True)]
"""From `LEAST` to `MOST`."""
NonNegativeFloat = Annotated[float, Field(ge=0, le=MOST, strict=True)]
"""From 0 to `MOST`."""
UnitInterval = Annotated[float, Field(ge=0, le=1, strict=True)]
"""From 0 to 1."""
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]
"""Up to 64 letters, digits, dots, hyphens and underscores, the first a letter or digit: it becomes a folder's name."""
Title = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=200)]
"""One line of up to 200 characters."""


class Section(BaseModel):
    """A part of a configuration: immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a YAML file.

        Raises:
            GipoError: it is missing or not YAML, or a key is unknown, missing or out of range; names file and key.
        """
        try:
            return cls.model_validate(read_yaml(path))
        except ValidationError as error:
            raise GipoError(f"{path}: {explain(error)}") from error

    def digest(self) -> str:
        """Hexadecimal SHA-256 of the content; absent parts do not count: a new optional one changes no old digest."""
        content = {name: value for name, value in self.model_dump(mode="json").items() if value is not None}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def explain(error: ValidationError) -> str:
    """The first mistake of a configuration in one line of at most some 300 letters: key, value, what was expected."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"] if not str(part).startswith("("))  # not the kind of a choice
    message = first["msg"].removeprefix("Value error, ")
    if not key:
        return shortened(message)
    if first["type"] == "extra_forbidden":
        return shortened(f"unknown key {key}")
    if first["type"] == "missing":
        return shortened(f"{key} is missing")
    return shortened(f"{key} = {reprlib.repr(first['input'])}: {message[0].lower()}{message[1:]}")


class CoreLoader(yaml.SafeLoader):
    """YAML 1.2 with its core schema, and merge keys (``<<``).

    PyYAML reads YAML 1.1, where 0200 is 128, 12:30 is 750 and yes is true, all without a word, and where the last of
    two equal keys wins. Here a number has no leading zero, those words are strings, and a key stands once.
    """

    merged = 0
    """Keys merged so far."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Raise where a key is repeated."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            name = _name(key)
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} stands twice", key.start_mark)
            seen.add(name)
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge: a mapping's own keys win over merged ones, and of several merged mappings the first that has a key.

        In PyYAML 6.0.4 a key of one letter that is changed again in a merged mapping keeps its first value.
        """
        pairs, node.value = node.value, []  # a mapping may be merged into itself
        found: dict[tuple[str, str], tuple[yaml.Node, yaml.Node]] = {}
        for mapping in reversed([mapping for key, value in pairs if key.tag == MERGE for mapping in _mappings(value)]):
            self.flatten_mapping(mapping)
            self.merged += len(mapping.value)
            if self.merged > MOST_MERGED:
                raise yaml.constructor.ConstructorError(None, None, "too many keys are merged", node.start_mark)
            found |= {_name(key): (key, value) for key, value in mapping.value}
        found |= {_name(key): (key, value) for key, value in pairs if key.tag != MERGE}
        node.value = list(found.values())

    def construct_core(self, node: yaml.ScalarNode) -> Any:
        """A number or a truth value; its tag may have been written down, before a value that YAML 1.1 alone knows."""
        kind = node.tag.rpartition(":")[2]
        if self.resolve(yaml.ScalarNode, node.value, (True, False)) != node.tag:
            words = f"{node.value} is no {kind} of YAML 1.2"
            raise yaml.constructor.ConstructorError(None, None, words, node.start_mark)
        if kind == "int":
            return self.construct_integer(node)
        return self.construct_yaml_bool(node) if kind == "bool" else self.construct_yaml_float(node)

    def construct_integer(self, node: yaml.ScalarNode) -> int:
        """Decimal, or octal and hexadecimal with ``0o`` and ``0x``; YAML 1.2 reads 0200 as 200, here it is refused."""
        if re.match(r"[-+]?0[0-9]", node.value):
            words = f"{node.value} begins with 0, which some take for octal; write the number without"
            raise yaml.constructor.ConstructorError(None, None, words, node.start_mark)
        if len(node.value) > 20:
            raise yaml.constructor.ConstructorError(None, None, "a number has too many digits", node.start_mark)
        return int(node.value, 0)


def _name(key: yaml.Node) -> tuple[str, str]:
    """By which two keys are the same."""
    return key.tag, str(key.value)


def _mappings(value: yaml.Node) -> Iterator[yaml.MappingNode]:
    """The mappings that a key ``<<`` with this value merges."""
    for mapping in value.value if isinstance(value, yaml.SequenceNode) else [value]:
        if not isinstance(mapping, yaml.MappingNode):
            words = "expected a mapping, or a list of them, to merge"
            raise yaml.constructor.ConstructorError(None, None, words, mapping.start_mark)
        yield mapping


CoreLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL", "~nN"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    ("merge", r"<<", "<"),
):
    CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})\Z"), list(_first))
CoreLoader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^\Z"), [""])
for _tag in ("bool", "int", "float"):
    CoreLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", CoreLoader.construct_core)


def read_yaml(path: Path) -> Any:
    """Read a YAML 1.2 file.

    Raises:
        GipoError: The file is missing, unreadable, far too large or not YAML, it is nested too deeply, or a key stands
            in it twice; the message names it.
    """
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise GipoError(f"{path} has {size:,} bytes, expected {MOST_BYTES:,} at most")
        return yaml.load(path.read_text(encoding="utf-8"), Loader=CoreLoader)
    except OSError as error:
        raise GipoError(f"cannot read {path}: {error.strerror}") from error
    except RecursionError:
        raise GipoError(f"{path} is not valid YAML: too many levels in one another") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        words = str(error).replace('in "<unicode string>",', "at")
        raise GipoError(f"{path} is not valid YAML: {shortened(words)}") from error
