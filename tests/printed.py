"""Every command that this repository prints somewhere: in documents, docstrings, comments, messages and pages."""

import ast
import html
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from checkout import ROOT

DOCUMENTS = ("*.md", "docs/**/*.md", "profiles/**/*.md", "reports/*.md")
SOURCES = (
    *("src/**/*.py", "src/**/*.yaml", "benchmarks/*.py", "benchmarks/*.yaml", "examples/*.py", "containers/*"),
    *("Snakefile", "Makefile", "workflow/**/*.smk", "workflow/**/*.yaml", "profiles/**/*.yaml", "pyproject.toml"),
    *("envs/*.py", ".pre-commit-config.yaml"),
)
PAGES = ("src/gipo/report/*.html", "reports/*/report.html")

PROGRAMS = ("snakemake", "gipo", "make", "python", "apptainer", "scancel", "srun", "tmux", "pip", "pre-commit")
_START = rf"(?:{'|'.join(PROGRAMS)})"
_SPAN = re.compile(rf"(`+)({_START}(?: [^`\n]+)?)\1(?!`)")
_WHOLE = re.compile(r"(?:gipo|snakemake|scancel) [^`\n]+")
_LOOSE = re.compile(r"\b(?:snakemake (?:--?[a-z]|fig\d)|gipo (?:train|plan|doctor|figure|report|merge)\b|scancel -).*")
_INDENTED = re.compile(rf"^ {{4,}}({_START}(?: [^=(\n].*)?)$", re.MULTILINE)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Printed:
    """A command as a reader would type it.

    Attributes:
        text: one line, without a trailing comment.
        place: file, relative to the root of the repository.
    """

    text: str
    place: str

    @property
    def words(self) -> list[str]:
        """As a shell would split it; what follows a pipe is left out."""
        words = shlex.split(self.text, comments=True)
        return words[: words.index("|")] if "|" in words else words


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    language: str
    text: str
    place: str


@cache
def commands() -> list[Printed]:
    """All of them, each text once for each file."""
    found = [*_of_documents(), *_of_sources(), *_of_pages()]
    return sorted(set(found), key=lambda command: (command.place, command.text))


@cache
def blocks() -> list[Block]:
    """All fenced blocks of the documents."""
    return [
        Block(language, text, place) for place, page in documents().items() for language, text in _FENCE.findall(page)
    ]


def documents() -> dict[str, str]:
    """Text of every document, by its path."""
    return {_name(path): path.read_text(encoding="utf-8") for path in _files(DOCUMENTS)}


def _of_documents() -> Iterator[Printed]:
    for block in blocks():
        if block.language == "sh":
            for line in block.text.splitlines():
                for text in _split(line):
                    yield Printed(text, block.place)
    for path in _files(DOCUMENTS):
        prose = _FENCE.sub("", path.read_text(encoding="utf-8"))
        for _, text in _SPAN.findall(prose):
            yield from (Printed(part, _name(path)) for part in _split(text))


def loose() -> list[str]:
    """Commands in the prose of sources that no backticks mark, which no test could tell from the words around them."""
    found = []
    for path in _files(SOURCES):
        for text in _prose(path):
            rest = _INDENTED.sub("", _SPAN.sub("", text))
            if not _WHOLE.fullmatch(text) and path.name != "Makefile":
                found += [f"{_name(path)}: {match}" for match in _LOOSE.findall(rest)]
    return found


def _of_sources() -> Iterator[Printed]:
    for path in _files(SOURCES):
        for text in _prose(path):
            whole = [text] if _WHOLE.fullmatch(text) else []
            if path.name == "Makefile":  # in a shell's string backticks would run it
                whole = [match.strip('"') for match in _LOOSE.findall(_SPAN.sub("", text))]
            indented = [re.split(r" {2,}", line)[0] for line in _INDENTED.findall(text)]
            spans = [span for _, span in _SPAN.findall(text)]
            for found in (*whole, *indented, *spans):
                yield from (Printed(part, _name(path)) for part in _split(found))


def _prose(path: Path) -> Iterator[str]:
    """What a reader of a source reads as words: comments, docstrings, messages; of a Makefile all but its recipes."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        yield from _strings(source)
    elif path.suffix == ".smk" or path.name == "Snakefile":
        yield from re.findall(r'"""(.*?)"""', source, re.DOTALL)
    if path.suffix != ".md":
        yield from re.findall(r"(?:^|\s)#+(.*)$", source, re.MULTILINE)
    if path.name == "Makefile":
        yield from re.findall(r"@echo (.*)$", source, re.MULTILINE)


def of_page(page: str, place: str) -> Iterator[Printed]:
    """Commands of an HTML page."""
    text = re.sub(r'"data:[^"]*"', "", page)
    for command in re.findall(rf"<code>({_START} [^<{{]+)</code>", text):
        yield Printed(html.unescape(command), place)


def _of_pages() -> Iterator[Printed]:
    for path in _files(PAGES):
        yield from of_page(path.read_text(encoding="utf-8"), _name(path))


def _strings(source: str) -> Iterator[str]:
    """Strings of Python code; an f-string has ``{}`` for what it fills in."""
    tree = ast.parse(source)
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def _split(line: str) -> Iterator[str]:
    """The commands of a line of shell, without comments."""
    text = re.sub(r"(^|\s)#.*$", "", line).strip()
    yield from (part.strip() for part in text.split("&&") if part.strip() not in {"", "gipo", "python", "pip"})


def _files(patterns: tuple[str, ...]) -> list[Path]:
    found = {path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()}
    return sorted(path for path in found if "__pycache__" not in path.parts)


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()
