"""The site file, what a run asks for, and what the profile makes of both."""

import os
from pathlib import Path

import pytest
import yaml
import yte

from checkout import ROOT
from gipo.cluster import requests
from gipo.cluster.site import SCALE_OF_SITE, Site
from gipo.errors import GipoError
from gipo.files import write_json
from gipo.plan import run_cost, save
from gipo.replay import Replay
from gipo.scale import config
from gipo.study import Study
from test_plan import rates_of

PROFILE = ROOT / "profiles" / "slurm"
STUDY = Study.load(config("paper"))
RUN = STUDY.runs()[0]


def test_the_example_is_a_site():
    site = Site.load(PROFILE / "site.example.yaml")
    assert (site.device, site.gres) == ("cuda", "gpu:h200:1")
    assert site.longest_run == 2880 // 2
    assert site.scale == "full"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cpu_partition: a\n", "train_partition is missing"),
        ("cpu_partition: a\ntrain_partition: b\npartition: c\n", "unknown key partition"),
        ("cpu_partition: a\ntrain_partition: b\njobs: 0\n", "jobs = 0: input should be greater than 0"),
        ("cpu_partition: a; rm\ntrain_partition: b\n", "cpu_partition = 'a; rm'"),
        ("a: [", "is not valid YAML"),
        (
            "cpu_partition: a\ntrain_partition: b\nscale: huge\n",
            "site.yaml: scale: unknown scale 'huge'; known: arena, ",
        ),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, message: str):
    (tmp_path / "site.yaml").write_text(text)
    with pytest.raises(GipoError, match=message):
        Site.load(tmp_path / "site.yaml")


def test_a_missing_file_names_the_remedy(tmp_path: Path):
    with pytest.raises(GipoError, match="`make slurm` writes one"):
        Site.load(tmp_path / "site.yaml")


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a plan of the paper's scale: a millisecond per env step, ten per update."""
    monkeypatch.chdir(tmp_path)
    save(requests.PLAN, STUDY, rates_of(STUDY, step=1e-3, update=1e-2))
    return tmp_path


def test_time_follows_the_prediction_with_headroom_and_grows(planned: Path):
    cost = run_cost(RUN, rates_of(STUDY, step=1e-3, update=1e-2))
    collecting = cost.env_steps * 1e-3 / 60
    learning = 100_000 * 1e-2 / 60
    for threads, alone in ((1, collecting + learning), (3, collecting / 2 + learning)):
        asked = requests.minutes(RUN, threads, 1, 10**6)
        assert asked == pytest.approx(10 + 2 * alone, abs=1)
        assert requests.minutes(RUN, threads, 3, 10**6) == 3 * asked
        assert requests.minutes(RUN, threads, 3, asked + 5) == asked + 5


@pytest.mark.parametrize(
    ("scale", "threads", "least", "most"),
    [
        ("smoke", 1, 10, 12),  # a second or two
        ("laptop", 1, 11, 20),  # 35 s of a core
        ("paper", 3, 600, 1500),  # 13 and 18 h by a plan, docs/cluster.md
        ("libero-smoke", 1, 10, 20),  # two minutes
        ("libero", 1, 2880, 6000),  # two days [P]
    ],
)
def test_a_run_without_a_plan_asks_for_what_its_size_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scale: str, threads: int, least: int, most: int
):
    monkeypatch.chdir(tmp_path)
    runs = Study.load(config(scale)).runs()
    for run in (runs[0], runs[-1]):
        assert least <= requests.minutes(run, threads) <= most
        assert requests.minutes(run, threads, longest=5) == 5


def test_plans_of_several_scales_add_up(planned: Path):
    laptop = Study.load(config("laptop"))
    save(requests.PLAN, laptop, rates_of(laptop, step=1e-3))
    run = laptop.runs()[0]
    assert requests.minutes(run, 1, 1, 10**6) < requests.minutes(RUN, 1, 1, 10**6)


def test_a_gpu_in_the_plan_replaces_the_cores_that_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    predicted = {"acting": 0.0, "learning": 60_000.0, "gpu_learning": 600.0}
    write_json(requests.PLAN, {"runs": {RUN.run_id: predicted}})
    assert requests.minutes(RUN, 1, 1, 10**6) == 10 + 2 * 600 / 60


