"""Checked configuration: YAML files, sections of them, and what is said of the first mistake in one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gipo.errors import GipoError

PositiveInt = Annotated[int, Field(gt=0, strict=True)]
NonNegativeInt = Annotated[int, Field(ge=0, strict=True)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
UnitInterval = Annotated[float, Field(ge=0, le=1)]
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Section(BaseModel):
    """A part of a configuration: immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    """The first mistake of a configuration in one line: key, value, what was expected."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"] if not str(part).startswith("("))  # not the kind of a choice
    message = first["msg"].removeprefix("Value error, ")
    if not key:
        return message
    if first["type"] == "extra_forbidden":
        return f"unknown key {key}"
    if first["type"] == "missing":
        return f"{key} is missing"
    return f"{key} = {first['input']!r}: {message[0].lower()}{message[1:]}"


class UniqueKeyLoader(yaml.SafeLoader):
    """YAML whose keys stand only once; plain YAML lets the last one win without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Raise where a key is repeated."""
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """Read a YAML file.

    Raises:
        GipoError: The file is missing, unreadable or not YAML, or a key stands in it twice; the message names it.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=UniqueKeyLoader)
    except OSError as error:
        raise GipoError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise GipoError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
