"""What `make` does before it installs anything, with commands of its own in the place of Python and pip."""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from checkout import ROOT
from gipo.stages import StudyFolder

TARGETS = (
    *("help", "reproduce", "setup", "test", "check", "docs", "unlock", "publish", "mlflow", "slurm", "lock", "clean"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout in a folder with an awkward name, without an environment."""
    root = tmp_path / "für 'my' study #1 & (more)"
    root.mkdir()
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy2(ROOT / name, root)
    for name in ("envs", "workflow/config"):
        shutil.copytree(ROOT / name, root / name)
    return root


def make(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    return subprocess.run(["make", *arguments], cwd=folder, env=own | variables, capture_output=True, text=True)


def python(folder: Path, code: str) -> str:
    """A Python that is changed by `code` before it does what it is asked for; it makes no environment."""
    script, changed = folder.parent / "python", folder.parent / "changed.py"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(changed))} "$@"\n')
    changed.write_text(
        "import runpy, sys\n"
        f"{code}\n"
        "if sys.argv[1] == '-m':\n"
        "    sys.exit('installs')\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    script.chmod(0o755)
    return f"PYTHON={script}"


def environment(folder: Path, place: Path) -> None:
    """An environment with everything, that was made for a folder."""
    environment = folder / ".venv"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").symlink_to(sys.executable)
    (environment / "pyvenv.cfg").write_text(f"home = /usr/bin\ncommand = /usr/bin/python3 -m venv {place}/.venv\n")
    for name in (".python", ".study", ".libero", ".slurm", ".test"):
        (environment / name).touch()


@pytest.mark.parametrize("arguments", [(), ("help",)])
def test_alone_it_lists_the_targets_and_does_nothing(folder: Path, arguments: tuple[str, ...]):
    done = make(folder, *arguments)
    assert done.returncode == 0
    assert tuple(re.findall(r"^make (\w+) +\S", done.stdout, re.MULTILINE)) == TARGETS
    assert not (folder / ".venv").exists()


def test_a_misspelt_scale_is_found_before_anything_is_installed(folder: Path):
    done = make(folder, "reproduce", "SCALE=lapotp")
    assert done.returncode != 0
    assert done.stderr.startswith("error: unknown scale 'lapotp'; did you mean laptop? Known: ")
    assert not (folder / ".venv").exists()


@pytest.mark.parametrize("version", ["(3, 10, 14)", "(3, 14, 0)", "(4, 0, 0)"])
def test_another_python_is_refused_before_anything_is_installed(folder: Path, version: str):
    done = make(folder, "setup", python(folder, f"sys.version_info = {version}"))
    assert "error: Python 3.11 to 3.13 is needed, and " in done.stderr
    assert "installs" not in done.stderr
    assert not (folder / ".venv").exists()


@pytest.mark.parametrize("version", ["(3, 11, 0)", "(3, 13, 9)"])
def test_a_python_in_the_range_is_taken(folder: Path, version: str):
    assert "installs" in make(folder, "setup", python(folder, f"sys.version_info = {version}")).stderr


def test_a_python_without_ensurepip_says_what_to_install(folder: Path):
    code = (
        "import importlib.util as u; found = u.find_spec; u.find_spec = lambda n: n != 'ensurepip' and found(n) or None"
    )
    done = make(folder, "setup", python(folder, code))
    assert "has no module ensurepip; on Debian: apt-get install python3-venv" in done.stderr
    assert not (folder / ".venv").exists()


@pytest.mark.parametrize("character", ['"', "$", "`", "\\", ":"])
def test_a_folder_in_which_no_environment_works_is_named(folder: Path, character: str):
    folder = folder.rename(folder.with_name(f"my{character}study"))
    done = make(folder, "setup", python(folder, ""))
    assert f"because of {character} in its name: rename the folder" in done.stderr
    assert "installs" not in done.stderr


def test_an_environment_of_this_folder_is_used(folder: Path):
    environment(folder, folder)
    assert make(folder, "setup", "--question").returncode == 0


def test_a_copied_or_moved_environment_is_made_anew(folder: Path):
    environment(folder, folder.with_name("original"))
    done = make(folder, "setup", python(folder, ""))
    assert "The environment .venv was made elsewhere, or its Python is gone: it is made anew." in done.stdout
    assert "installs" in done.stderr
    assert not (folder / ".venv").exists()


def test_an_environment_whose_python_is_gone_is_made_anew(folder: Path):
    environment(folder, folder)
    (folder / ".venv" / "bin" / "python").unlink()
    (folder / ".venv" / "bin" / "python").symlink_to(folder / "gone")
    assert "it is made anew" in make(folder, "setup", python(folder, "")).stdout


def test_a_wrong_python_leaves_the_environment_that_is_there(folder: Path):
    environment(folder, folder.with_name("original"))
    make(folder, "setup", python(folder, "sys.version_info = (3, 14, 0)"))
    assert (folder / ".venv" / ".study").exists()


@pytest.mark.parametrize(
    ("scale", "installed"), [("laptop", False), ("libero-smoke", True), ("full", True), ("full-smoke", True)]
)
def test_scales_with_libero_install_it(folder: Path, scale: str, installed: bool):
    environment(folder, folder)
    (folder / ".venv" / ".libero").unlink()
    (folder / "workflow" / "config" / f"{scale}.yaml").touch()
    done = make(folder, "reproduce", f"SCALE={scale}", "--dry-run")
    assert ("envs/libero.lock" in done.stdout) == installed


def test_unlock_removes_the_lock_and_nothing_else(folder: Path):
    for name in ("locks/0.output.lock", "metadata/a"):
        (folder / ".snakemake" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / ".snakemake" / name).touch()
    assert make(folder, "unlock").returncode == 0
    assert [path.name for path in (folder / ".snakemake").iterdir()] == ["metadata"]


@pytest.fixture
def publishing(folder: Path) -> Path:
    """A checkout with a finished scale, as it was published, and the command that draws its picture."""
    environment(folder, folder)
    (folder / ".venv" / "bin" / "gipo").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m gipo "$@"\n')
    (folder / ".venv" / "bin" / "gipo").chmod(0o755)
    shutil.copytree(ROOT / "reports" / "laptop", folder / "results" / "laptop")
    (folder / "results" / "laptop" / "tracked.json").touch()
    return folder


def test_publish_copies_a_scale_with_its_manifests(publishing: Path):
    done = make(publishing, "publish")
    assert done.returncode == 0, done.stderr
    published = publishing / "reports" / "laptop"
    original = ROOT / "reports" / "laptop"
    added = {Path("picture.png"), Path("manifests/picture.json")}
    assert files(published) == files(original) | added
    study = StudyFolder(published)
    assert set(study.manifest_of("picture").inputs) == {"figures/iqm", "scorecard"}
    for path in (path.relative_to(published).as_posix() for path in published.rglob("*") if path.is_file()):
        if not path.startswith("manifests/"):
            study.read_bytes(path)


def files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def test_publish_of_a_scale_made_of_scales_copies_their_studies_too(publishing: Path):
    (publishing / "workflow" / "config" / "both.yaml").write_text("title: Both\nscales: [laptop]\n")
    StudyFolder(publishing / "results" / "both").write_stage("report", {"report.html": b"page"})
    done = make(publishing, "publish", "SCALE=both")
    assert done.returncode == 0, done.stderr
    assert files(publishing / "reports" / "both") == {Path("report.html"), Path("manifests/report.json")}
    assert (publishing / "reports" / "laptop" / "picture.png").exists()


def test_publish_of_what_has_no_report_is_one_line(publishing: Path):
    done = make(publishing, "publish", "SCALE=smoke")
    assert "error: results/smoke has no report: run make reproduce SCALE=smoke first\n" in done.stderr
    assert not (publishing / "reports").exists()


@pytest.mark.slow
def test_packages_go_into_the_environment_whatever_pip_was_told(folder: Path, tmp_path: Path):
    """With pip's own settings for other places in variables and in its file; an empty package is installed."""
    wheel = tmp_path / "two_lines-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        info = "two_lines-1.dist-info"
        file.writestr("two_lines.py", "")
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: two-lines\nVersion: 1\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    (tmp_path / "pip.conf").write_text(f"[install]\nuser = true\nprefix = {tmp_path}/elsewhere\n")
    for lock in (folder / "envs").glob("*.lock"):
        lock.write_text(lock.read_text() if lock.stem == "build" else "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (folder / "envs" / "report.lock").write_text(f"two-lines @ {wheel.as_uri()} --hash=sha256:{digest}\n")
    (folder / "src" / "gipo").mkdir(parents=True)
    for name in ("README.md", "LICENSE"):
        (folder / name).touch()
    elsewhere = {name: str(tmp_path / "elsewhere") for name in ("PIP_TARGET", "PIP_PREFIX", "PYTHONHOME", "PYTHONPATH")}
    done = make(
        *(folder, "setup", f"PYTHON={sys.executable}"),
        **elsewhere,
        PIP_USER="1",
        PIP_CONFIG_FILE=str(tmp_path / "pip.conf"),
    )
    assert done.returncode == 0, done.stderr
    command = [folder / ".venv" / "bin" / "python", "-c", "import two_lines; print(two_lines.__file__)"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert found.startswith(str(folder / ".venv"))
    assert subprocess.run([folder / ".venv" / "bin" / "gipo"], capture_output=True, text=True).returncode == 1
    assert not (tmp_path / "elsewhere").exists()
    (folder / "envs" / "report.lock").write_text(f"two-lines @ {wheel.as_uri()} --hash=sha256:{'0' * 64}\n")
    (folder / ".venv" / ".study").unlink()
    refused = make(folder, "setup", f"PYTHON={sys.executable}", **elsewhere)
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in refused.stderr
    (folder / "envs" / "report.lock").write_text(f"two-lines @ {wheel.as_uri()}\n")
    assert "Hashes are required" in make(folder, "setup", f"PYTHON={sys.executable}", **elsewhere).stderr
