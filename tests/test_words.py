"""Docstrings say what a thing is, and documents link to what is there."""

import ast
import re
from pathlib import Path

import pytest

from checkout import ROOT
from gipo.figures import NAMES
from printed import DOCUMENTS, blocks

SOURCES = sorted((ROOT / "src").rglob("*.py"))
PAGES = sorted({path for pattern in DOCUMENTS for path in ROOT.glob(pattern)})


def strings(source: str) -> list[str]:
    """Bare strings of a module: docstrings of modules, classes, functions and attributes."""
    nodes = ast.walk(ast.parse(source))
    values = [node.value for node in nodes if isinstance(node, ast.Expr)]
    return [node.value for node in values if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def test_no_docstring_is_a_clause_that_begins_with_what() -> None:
    code = [(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in SOURCES]
    code += [(block.place, block.text) for block in blocks() if block.language == "python" and '"""' in block.text]
    found = [f"{place}: {text[:60]}" for place, source in code for text in strings(source)]
    assert [line for line in found if ": What " in line] == []


@pytest.mark.parametrize("page", PAGES, ids=[path.relative_to(ROOT).as_posix() for path in PAGES])
def test_links_of_a_document_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", prose) if not re.match(r"https?:", link)]
    missing = [link for link in links if not (page.parent / link.partition("#")[0]).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=[path.relative_to(ROOT).as_posix() for path in PAGES])
def test_files_that_a_document_names_in_code_are_there(page: Path) -> None:
    made_by_reader = {"workflow/config/mine.yaml", "src/gipo/figures/entropy.py", "profiles/slurm/site.yaml"}
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:src|workflow|tests|profiles|envs|containers|benchmarks|docs)/[\w./-]+)`", text))
    missing = {name for name in named if not (ROOT / name).exists() and "NAME" not in name}
    assert missing <= made_by_reader


def test_every_figure_stands_in_the_table_of_targets() -> None:
    page = (ROOT / "docs" / "one-figure.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == sorted(NAMES)
