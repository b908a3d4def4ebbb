"""The syntax tree of a module as a digest: what Python reads, without comments, docstrings and formatting."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from typing import Any


@cache
def parse(name: str, file: str, source: bytes) -> tuple[str, tuple[str, ...]]:
    """Digest of a module's syntax tree, the same by every version of Python, and what it imports at run time.

    Args:
        name: of the module, dotted.
        file: name of its file.
        source: content of its file.
    """
    package = name if file == "__init__.py" else name.rpartition(".")[0]
    parts: list[str] = []
    imports: set[str] = set()

    def visit(node: Any) -> None:
        """Collect a node in prefix order. A newer Python has more fields: an empty one is as if it were not there."""
        if isinstance(node, ast.AST):
            parts.append(f"{type(node).__name__}(")
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                visit(node.orelse)
                return
            for field in node._fields:
                value: Any = getattr(node, field, None)
                if isinstance(node, ast.JoinedStr):  # Python 3.12 ends some with an empty string
                    value = [part for part in value if not (isinstance(part, ast.Constant) and part.value == "")]
                if value is not None and value != []:
                    parts.append(f"{field}=")
                    visit(value)
            parts.append(")")
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                imports.update(_targets(node, package))
        elif isinstance(node, list):
            parts.append("[")
            for item in node:
                if not _is_text(item):
                    visit(item)
            parts.append("]")
        else:
            parts.append(repr(node))

    visit(ast.parse(source, filename=name))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest(), tuple(imports)


def _targets(node: ast.AST, package: str) -> Iterator[str]:
    """Every name that an import statement could mean by a module: ``from a import b`` means a, and a.b if it is one."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parts = package.split(".")
        base = parts[: len(parts) - node.level + 1] if node.level else []
        base += [node.module] if node.module else []
        yield ".".join(base)
        yield from (".".join([*base, alias.name]) for alias in node.names)


def _is_text(statement: Any) -> bool:
    """Whether a statement is a bare string: a docstring of a module, class, function or attribute."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
