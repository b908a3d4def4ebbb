"""Images built from nothing, and every rule of a small study run in them: the same numbers, by the checkout's code."""

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest
import torch
import yaml

from checkout import ROOT, Checkout, beside, copy_checkout, snakemake_logs
from gipo.figures import of_study

pytestmark = pytest.mark.slow

IN_IMAGES = ("--sdm", "apptainer")
FIGURES = of_study("metaworld", ())
TRAINING = {"train": 4, "baseline": 1}
REPORTING = {"tables": 1, "figure": len(FIGURES)} | dict.fromkeys(
    ("gridworld", "weights", "store", "track", "claims", "videos", "report", "all"), 1
)
ON_RUNS = TRAINING | {name: count for name, count in REPORTING.items() if name not in ("gridworld", "weights", "store")}
ON_RUNS["figure"] -= 3  # fig1, fig4 and field
STORED_ANEW = {name: count for name, count in REPORTING.items() if name != "track"}  # store puts every run in itself


def image(directory: Path, name: str) -> Path:
    (found,) = (directory / "results" / "images").glob(f"{name}-*.sif")
    return found


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    """Config keys with which images can be built here; without apptainer and means to install it, a skip."""
    installer = beside("shared/tools/install-apptainer")
    if installer is None or os.geteuid() != 0:
        if shutil.which("apptainer") is None:
            pytest.skip("no apptainer on PATH, and no ../shared/tools/install-apptainer that root could run")
        return {}
    subprocess.run([installer], check=True)
    mirror = subprocess.run([installer, "mirror"], check=True, capture_output=True, text=True).stdout.strip()
    return {"base": mirror, "torch": "pypi"}  # a machine without a registry has torch in pip's own places


