"""The digest changes with behaviour, of the named modules and of what they import, and with nothing else."""

import ast
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from checkout import ROOT
from factories import make_spec
from gipo import objectives, suites, trust_weights
from gipo.errors import GipoError
from gipo.gridworld import case_study
from gipo.runs.code import _closure, code_digest, training_modules
from gipo.runs.spec import RunSpec
from gipo.runs.syntax import parse

SOURCES = {
    "__init__.py": '"""A package."""\n',
    "main.py": '''
        """Entry."""
        import numpy
        from toy import helper
        from toy.sub.deep import constant

        def run(x):
            """Run."""
            from . import lazy  # imported when called
            return lazy.f(x) + helper.g(x) + constant
        ''',
    "helper.py": "def g(x):\n    return x + 1\n",
    "lazy.py": "def f(x):\n    return 2 * x\n",
    "unrelated.py": "y = 1\n",
    "sub/__init__.py": "",
    "sub/deep.py": "from ..bottom import z\nfrom .near import constant\n",
    "sub/near.py": "constant = 3\n",
    "bottom.py": "import toy.star\nz = 4\n",
    "star.py": "w = 5\n",
    "cycle.py": "import toy.main\nimport toy.cycle\n",
}
IMPORTED = sorted(SOURCES.keys() - {"unrelated.py", "cycle.py"})


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that would fail if it were executed."""
    root = tmp_path / "toy"
    for name, source in SOURCES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(source) + "\nraise RuntimeError\n")
    monkeypatch.syspath_prepend(tmp_path)
    return root


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# imported when called", "# imported late"),
        ('"""Run."""', '"""Run it.\n\n    Returns: much.\n    """'),
        ('"""Entry."""', ""),
        ("lazy.f(x) + helper.g(x) + constant", "(\n        lazy.f( x )\n        + helper.g(x,) + constant)"),
    ],
)
def test_comments_docstrings_and_formatting_do_not_count(toy: Path, old: str, new: str):
    before = code_digest("toy.main")
    _edit(toy / "main.py", old, new)
    assert code_digest("toy.main") == before


@pytest.mark.parametrize("name", IMPORTED)
def test_a_change_in_anything_imported_counts(toy: Path, name: str):
    before = code_digest("toy.main")
    with (toy / name).open("a") as file:
        file.write("new = 1\n")
    assert code_digest("toy.main") != before


@pytest.mark.parametrize("name", ["unrelated.py", "cycle.py"])
def test_a_change_in_an_unrelated_module_does_not_count(toy: Path, name: str):
    before = code_digest("toy.main")
    (toy / name).write_text("new = 1\n")
    assert code_digest("toy.main") == before


def test_a_new_module_counts_once_it_is_imported(toy: Path):
    (toy / "helper.py").write_text("from toy import later\n")
    before = code_digest("toy.main")
    (toy / "later.py").write_text("")
    assert code_digest("toy.main") != before


def test_a_small_change_of_a_value_counts(toy: Path):
    before = code_digest("toy.helper")
    _edit(toy / "helper.py", "x + 1", "x + 1.0")
    assert code_digest("toy.helper") != before


def test_cycles_end_and_order_does_not_matter(toy: Path):
    assert code_digest("toy.cycle", "toy.unrelated") == code_digest("toy.unrelated", "toy.cycle")
    assert code_digest("toy.cycle") != code_digest("toy.main")


def test_a_package_stands_for_its_init(toy: Path):
    before = code_digest("toy")
    (toy / "main.py").write_text("")
    assert code_digest("toy") == before
    (toy / "__init__.py").write_text("from toy import main\n")
    assert code_digest("toy") != before


def test_data_files_count_by_name_and_content(toy: Path, tmp_path: Path):
    a, b = tmp_path / "a.yaml", tmp_path / "b.yaml"
    a.write_text("x: 1")
    b.write_text("x: 2")
    with_both = code_digest("toy.main", data=[a, b])
    assert with_both == code_digest("toy.main", data=[b, a])
    assert len({with_both, code_digest("toy.main"), code_digest("toy.main", data=[a])}) == 3
    b.write_text("x: 3  # even a comment")
    assert code_digest("toy.main", data=[a, b]) != with_both


@pytest.mark.parametrize("name", ["toy.absent", "absent_package.main", "toy.main.run"])
def test_an_unknown_module_is_named(toy: Path, name: str):
    with pytest.raises(GipoError, match=f"'{name}'"):
        code_digest(name)


def test_a_missing_data_file_is_named(toy: Path, tmp_path: Path):
    with pytest.raises(GipoError, match=r"absent\.yaml"):
        code_digest("toy.main", data=[tmp_path / "absent.yaml"])


SHIPPED = {objectives.module_of(name) for name in objectives.names()}
"""Modules of the methods that come with the package."""


def test_the_closure_of_real_modules_covers_what_python_loads():
    """Independent of the static search: import for real, in a fresh process, and look at sys.modules.

    Methods and entries of the catalogue of suites are loaded without being part of what only looks them up.
    """
    looked_up = SHIPPED | {f"gipo.suites.{info.name}" for info in pkgutil.iter_modules(suites.__path__)}
    for module in ("gipo.analysis.collect", "gipo.runs.provenance", "gipo.objectives", "gipo.learner"):
        code = f"import sys, {module}; print([m for m in sys.modules if m.split('.')[0] == 'gipo'])"
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert set(_closure([module])) >= set(ast.literal_eval(out)) - looked_up


@pytest.mark.parametrize("asynchronous", [None, {}])
@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_run_depends_on_its_own_method_alone(name: str, asynchronous: dict | None):
    method = next(method for method in objectives.names() if objectives.module_of(method) == name)
    spec = make_spec("door-open-v3", "stale", "gipo-1-1", 0)
    content = spec.model_dump() | {"objective": {"name": method}, "asynchronous": asynchronous}
    modules = _closure(training_modules(RunSpec.model_validate(content)))
    assert modules.keys() & SHIPPED == {name}
    assert {"gipo.objectives", "gipo.objectives.base", "gipo.objectives.registry", "gipo.learner"} <= modules.keys()


def test_a_method_of_the_users_own_depends_on_every_method_that_it_may_build_on():
    spec = make_spec("door-open-v3", "stale", "gipo-1-1", 0)
    content = spec.model_dump() | {"objective": {"name": "toy.main:mine"}}
    modules = training_modules(RunSpec.model_validate(content))
    assert set(modules) >= SHIPPED | {"toy.main"}


def test_what_is_drawn_of_the_methods_depends_on_those_methods():
    for module, methods in (
        ("gipo.trust_weights", trust_weights.METHODS.values()),
        ("gipo.gridworld.tables", [sweep.make(0.5) for sweep in case_study.KNOBS]),
    ):
        assert set(_closure([module])) >= {type(method).__module__ for method in methods}


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of modules that are in no package, found in the working directory alone."""
    root = tmp_path / "plain"
    root.mkdir()
    (root / "plain_method.py").write_text("import json\nimport plain_helper\nx = 1\n")
    (root / "plain_helper.py").write_text("y = 1\n")
    (root / "plain_other.py").write_text("z = 1\n")
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    return root


