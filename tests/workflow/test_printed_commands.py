"""Every command that is printed somewhere is tried: understood by its program, and planned or run where that is cheap.

A command of a program or subcommand that no table here names fails.
"""

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from snakemake.cli import get_argument_parser, parse_config

import printed
from checkout import ROOT, Checkout, copy_checkout
from gipo.cli import cli
from gipo.study import Study
from printed import Printed

RECIPES = "docs/own-method.md"
"""Its commands are run in their order by test_recipes.py."""
FILES = {RECIPES: "test_recipes.py", **dict.fromkeys(("docs/verl.md", "docs/rlinf.md"), "test_frameworks.py")}
"""Documents whose Python is not run as it stands, and the test that uses it."""

UNIQUE = list({command.text: command for command in printed.commands()}.values())
FILLED = {"{target}": "fig1", "scale={}": "scale=laptop", "watch {}": "watch laptop"}
"""What stands for a placeholder."""

RUN_HERE = ("--help", "figure", "scorecard", "train", "merge", "plan", "watch", "details", "metrics", "schema")
"""Subcommands of gipo that are run as they are printed."""
ONLY_UNDERSTOOD = {
    "doctor": "asks a SLURM; test_doctor.py runs it",
    "parity": "needs what the authors' code computed; test_openvla_parity.py runs it",
    "pretrained": "needs the hub; test_openvla_published.py runs it",
    "libero-assets": "fetches 100 MB; test_libero_assets.py runs it",
    "verify": "needs a study that ran; test_verify.py runs it",
    "evaluate": "needs a run; test_evaluate.py runs it",
    "report": "needs a study that is running; test_partial.py makes such a page",
    "compare": "needs a study that ran; test_comparison.py runs it",
    "arena": "trains; test_placed.py runs it",
    "guide": "needs a study that ran; test_guide.py makes the page",
    "answer": "needs a study that ran; test_answer.py runs it",
    "store": "needs a study that ran; test_smoke.py runs it",
    "follow": "goes on until a study ran; test_smoke.py runs it",
    "diagnose": "needs a batch; test_diagnose.py runs it",
    "rules": "needs a history of git; test_history.py runs it",
}
"""Subcommands of gipo whose arguments are checked, and why no more."""
ON_A_CLUSTER = {"squeue", "scancel"}
BY_HAND = {
    ". .venv/bin/activate": "make reproduce",
    "$EDITOR profiles/slurm/site.yaml": "make slurm",
}
"""Lines for the reader, and the target that makes the file they name."""


def filled(command: Printed) -> Printed:
    text = command.text
    for placeholder, value in FILLED.items():
        text = text.replace(placeholder, value)
    return Printed(text, command.place)


def understand(words: list[str]) -> None:
    """Fail unless the program takes these words."""
    assert words[0] in UNDERSTOOD, f"no test knows how to try a command of {words[0]!r}"
    UNDERSTOOD[words[0]](words)


def of_snakemake(words: list[str]) -> None:
    settings = get_argument_parser().parse_args(words[1:])
    if settings.config:
        assert set(parse_config(settings.config)) <= {"scale", "rehearse", "base", "torch"}


def of_gipo(words: list[str]) -> None:
    assert words[1] in (*RUN_HERE, *ONLY_UNDERSTOOD), f"no test knows how to try gipo {words[1]}"
    group = typer.main.get_command(cli)
    if words[1] == "--help":
        return
    command = group.commands[words[1]]  # type: ignore[attr-defined]
    if words[2:] not in ([], ["--help"]):
        command.make_context(words[1], words[2:])


