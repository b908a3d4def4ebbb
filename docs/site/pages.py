"""Makes pages of the repository's documents, for MkDocs: every file has the path that it has in the repository.

So a link is right in the repository and in the site. A source file or folder that a document links to becomes a page
too, and any other file is copied. For a folder with a README a link to that is asked for.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("*.md", "docs/*.md", "docs/reference/*.md", "reports/*.md")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".cff": "yaml"}
"""Of source files, by suffix."""
LINK = re.compile(r"\]\(([^)\s#:]+)(?:#[^)\s]*)?\)")
"""With a path in the repository."""


class Shown(File):
    """A page that is made of something other than Markdown."""

    def is_documentation_page(self) -> bool:
        """It is one, whatever its suffix."""
        return True


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents and what they link to."""
    documents = {path.relative_to(ROOT).as_posix() for pattern in DOCUMENTS for path in ROOT.glob(pattern)}
    linked = set().union(*map(links, documents)) - documents
    inside = {child for path in linked for child in children(path)} - documents
    for path in sorted(documents):
        files.append(File(path, str(ROOT), config.site_dir, use_directory_urls=False))
    for path in sorted(linked | inside):
        files.append(page_or_copy(path, config))
    return files


def links(document: str) -> set[str]:
    """Paths in the repository to which a document links, if there is something, but folders with a README."""
    folder = posixpath.dirname(document)
    targets = LINK.findall((ROOT / document).read_text(encoding="utf-8"))
    paths = {posixpath.normpath(posixpath.join(folder, target)) for target in targets}
    return {path for path in paths if (ROOT / path).exists() and not (ROOT / path / "README.md").exists()}


def children(path: str) -> Iterator[str]:
    """Files below a folder."""
    for file in sorted((ROOT / path).rglob("*")):
        if file.is_file() and file.parent.name != "__pycache__":
            yield file.relative_to(ROOT).as_posix()


def page_or_copy(path: str, config: MkDocsConfig) -> File:
    """A page that shows a folder or a source file, or a copy of another file."""
    language = LANGUAGES.get(posixpath.splitext(path)[1])
    if (ROOT / path).is_dir():
        files = [posixpath.relpath(child, path) for child in children(path)]
        listed = "\n".join(f"- [{file}]({posixpath.basename(path)}/{file})" for file in files)
        return shown(path, listed, f"{path}/index.html", config)
    if language:
        source = (ROOT / path).read_text(encoding="utf-8")
        return shown(path, f"~~~~{language}\n{source}~~~~", f"{path}.html", config)
    return File(path, str(ROOT), config.site_dir, use_directory_urls=False)


def shown(path: str, content: str, to: str, config: MkDocsConfig) -> File:
    """A page at ``to`` with this content, which the search leaves out."""
    page = Shown(path, None, config.site_dir, use_directory_urls=False, dest_uri=to)
    page.content_string = f"---\nhide: [toc]\nsearch: {{exclude: true}}\n---\n\n# {path}\n\n{content}\n"
    return page