def test_memory_holds_the_replay_five_times():
    replay = Replay(64 * 64, 64, observation_size=39, action_dimensions=4)
    stores = [*replay.segments.tensors().values(), replay.advantages, replay.targets, replay.versions]
    per_transition = sum(store.nbytes for store in stores) / (64 * 64)
    assert per_transition <= requests.TRANSITION_BYTES < 1.1 * per_transition
    alone = requests.memory_mb(RUN)
    assert alone == pytest.approx(requests.LEARNER_MB + 5 * 3.2 * requests.TRANSITION_BYTES, abs=1)
    assert requests.memory_mb(RUN, threads=3) == alone + 2 * requests.COLLECTOR_MB
    assert requests.memory_mb(RUN, gpus=1) > requests.GPU_PROCESS_MB + 2 * 3.2 * requests.TRANSITION_BYTES


def test_a_libero_run_asks_for_simulators_gpu_processes_and_frames():
    run = Study.load(config("libero")).runs()[0]
    simulators, processes = (10 + 4) * 1870, 8 * 3000
    frames = 64_000 * 224 * 224 * 3 / 1e6
    asked = requests.memory_mb(run, gpus=requests.gpus_of(run))
    assert 1.0 < asked / (simulators + processes + frames) < 1.2  # Ray and the supervisor beside


@pytest.mark.parametrize(("cores", "expected"), [(17, 4), (15, 2), (2, 1), (64, 4)])
def test_the_evaluator_plays_on_the_cores_that_nobody_else_needs(cores: int, expected: int):
    run = Study.load(config("libero")).runs()[0]
    assert requests.cores_of(run) == 17
    assert requests.evaluation_simulators(run, cores) == expected
    assert requests.evaluation_simulators(Study.load(config("libero-smoke")).runs()[0], cores) == 1


def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **changes: object) -> dict:
    """The profile as Snakemake reads it, with another site file."""
    site = yaml.safe_load((PROFILE / "site.example.yaml").read_text()) | changes
    (tmp_path / "profiles" / "slurm").mkdir(parents=True)
    (tmp_path / "profiles" / "slurm" / "site.yaml").write_text(yaml.safe_dump(site))
    monkeypatch.setattr("gipo.runs.provenance.CHECKOUT", tmp_path)
    for name in (SCALE_OF_SITE, "GIPO_RUNS_AT_ONCE"):  # the profile sets them for good
        monkeypatch.setenv(name, "")
    return yte.process_yaml((PROFILE / "profile.yaml").read_text(), require_use_yte=True)


def test_the_profile_says_what_the_site_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rendered = profile(tmp_path, monkeypatch, account="lab", retries=2)
    assert rendered["retries"] == 2
    assert os.environ[SCALE_OF_SITE] == "full"
    assert rendered["default-resources"]["slurm_account"] == "lab"
    assert rendered["set-resources"]["train"]["gres"] == "gpu:h200:1"
    assert rendered["set-resources"]["train"]["device"] == "cuda"
    assert rendered["group-components"]["train-{task}-{regime}"] == 8

    assert (rendered["software-deployment-method"], rendered["apptainer-args"]) == ("apptainer", "--nv")


def test_the_profile_names_no_account_gpu_and_images_where_there_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rendered = profile(tmp_path, monkeypatch, gres=None, device="cpu", containers=False)
    assert not {"software-deployment-method", "apptainer-args"} & set(rendered)
    assert "slurm_account" not in rendered["default-resources"]
    assert "gres" not in rendered["set-resources"]["train"]


def test_gpus_of_a_libero_run_are_of_one_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    libero = profile(tmp_path, monkeypatch, checkpoint_seconds=900)["set-resources"]["train_libero"]
    assert (libero["nodes"], libero["checkpoint_seconds"]) == (1, 900)


def test_every_rule_that_the_profile_names_exists():
    rendered = yaml.safe_load((PROFILE / "profile.yaml").read_text())
    rules = "\n".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    for rule in {*rendered["groups"], *rendered["set-threads"], *rendered["set-resources"]}:
        assert f"rule {rule}:" in rules


def test_the_default_profile_has_no_key_of_the_slurm_profile():
    """Its keys would replace them. Cores are only set where no profile is asked for."""
    default = yaml.safe_load((ROOT / "profiles" / "default" / "profile.yaml").read_text())
    slurm = yaml.safe_load((PROFILE / "profile.yaml").read_text())
    assert set(default) & set(slurm) == {"__use_yte__", "__definitions__"}
