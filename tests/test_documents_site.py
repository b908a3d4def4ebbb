"""The site of `make docs`: it explains the whole library, its links lead somewhere, and it needs no other host."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from checkout import ROOT
from gipo import objectives

pytestmark = pytest.mark.slow

CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
(LIBRARY,) = (one["source_modules"] for one in CONTRACTS if one["name"].startswith("The library"))
"""The modules that need numpy and torch alone."""
LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "video": "src"}
"""Elements that a browser loads something for, and where they say what."""


class Page(HTMLParser):
    """A page of the site."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.ids |= {found[name] for name in ("id", "name") if name in found}
        self.links += [found[name] for name in ("href", "src") if name in found]
        self.loaded += [found[LOADED[tag]]] if LOADED.get(tag) in found else []

    def handle_data(self, data: str) -> None:
        self.text += data


def build(root: Path, to: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a checkout, where no other host is reached."""
    nowhere = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(to)]
    return subprocess.run(command, cwd=root, env=os.environ | nowhere, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    """All pages."""
    folder = tmp_path_factory.mktemp("site").resolve()
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    return {path: Page(path) for path in sorted(folder.rglob("*.html"))}


def explained(module: str) -> Iterator[tuple[str, str]]:
    """Public names of a module that have a docstring, and the first paragraph of it."""
    path = ROOT / "src" / module.replace(".", "/")
    for file in sorted(path.glob("*.py")) if path.is_dir() else [path.with_suffix(".py")]:
        for name, text in of_body(ast.parse(file.read_text(encoding="utf-8")), module):
            if not path.is_dir() or name.removeprefix(f"{module}.").partition(".")[0] in objectives.__all__:
                yield name, text.partition("\n\n")[0]


def of_body(node: ast.Module | ast.ClassDef, inside: str) -> Iterator[tuple[str, str]]:
    """Docstrings of what a module or class defines, attributes included."""
    for one, following in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(one, ast.FunctionDef | ast.ClassDef) and not one.name.startswith("_"):
            if text := ast.get_docstring(one):
                yield f"{inside}.{one.name}", text
            if isinstance(one, ast.ClassDef):
                yield from of_body(one, f"{inside}.{one.name}")
        if isinstance(one, ast.Assign | ast.AnnAssign) and isinstance(following, ast.Expr):
            target = one.target if isinstance(one, ast.AnnAssign) else one.targets[0]
            if isinstance(following.value, ast.Constant) and not ast.unparse(target).startswith("_"):
                yield f"{inside}.{ast.unparse(target)}", str(following.value.value)


def letters(text: str) -> str:
    return re.sub(r"\W", "", text)


@pytest.mark.parametrize("module", LIBRARY)
def test_the_reference_has_every_public_name_with_its_docstring(site: dict[Path, Page], module: str) -> None:
    pages = [page for path, page in site.items() if path.parent.name == "reference"]
    names = dict(explained(module))
    assert names
    assert [name for name in names if not any(name in page.ids for page in pages)] == []
    said = "".join(letters(page.text) for page in pages)
    assert [name for name, text in names.items() if letters(text) not in said] == []


def test_links_of_the_site_lead_somewhere(site: dict[Path, Page]) -> None:
    broken = []
    for path, page in site.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or path.name == "404.html":
                continue
            to = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            there = to.is_file() and (not parts.fragment or to not in site or unquote(parts.fragment) in site[to].ids)
            broken += [] if there else [f"{path.name}: {link}"]
    assert broken == []


def test_pages_load_nothing_from_another_host(site: dict[Path, Page]) -> None:
    found = [f"{path}: {link}" for path, page in site.items() for link in page.loaded if urlsplit(link).netloc]
    folder = min(site, key=lambda path: len(path.parts)).parent
    styles = {path: path.read_text(encoding="utf-8") for path in folder.rglob("*.css")}
    found += [str(path) for path, text in styles.items() if re.search(r"""(url\(|@import)\s*["']?(https?:)?//""", text)]
    assert len(styles) > 1
    assert found == []


def test_what_leads_nowhere_fails(tmp_path: Path) -> None:
    root = tmp_path / "checkout"
    root.mkdir()
    for path in ROOT.iterdir():
        if path.name in ("docs", "mkdocs.yml"):
            (shutil.copytree if path.is_dir() else shutil.copy2)(path, root / path.name)
        elif path.name in ("src", "reports", "examples", "benchmarks") or path.is_file():
            (root / path.name).symlink_to(path)
    wrong = "[a](gone.md) [b](speed.md#gone) [c](../src/gipo/gone.py) [`d`][gipo.targets.gone]\n"
    with (root / "docs" / "library.md").open("a") as page:
        page.write(wrong)
    (root / "docs" / "new.md").write_text("# Not in the navigation\n")
    done = build(root, tmp_path / "site")
    assert done.returncode != 0
    for said in ("'gone.md'", "'speed.md#gone'", "gone.py", "'gipo.targets.gone'", "docs/new.md"):
        assert [line for line in done.stderr.splitlines() if said in line], said
    assert "5 warnings" in done.stdout + done.stderr
