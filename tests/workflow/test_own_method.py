"""A method of the user's own: wherever its module lies, the workflow plans its runs and they train."""

from pathlib import Path

import pytest
import yaml

from checkout import Checkout
from gipo.files import read_json
from small_study import STUDY
from users_method import METHOD

pytestmark = pytest.mark.slow


def name_in_config(checkout: Checkout, name: str) -> None:
    checkout.edit(
        "workflow/config/smoke.yaml", "methods: &methods\n", f'methods: &methods\n  mine: {{name: "{name}"}}\n'
    )


def dry_run(checkout: Checkout) -> tuple[int, str, str]:
    done = checkout.run("snakemake", "--dry-run", "--cores", "2", "--config", "scale=smoke")
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("file", "name"),
    [("my_methods.py", "my_methods:half"), ("my_package/my_methods.py", "my_package.my_methods:half")],
    ids=["module", "package"],
)
@pytest.mark.parametrize("place", ["PYTHONPATH", "working directory"])
def test_the_workflow_plans_its_runs(
    edited: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, name: str, place: str
):
    path = (edited.root if place == "working directory" else tmp_path / "elsewhere") / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(METHOD)
    if path.parent.name == "my_package":
        (path.parent / "__init__.py").touch()
    if place == "PYTHONPATH":
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "elsewhere"))
    name_in_config(edited, name)
    code, out, err = dry_run(edited)
    assert code == 0, err
    assert "method=mine" in out


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (None, "ModuleNotFoundError: No module named 'my_methods'"),
        ("def half(:\n", "SyntaxError: invalid syntax"),
        ("raise RuntimeError('two\\nlines')\n", "RuntimeError: two lines"),
        ("", "unknown objective 'my_methods:half'"),
    ],
    ids=["missing", "syntax", "failing", "empty"],
)
def test_a_module_that_cannot_be_used_is_one_line(edited: Checkout, source: str | None, reason: str):
    if source is not None:
        (edited.root / "my_methods.py").write_text(source)
    name_in_config(edited, "my_methods:half")
    code, out, err = dry_run(edited)
    assert code == 1
    assert "Traceback" not in out + err
    (line,) = [line for line in (out + err).splitlines() if "methods.mine" in line]
    assert reason in line


def test_its_run_trains_with_a_module_in_the_working_directory(edited: Checkout):
    (edited.root / "my_methods.py").write_text(METHOD)
    study = STUDY | {"methods": {"mine": {"name": "my_methods:half"}}}
    (edited.root / "study.yaml").write_text(yaml.safe_dump(study))
    labels = ("--task", "door-open-v3", "--regime", "stale", "--method", "mine", "--seed", "5")
    done = edited.run("gipo", "train", "study.yaml", "run", *labels)
    assert done.returncode == 0, done.stderr
    assert len(read_json(edited.root / "run" / "provenance.json")["code_digest"]) == 64