@pytest.fixture(scope="module")
def small(checkout: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A copy of the checkout whose smoke scale has one seed and no sweep; not to be edited."""
    copy = copy_checkout(checkout.root, tmp_path_factory.mktemp("small") / "checkout")
    path = copy.root / "workflow" / "config" / "smoke.yaml"
    content = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({key: value for key, value in content.items() if key != "sweeps"} | {"seeds": [0]}))
    return copy


@pytest.fixture(scope="module")
def contained(small: Checkout, tmp_path_factory: pytest.TempPathFactory, sources: dict[str, str]) -> Path:
    """Working directory in which that scale ran in images, built from nothing; not to be changed."""
    directory = tmp_path_factory.mktemp("contained")
    with pytest.MonkeyPatch.context() as machine:
        machine.setenv("APPTAINERENV_MUJOCO_GL", "none at all")  # or videos take minutes; the image draws below
        done = small.snakemake(directory, *IN_IMAGES, **sources)
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture
def edited(small: Checkout, tmp_path: Path) -> Checkout:
    """A copy of the checkout with that scale, to be edited by one test."""
    return copy_checkout(small.root, tmp_path / "edited")


@pytest.fixture
def without_images(contained: Path, tmp_path: Path) -> Path:
    """The working directory of `contained` after its images were deleted, to be changed by one test."""
    return shutil.copytree(contained, tmp_path / "without", ignore=shutil.ignore_patterns("images"))


@pytest.fixture
def again(contained: Path, without_images: Path) -> Path:
    """The same with its images."""
    (without_images / "results" / "images").symlink_to(contained / "results" / "images")
    return without_images


def test_results_are_those_of_the_machine_bit_for_bit(finished: Path, contained: Path):
    compared: Counter[str] = Counter()
    for path in (
        path for folder in ("runs", "baselines", "smoke") for path in (contained / "results" / folder).rglob("*")
    ):
        name = path.relative_to(contained)
        is_of_all_runs = "tables" in name.parts or "figures" in name.parts or path.name == "scorecard.csv"
        if path.suffix in {".parquet", ".csv", ".pt"} and path.parent.name != "kept" and not is_of_all_runs:
            assert (finished / name).read_bytes() == path.read_bytes(), name
            compared[path.suffix] += 1
    gridworld, weights = 7, 1
    assert compared == {".parquet": 4 * 2 + 1, ".csv": gridworld + weights, ".pt": 4}


def test_every_job_ran_in_the_image_of_its_rule(contained: Path):
    log = "\n".join(snakemake_logs(contained))
    used = Counter(re.findall(r"^Activating singularity image results/images/(\w+)-\w+\.sif$", log, re.M))
    assert used == {"metaworld": sum(TRAINING.values()) + 1, "report": sum(REPORTING.values()) - 2}


def test_nothing_is_left_over(contained: Path):
    """The working directory is the home in an image."""
    assert {path.name for path in contained.iterdir()} == {"results", ".snakemake"}


@pytest.mark.parametrize("name", ["metaworld", "report"])
def test_an_image_names_its_commit_and_lock_and_torch(contained: Path, sources: dict[str, str], name: str):
    command = ["apptainer", "inspect", "--json", "--labels", str(image(contained, name))]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    labels = json.loads(found)["data"]["attributes"]["labels"]
    assert labels["org.opencontainers.image.revision"]
    assert labels["gipo.lock.sha256"] == sha256((ROOT / "envs" / f"{name}.lock").read_bytes()).hexdigest()
    assert labels["gipo.torch"].startswith("2.13.0")
    if sources.get("torch") == "pypi":  # from where pip looks by itself, as for this environment
        assert labels["gipo.torch"] == torch.__version__


def test_an_image_is_the_command_line(contained: Path, tmp_path: Path):
    """With the package that it holds: nothing of the checkout is seen from inside."""
    command = ["apptainer", "run", "--containall", "--bind", f"{tmp_path}:/out", str(image(contained, "report"))]
    subprocess.run([*command, "weights", "/out"], check=True)
    weights = contained / "results" / "smoke" / "weights.csv"
    assert (tmp_path / "weights.csv").read_bytes() == weights.read_bytes()


def test_how_the_machine_draws_stays_outside(contained: Path):
    """``MUJOCO_GL`` is set wherever simulators are used; apptainer's own form of it chooses how the image draws."""
    command = ["apptainer", "exec", str(image(contained, "metaworld")), "python", "-c"]
    subprocess.run([*command, "import mujoco"], check=True, env=os.environ | {"MUJOCO_GL": "egl"})
    draw = "import mujoco; context = mujoco.GLContext(64, 64); context.make_current()"
    subprocess.run([*command, draw], check=True, env=os.environ | {"APPTAINERENV_MUJOCO_GL": "osmesa"})


def test_a_second_call_runs_nothing(small: Checkout, again: Path, sources: dict[str, str]):
    assert small.plan(again, *IN_IMAGES, **sources).jobs == {}


def test_jobs_run_the_code_of_the_checkout(edited: Checkout, again: Path, sources: dict[str, str]):
    edited.edit("src/gipo/trust_weights.py", "trust_weights(), 10)", "trust_weights(), 3)")
    (again / "results" / "smoke" / "weights.csv").unlink()
    done = edited.snakemake(again, "results/smoke/weights.csv", *IN_IMAGES, **sources)
    assert done.returncode == 0, done.stderr
    assert "rule image:" not in snakemake_logs(again)[-1]
    numbers = (again / "results" / "smoke" / "weights.csv").read_text()
    assert max(len(digits) for digits in re.findall(r"\.(\d+)", numbers)) <= 6


@pytest.mark.parametrize(
    ("file", "jobs"),
    [
        ("envs/report.lock", STORED_ANEW),
        ("containers/report.def", STORED_ANEW),
        ("envs/metaworld.lock", ON_RUNS),
        ("containers/base.def", TRAINING | REPORTING),
        ("envs/dev.lock", {}),
        ("src/gipo/__main__.py", {}),
    ],
)
def test_a_change_makes_stale_what_rests_on_it(
    edited: Checkout, again: Path, sources: dict[str, str], file: str, jobs: dict[str, int]
):
    with (edited.root / file).open("a") as stream:
        stream.write("# a change\n")
    assert edited.plan(again, *IN_IMAGES, **sources).jobs == jobs


def test_deleted_images_make_nothing_stale(edited: Checkout, without_images: Path, sources: dict[str, str]):
    assert edited.plan(without_images, *IN_IMAGES, **sources).jobs == {}
    edited.edit("workflow/config/smoke.yaml", "seeds:\n- 0\n", "seeds: [0, 1]\n")
    assert edited.plan(without_images, *IN_IMAGES, **sources).jobs["train"] == 4


def test_images_are_a_target_of_their_own(checkout: Checkout, tmp_path: Path):
    assert checkout.plan(tmp_path, "images").jobs == {"image": 4, "images": 1}
