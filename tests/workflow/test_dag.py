"""What each scale and each target would run, and that a mistake in the input ends it before the first job."""

import re
from pathlib import Path

import pytest

from checkout import ROOT, Checkout, read_plan
from gipo import objectives
from gipo.figures import of_study
from gipo.scale import Scale, configs

pytestmark = pytest.mark.slow

FOUR = ("sigma", "ranking", "vtrace", "lag")
"""Sweeps of the studies of the paper."""
SCALES = ", ".join(sorted(path.stem for path in (ROOT / "workflow" / "config").glob("*.yaml")))
ONCE = dict.fromkeys(("gridworld", "weights", "store", "track", "claims", "report", "all"), 1)
FILMS = {"videos": 1}
"""Of MetaWorld."""


RUNS_OF = {
    # 800 of the main grid hold the ranking and sigma sweeps; V-trace on 8 tasks and the lag sweep come on top
    "paper": 8 * 2 * 10 * 5 + 8 * 4 * 5 + 6 * 4 * 5,
    "workstation": 8 * 2 * 4 * 3,
    "released": 10 * 1 * 8 * 5,
    "released-first": 3 * 1 * 3 * 5,
    "released-pilot": 10 * 1 * 2 * 1,
    # six more sigmas: stale on 3 tasks with 3 seeds, fresh on one with 2; V-trace; the lag sweep
    "metaworld-mini": 3 * 2 * 4 * 5 + 6 * 3 * 3 + 6 * 2 + 4 * 3 + 5 * 4 * 2,
    "metaworld-mini-pilot": 8 * 2 * 2 * 1,
    "arena": 5 * 13 * 5,
    "arena-knobs": (1 + 11 * 3) * 5,
    "arena-pace": 3 * 3 * 4 * 5,
    "arena-pilot": 2 * 2 * 2,
    "imagination": 6 * 3 * 5,
    "laptop": 2 * 2 * 3 * 2,
    "smoke": 1 * 2 * 2 * 2 + 1 + 2 + 4,
    "libero": 4 * 2 * 3 * 3,
    "libero-smoke": 2,
    "full": 8 * 2 * 10 * 5 + 8 * 4 * 5 + 6 * 4 * 5 + 4 * 2 * 3 * 3,
    "full-smoke": 15 + 2,
}


def test_a_scale_has_as_many_runs_as_its_grids():
    assert {name: len(Scale.load(path).runs) for name, path in configs().items()} == RUNS_OF


@pytest.mark.parametrize(
    ("scale", "baseline", "sweeps"),
    [("paper", 8, FOUR), ("released-first", 3, ()), ("imagination", 1, ()), ("smoke", 1, (*FOUR, "arena"))],
)
def test_a_scale_runs_its_grids_and_everything_else_once(
    checkout: Checkout, tmp_path: Path, scale: str, baseline: int, sweeps: tuple[str, ...]
):
    plan = checkout.plan(tmp_path, scale=scale)
    own = {"branches": 1} if scale == "imagination" else {}
    figures = set(of_study("metaworld", sweeps, imagines=bool(own)))
    counts = {"train": RUNS_OF[scale], "baseline": baseline, "tables": 1 + len(sweeps), "figure": len(figures)}
    assert plan.jobs == ONCE | FILMS | counts | own
    assert plan.figures == figures