def of_make(words: list[str]) -> None:
    done = subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def of_python(words: list[str]) -> None:
    if words[1] == "-m":
        place = ROOT / words[2].replace(".", "/") if words[2:] else ROOT
        assert not words[2:] or (place / "__main__.py").is_file() or importlib.util.find_spec(words[2])
        return
    assert (ROOT / words[1]).is_file()
    if words[1].startswith("benchmarks/"):
        assert all(word == "[out.csv]" or word.isupper() for word in words[2:])
        return
    done = subprocess.run([sys.executable, words[1], "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert all(option.strip("[]") in done.stdout for option in words if option.strip("[").startswith("--"))


def of_apptainer(words: list[str]) -> None:
    assert words[1] == "run"
    understand(["gipo", *words[3:]])


def of_tmux(words: list[str]) -> None:
    assert words[1:3] == ["new", "-s"]
    understand(words[4:])


def of_srun(words: list[str]) -> None:
    if words[1:]:
        understand(words[words.index("gipo") :])


def of_slurm(words: list[str]) -> None:
    assert words[1].startswith("--")


def of_pre_commit(words: list[str]) -> None:
    assert words[1:] == ["install"]
    done = subprocess.run([Path(sys.executable).parent / "pre-commit", "validate-config"], cwd=ROOT)
    assert done.returncode == 0


def of_pip(words: list[str]) -> None:
    """A package of this name, with extras that it has; test_library.py sees what is in it."""
    assert words[1] == "install"
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for package in words[2:]:
        found = re.fullmatch(r"(?:\.|gipo)(?:\[([\w,]+)\])?", package)
        assert found
        assert set((found[1] or "suite").split(",")) <= set(extras)


def of_cp(words: list[str]) -> None:
    assert (ROOT / words[1]).is_file()


UNDERSTOOD: dict[str, Callable[[list[str]], None]] = {
    "snakemake": of_snakemake,
    "gipo": of_gipo,
    "make": of_make,
    "python": of_python,
    "apptainer": of_apptainer,
    "tmux": of_tmux,
    "srun": of_srun,
    **dict.fromkeys(ON_A_CLUSTER, of_slurm),
    "pip": of_pip,
    "pre-commit": of_pre_commit,
    "cp": of_cp,
}


def test_commands_are_found_in_every_kind_of_place() -> None:
    places = {command.place for command in printed.commands()}
    assert places >= {
        *("README.md", "CONTRIBUTING.md", "docs/cluster.md", "reports/README.md", "Snakefile", "Makefile"),
        *("containers/build.py", "benchmarks/fixed_job.py", "src/gipo/cluster/doctor.py"),
        *("src/gipo/envs/libero_assets.py", "workflow/rules/images.smk", "profiles/slurm/site.example.yaml"),
        *("reports/laptop/report.html", "reports/metaworld-mini/report.html"),
    }


def test_a_command_in_prose_is_marked_as_one() -> None:
    assert printed.loose() == []


@pytest.mark.parametrize("command", UNIQUE, ids=[command.text for command in UNIQUE])
def test_a_printed_command_is_understood_by_its_program(command: Printed) -> None:
    if command.text in BY_HAND:
        of_make(BY_HAND[command.text].split())
        return
    understand(filled(command).words)


def test_a_block_of_code_is_of_a_language_that_a_test_takes_up() -> None:
    """Shell is understood and Python run here; what is neither is no program."""
    fences = {
        line for text in printed.documents().values() for line in text.splitlines() if re.match(r"\s*(```|~~~)", line)
    }
    assert fences == {"```", "```sh", "```python", "```yaml", "```text", "```diff"}


@pytest.mark.parametrize("place", sorted({block.place for block in printed.blocks() if block.language == "python"}))
def test_python_in_a_document_runs(place: str, tmp_path: Path) -> None:
    if place in FILES:
        pytest.skip(f"its code goes into files, by {FILES[place]}")
    for block in printed.blocks():
        if (block.language, block.place) == ("python", place):
            done = subprocess.run([sys.executable, "-c", block.text], cwd=tmp_path, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr


def planned() -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Printed Snakemake commands by all but their targets, which one dry-run can plan together."""
    targets: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for command in UNIQUE:
        words = filled(command).words
        if "snakemake" not in words or command.place == RECIPES:
            continue
        words = words[words.index("snakemake") + 1 :]
        try:
            settings = get_argument_parser().parse_args(words)
            parse_config(settings.config or [])
        except ValueError:
            continue  # the test above fails for it
        rest = tuple(word for word in words if word not in settings.targets and word not in ("-n", "--dry-run"))
        targets[rest] |= set(settings.targets)
    yield from ((settings, sorted(targets[settings])) for settings in sorted(targets))


@pytest.fixture(scope="module")
def prepared(checkout: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which `make slurm` was called."""
    copy = copy_checkout(checkout.root, tmp_path_factory.mktemp("printed") / "checkout")
    profile = copy.root / "profiles" / "slurm"
    shutil.copy2(profile / "site.example.yaml", profile / "site.yaml")
    if shutil.which("apptainer") is None:
        copy.edit("profiles/slurm/site.yaml", "containers: true", "containers: false")
    (copy.root / "slurm").symlink_to("profiles/slurm")
    (copy.root / "reports").symlink_to(ROOT / "reports")
    return copy


@pytest.mark.slow
@pytest.mark.parametrize(("settings", "targets"), planned(), ids=lambda value: " ".join(value))
def test_a_printed_snakemake_command_plans_its_targets(
    prepared: Checkout, settings: tuple[str, ...], targets: list[str]
) -> None:
    if "--sdm" in settings and shutil.which("apptainer") is None:
        pytest.skip("no apptainer on PATH")
    unlocks = "--unlock" in settings
    done = prepared.run("snakemake", *targets, *settings, *([] if unlocks else ["--dry-run"]))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


HERE = [filled(command) for command in UNIQUE if command.words[:1] == ["gipo"] and command.words[1] in RUN_HERE]
SAYS = ("--help", "plan", "watch")
"""Subcommands that write no file."""


@pytest.mark.slow
@pytest.mark.parametrize("command", HERE, ids=[command.text for command in HERE])
def test_a_printed_gipo_command_runs(prepared: Checkout, finished: Path, tmp_path: Path, command: Printed) -> None:
    laptop, smoke = (prepared.root / "workflow" / "config" / f"{scale}.yaml" for scale in ("laptop", "smoke"))
    copy = Checkout(prepared.root)
    words = [str(tmp_path / word[5:]) if word.startswith("/tmp/") else word for word in command.words]
    match words[1]:
        case "plan":
            if words[2:3] != ["--scale"] or words[3] not in ("full",):
                pytest.skip("one scale stands for all: measuring takes half a minute each")
        case "train":  # as printed, but at the smallest size
            words = [str(smoke) if word == laptop.relative_to(prepared.root).as_posix() else word for word in words]
        case "merge":
            words[2:] = [str(finished / "results"), str(tmp_path / "results")]
        case "details" | "metrics" | "schema":
            words[2] = str(tmp_path / Path(words[2]).name)
    done = copy.run(*words)
    assert done.returncode == 0, done.stderr
    assert done.stdout if words[1] in SAYS else list(tmp_path.iterdir())


def test_a_scale_that_is_printed_exists() -> None:
    scales = {path.stem for path in (ROOT / "workflow" / "config").glob("*.yaml")}
    texts = [command.text for command in UNIQUE if command.place != RECIPES]
    names = {name for text in texts for name in re.findall(r"(?:scale=|SCALE=|--scale )([a-z][\w-]*)", text)}
    assert names
    assert names <= scales


def test_labels_of_a_printed_run_are_those_of_its_scale() -> None:
    runs = [command.words for command in UNIQUE if command.words[:2] == ["gipo", "train"]]
    assert runs
    for words in runs:
        options = dict(zip(words[4::2], words[5::2], strict=True))
        labels = (options["--task"], options["--regime"], options["--method"], int(options["--seed"]))
        assert Study.load(ROOT / words[2]).run(*labels)


@pytest.mark.slow
def test_the_commands_of_a_new_page_are_understood(finished: Path) -> None:
    page = (finished / "results" / "smoke" / "report.html").read_text(encoding="utf-8")
    commands = list(printed.of_page(page, "page"))
    assert len(commands) > 5
    for command in commands:
        understand(command.words)


@pytest.mark.slow
def test_the_printed_benchmarks_can_start() -> None:
    scripts = sorted({c.words[1] for c in UNIQUE if c.words[1:2] and "benchmarks/" in c.words[1]})
    assert len(scripts) > 10
    code = "import runpy, sys\nsys.path.insert(0, 'benchmarks')\n"
    code += "\n".join(f"runpy.run_path({script!r}, run_name='imported')" for script in scripts)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