@pytest.mark.parametrize(("name", "counts"), [("method", True), ("helper", True), ("other", False)])
def test_a_module_in_no_package_counts_with_what_it_imports_from_beside_it(plain: Path, name: str, counts: bool):
    before = code_digest("plain_method")
    with (plain / f"plain_{name}.py").open("a") as file:
        file.write("new = 1\n")
    assert (code_digest("plain_method") != before) == counts


def test_an_import_for_type_checkers_is_not_followed(toy: Path):
    (toy / "helper.py").write_text("if TYPE_CHECKING:\n    import toy.unrelated\nelse:\n    import toy.bottom\n")
    assert _closure(["toy.helper"]).keys() & {"toy.unrelated", "toy.bottom"} == {"toy.bottom"}


def test_a_method_of_the_users_own_counts_with_whatever_it_imports_from_gipo(plain: Path):
    (plain / "plain_method.py").write_text("from gipo.theory import trust_weight\n")
    assert "gipo.theory" in _closure(["plain_method"])


SYNTAX = ROOT / "src" / "gipo" / "runs" / "syntax.py"
DIGESTS = """
import runpy, sys
from pathlib import Path
parse = runpy.run_path(sys.argv[1])["parse"]
for path in map(Path, sys.argv[2:]):
    print(path.name, parse("gipo.x", path.name, path.read_bytes())[0])
"""


def digests(python: str, paths: list[Path]) -> str:
    command = [python, "-W", "ignore", "-c", DIGESTS, str(SYNTAX), *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def others() -> list[str]:
    """Other versions of Python that are here."""
    own = f"python3.{sys.version_info.minor}"
    names = [name for name in ("python3.11", "python3.12", "python3.13") if name != own]
    found = [path for name in names if (path := shutil.which(name))]
    return [path for path in found if subprocess.run([path, "-c", ""], capture_output=True).returncode == 0]


@pytest.mark.skipif(not others(), reason="no other version of Python is here")
def test_every_version_of_python_gives_the_same_digests(tmp_path: Path):
    (tmp_path / "f.py").write_text('w = 3\nx = f"{w:>{w}} {w!r:}{w}"\n')
    paths = [tmp_path / "f.py", *sorted((ROOT / "src").rglob("*.py"))]
    own = digests(sys.executable, paths)
    for python in others():
        assert digests(python, paths) == own


def test_a_field_that_is_empty_is_as_if_an_older_python_had_not_known_it(monkeypatch: pytest.MonkeyPatch):
    source = b"def f(a, *, b=1):\n    return [a, b]\nclass C:\n    x: int = 0\n"
    own = parse("gipo.x", "x.py", source)
    for kind in (ast.FunctionDef, ast.ClassDef, ast.arguments, ast.Return):
        monkeypatch.setattr(kind, "_fields", (*kind._fields, "unheard_of"))
    monkeypatch.setattr(ast.FunctionDef, "unheard_of", [], raising=False)
    monkeypatch.setattr(ast.Return, "unheard_of", None, raising=False)
    parse.cache_clear()
    assert parse("gipo.x", "x.py", source) == own


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a[1:]", "a[:1]"),
        ("f(*a)", "f(**a)"),
        ("x = None", "x = ..."),
        ("def f(a=1): pass", "def f(*, a=1): pass"),
        ("{**a}", "{a: None}"),
        ("yield_ = [None]", "yield_ = []"),
        ("x = f'{a}'", "x = f'{a!r}'"),
        ("x = f'{a}'", "x = f'{a:>3}'"),
        ("raise a from b", "raise a"),
        ("x = ''", "x = None"),
        ("[[], a]", "[a, []]"),
    ],
)
def test_what_is_left_out_confuses_no_two_programs(one: str, other: str):
    assert parse("gipo.x", "x.py", one.encode())[0] != parse("gipo.x", "x.py", other.encode())[0]