@pytest.mark.parametrize(("scale", "train", "models"), [("libero", 4 * 2 * 3 * 3, 4), ("libero-smoke", 2, 1)])
def test_a_libero_scale_needs_models_and_assets_and_no_baseline(
    checkout: Checkout, tmp_path: Path, scale: str, train: int, models: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("GIPO_LIBERO_ASSETS", raising=False)
    plan = checkout.plan(tmp_path, scale=scale)
    figures = {"fig1", "fig3", "success", "fig4", "field", "fig5", "iqm", "effects", "scorecard"}
    needed = {"pretrained": models, "libero_assets": 1}
    assert plan.jobs == ONCE | needed | {"train_libero": train, "tables": 1, "figure": len(figures)}
    assert plan.figures == figures


TWICE = dict.fromkeys(("gridworld", "weights", "claims"), 2) | {"join_scorecards": 1}


@pytest.mark.parametrize(
    ("scale", "metaworld", "libero", "baseline", "pretrained", "sweeps"),
    [
        # the 800 runs of the main grid and the sweeps beyond it; four suites, two regimes, three methods, three seeds
        ("full", 8 * 2 * 10 * 5 + 8 * 4 * 5 + 6 * 4 * 5, 4 * 2 * 3 * 3, 8, 4, FOUR),
        ("full-smoke", 15, 2, 1, 1, (*FOUR, "arena")),
    ],
)
def test_a_scale_made_of_scales_runs_all_that_they_run_to_one_report(
    checkout: Checkout,
    tmp_path: Path,
    scale: str,
    metaworld: int,
    libero: int,
    baseline: int,
    pretrained: int,
    sweeps: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.delenv("GIPO_LIBERO_ASSETS", raising=False)
    plan = checkout.plan(tmp_path, scale=scale)
    of_metaworld, of_libero = of_study("metaworld", sweeps), of_study("libero", ())
    figures = len(of_metaworld) + len(of_libero) - len(("fig1", "fig4", "field", "scorecard"))
    training = {"train": metaworld, "train_libero": libero, "baseline": baseline}
    needed = {"pretrained": pretrained, "libero_assets": 1}
    assert plan.jobs == ONCE | FILMS | TWICE | training | needed | {"tables": 1 + len(sweeps) + 1, "figure": figures}
    assert plan.figures == {*of_metaworld, *of_libero}


def test_the_profile_runs_the_scale_of_the_site(edited: Checkout, monkeypatch: pytest.MonkeyPatch):
    """As it is typed after `make slurm`, with the example as site file but for its images; others by ``--config``."""
    pytest.importorskip("snakemake_executor_plugin_slurm")
    monkeypatch.setenv("GIPO_LIBERO_ASSETS", str(edited.root))
    profile = edited.root / "profiles" / "slurm"
    example = (profile / "site.example.yaml").read_text()
    (profile / "site.yaml").write_text(example.replace("containers: true", "containers: false"))
    (edited.root / "slurm").symlink_to("profiles/slurm")
    done = edited.run("snakemake", "--profile", "slurm", "-n")
    assert done.returncode == 0, done.stderr
    jobs = read_plan(done.stdout).jobs
    assert (jobs["train"], jobs["train_libero"], jobs["report"]) == (1080, 72, 1)
    other = edited.run("snakemake", "--profile", "slurm", "-n", "--config", "scale=smoke")
    assert read_plan(other.stdout).jobs["train"] == 15


def test_a_site_that_names_no_scale_of_the_checkout_is_one_line(edited: Checkout):
    pytest.importorskip("snakemake_executor_plugin_slurm")
    site = "scale: huge\ncpu_partition: main\ntrain_partition: gpu\n"
    (edited.root / "profiles" / "slurm" / "site.yaml").write_text(site)
    (edited.root / "slurm").symlink_to("profiles/slurm")
    done = edited.run("snakemake", "--profile", "slurm", "-n")
    assert done.returncode == 2
    assert f"site.yaml: scale: unknown scale 'huge'; known: {SCALES}" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(("target", "figures"), [("fig3", 1), ("fig1", 1), ("iqm", 2)])
def test_a_named_target_is_of_every_part_that_has_it(checkout: Checkout, tmp_path: Path, target: str, figures: int):
    plan = checkout.plan(tmp_path, target, scale="full-smoke")
    assert plan.jobs["figure"] == figures
    assert plan.figures == {target}


def test_a_rehearsal_has_the_jobs_of_its_scale_in_a_folder_of_its_own(checkout: Checkout, tmp_path: Path):
    plan = checkout.plan(tmp_path, scale="paper", rehearse="true")
    assert (plan.jobs["train"], plan.jobs["tables"], plan.jobs["report"]) == (1080, 5, 1)
    assert (tmp_path / "rehearsal" / "scales" / "paper.yaml").exists()
    assert [path.name for path in (tmp_path / "results").iterdir() if path.name == "runs"] == []


def test_a_part_shares_everything_with_the_scale_that_is_itself(checkout: Checkout, tmp_path: Path):
    done = checkout.snakemake(tmp_path, "--dry-run", "fig2", scale="full-smoke")
    assert "results/smoke/figures/fig2.svg" in done.stdout
    assert "results/full-smoke" not in done.stdout


def test_figure_3_plans_the_runs_and_what_they_need(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GIPO_LIBERO_ASSETS", str(tmp_path / "elsewhere"))
    model = tmp_path / "results" / "pretrained" / "tiny-random" / "seed-0" / "SHA256SUMS"
    model.parent.mkdir(parents=True)
    model.touch()
    plan = checkout.plan(tmp_path, "fig3", scale="libero-smoke")
    assert plan.jobs == {"train_libero": 2, "tables": 1, "figure": 1, "fig3": 1}


@pytest.mark.parametrize(("gpus", "learners"), [("0,1,2,3,4,5,6,7", 6), ("0", 1)])
def test_a_run_has_no_more_gpus_than_there_are_and_two_are_not_the_learners(
    checkout: Checkout, tmp_path: Path, gpus: str, learners: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    tables = "results/libero/tables/runs.parquet"
    done = checkout.snakemake(tmp_path, tables, "--dry-run", "--printshellcmds", scale="libero")
    assert done.stdout.count(f"--device cuda --learners {learners} ") == 4 * 2 * 3 * 3


@pytest.mark.parametrize(("scale", "settings"), [("libero", []), ("smoke", ["--set-resources", "train:device=cuda"])])
def test_a_run_that_needs_a_gpu_ends_at_once_where_there_is_none(
    checkout: Checkout, tmp_path: Path, scale: str, settings: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = checkout.snakemake(tmp_path, f"results/{scale}/tables/runs.parquet", *settings, scale=scale)
    assert done.returncode == 1
    assert len([line for line in done.stderr.splitlines() if "needs a GPU, and this machine has none" in line]) == 1
    assert not (tmp_path / "results" / "runs").exists()


@pytest.mark.parametrize(
    ("scale", "target", "words"),
    [
        (
            "libero",
            "fig2",
            "scale 'libero' has no runs that fig2 shows; scales that have: arena, arena-knobs, arena-pace, "
            "arena-pilot, imagination, laptop, metaworld-mini, metaworld-mini-pilot, paper, released, released-first, "
            "released-pilot, smoke, workstation "
            "(snakemake fig2 --config scale=...)",
        ),
        ("smoke", "fig3", "scale 'smoke' has no runs that fig3 shows; scales that have: libero, libero-smoke "),
        ("laptop", "lagsweep", "scale 'laptop' has no runs that lagsweep shows; scales that have: arena-pilot, "),
    ],
)
def test_a_figure_that_a_scale_lacks_names_those_that_have_it(
    checkout: Checkout, tmp_path: Path, scale: str, target: str, words: str
):
    done = checkout.snakemake(tmp_path, "--dry-run", target, scale=scale)
    assert done.returncode == 1
    assert words in done.stdout + done.stderr


def test_laptop_is_the_default(checkout: Checkout, tmp_path: Path):
    done = checkout.run("snakemake", "--dry-run", "--directory", str(tmp_path))
    assert "results/laptop/report.html" in done.stdout


RUNS = {"train": 8, "baseline": 1, "tables": 1}


@pytest.mark.parametrize(
    ("target", "needs"),
    [
        ("fig1", {"weights": 1}),
        ("fig2", RUNS),
        ("fig9", {"train": 3, "baseline": 1, "tables": 1}),
        ("scorecard", {"train": 15, "baseline": 1, "tables": 6, "weights": 1, "gridworld": 1, "claims": 1}),
    ],
)
def test_a_named_target_plans_only_what_it_needs(
    checkout: Checkout, tmp_path: Path, target: str, needs: dict[str, int]
):
    plan = checkout.plan(tmp_path, target)
    assert plan.jobs == needs | {"figure": 1, target: 1}
    assert plan.figures == {target}


def test_results_of_another_scale_are_refused(checkout: Checkout, tmp_path: Path):
    done = checkout.snakemake(tmp_path, "--dry-run", "results/paper/weights.csv", scale="smoke")
    assert done.returncode == 1
    assert "No rule to produce results/paper/weights.csv" in done.stdout


def _assert_one_clear_line(checkout: Checkout, directory: Path, setting: str, line: str) -> None:
    """A run (not a dry-run) with ``--config setting`` fails with `line`, alone, and leaves nothing behind."""
    done = checkout.run("snakemake", "--cores", "1", "--directory", str(directory), "--config", setting)
    assert done.returncode == 1
    profile, head, message, place = done.stderr.splitlines()
    assert profile.startswith("Using workflow specific profile profiles/default")
    assert re.fullmatch(line, message)
    assert head.startswith("WorkflowError in file ")
    assert place.startswith("  File ")
    assert "Job stats" not in done.stdout
    assert not (directory / "results").exists()


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("sclae=smoke", "unknown config key 'sclae'; known: scale, rehearse, and for images base and torch"),
        ("scale=huge", f"unknown scale 'huge'; known: {SCALES}"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(checkout: Checkout, tmp_path: Path, setting: str, line: str):
    _assert_one_clear_line(checkout, tmp_path, setting, re.escape(line))


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("batch_size: 64", "bach_size: 64", "unknown key learner.bach_size"),
        ("[door-open-v3]", "[door-opn-v3]", "unknown task 'door-opn-v3'; did you mean 'door-open-v3'?"),
        (
            "{name: ppo_clip,",
            "{name: popo_clip,",
            f"methods.ppo-clip: unknown objective 'popo_clip'; known: {', '.join(objectives.names())}",
        ),
    ],
    ids=["key", "task", "method"],
)
def test_a_mistake_in_a_scale_is_one_line(edited: Checkout, tmp_path: Path, old: str, new: str, line: str):
    edited.edit("workflow/config/smoke.yaml", old, new)
    path = edited.root / "workflow" / "config" / "smoke.yaml"
    _assert_one_clear_line(edited, tmp_path / "work", "scale=smoke", re.escape(f"{path}: {line}"))


ACCEPTED_LINTS = {
    # Images are built outside of any image.
    "Specify a conda environment or container for each rule.",
    # Short jobs say nothing unless they fail, and then on the terminal; training has the log of its run.
    "No log directive defined",
    # As an input its date, as a parameter its place would make every run stale; its content is in the runs' paths.
    "Shell command directly uses variable CONFIG from outside of the rule",
    "Shell command directly uses variable CONFIGS from outside of the rule",
    # It is put together from what there is, and need not be set.
    "Environment variable PATH used but not asserted with envvars directive",
    # Where images are fetched from is no property of theirs; what they are made of is in their names.
    "Shell command directly uses variable BUILD from outside of the rule",
}


def test_snakemake_lint_finds_only_what_is_accepted(checkout: Checkout):
    done = checkout.run("snakemake", "--lint")
    titles = {title.partition(" in line ")[0] for title in re.findall(r"^    \* (.+):$", done.stderr, re.MULTILINE)}
    assert titles == ACCEPTED_LINTS


def test_snakefmt_is_clean(checkout: Checkout):
    done = checkout.run("snakefmt", "--check", "Snakefile", "workflow")
    assert done.returncode == 0, done.stderr
