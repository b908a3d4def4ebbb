"""A scale is a study or a list of studies: its runs, its figures and its folders, and mistakes in such a list."""

from pathlib import Path

import pytest
import yaml

from checkout import ROOT
from gipo import scale
from gipo.errors import GipoError
from gipo.scale import Scale

CONFIGS = ROOT / "workflow" / "config"
METHODS = {"gipo-1-1": {"name": "gipo", "parameters": {"sigma_pos": 1.0, "sigma_neg": 1.0}}}
ONE = {"title": "One", "tasks": ["push-v3"], "regimes": {"stale": 0.8}, "methods": METHODS, "seeds": [0, 1]}
OTHER = ONE | {"title": "Other", "seeds": [1, 2], "learner": {"updates": 70_000}}
SHORT = ("push-v3", "stale", "gipo-1-1")


def write(folder: Path, **contents: object) -> Path:
    """Write scale configs; the last one's path."""
    for name, content in contents.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return folder / f"{list(contents)[-1]}.yaml"


@pytest.fixture
def both(tmp_path: Path) -> Scale:
    """Two studies with different runs of one name: seed 1."""
    return Scale.load(write(tmp_path, one=ONE, other=OTHER, both={"title": "Both", "scales": ["one", "other"]}))


def test_a_study_is_a_scale_of_one_part():
    smoke = Scale.load(CONFIGS / "smoke.yaml")
    assert list(smoke.parts) == ["smoke"]
    assert smoke.title.startswith("Smoke test")
    assert not smoke.is_composed
    assert smoke.folders(Path("anywhere/at-all")) == {"smoke": Path("anywhere/at-all")}


def test_the_full_reproduction_is_both_studies_of_the_paper():
    full = Scale.load(CONFIGS / "full.yaml")
    assert {name: study.suite for name, study in full.parts.items()} == {"paper": "metaworld", "libero": "libero"}
    assert len(full.runs) == 8 * 2 * 10 * 5 + 8 * 4 * 5 + 6 * 4 * 5 + 4 * 2 * 3 * 3
    assert full.folders(Path("results/full")) == {"paper": Path("results/paper"), "libero": Path("results/libero")}


def test_pilots_of_the_released_scale_are_its_runs_with_another_seed_and_half_as_long():
    released, pilot = (Scale.load(CONFIGS / f"{name}.yaml").parts[name] for name in ("released", "released-pilot"))
    study = {(run.task, run.method): run for run in released.runs()}
    assert pilot.tasks == released.tasks
    for run in pilot.runs():
        assert run.seed not in released.seeds
        whole = study[run.task, run.method]
        assert run.replay.capacity == whole.replay.capacity
        assert 2 * (run.learner.updates + 100) == whole.learner.updates + 100  # the first iteration only collects
        same = {name: getattr(whole, name) for name in ("seed", "evaluation", "replay")}
        learner = run.learner.model_copy(update={"updates": whole.learner.updates})
        assert run.model_copy(update=same | {"learner": learner}) == whole


def test_what_runs_first_of_the_released_scale_are_runs_of_it():
    released, first = (Scale.load(CONFIGS / f"{name}.yaml") for name in ("released", "released-first"))
    assert first.runs.items() <= released.runs.items()


def test_figures_of_no_runs_are_there_once_and_the_scorecard_is_of_the_whole():
    figures = Scale.load(CONFIGS / "full-smoke.yaml").figures()
    assert list(figures) == ["smoke", "libero-smoke", "full-smoke"]
    assert {"fig1", "fig4", "fig2", "iqm"} <= set(figures["smoke"])
    assert set(figures["libero-smoke"]) == {"fig3", "success", "fig5", "iqm", "effects"}
    assert figures["full-smoke"] == ["scorecard"]
    assert "scorecard" in Scale.load(CONFIGS / "smoke.yaml").figures()["smoke"]


def test_a_run_that_parts_share_counts_once(both: Scale, tmp_path: Path):
    assert len(both.runs) == 4
    same = write(tmp_path, like=ONE | {"seeds": [1, 2]}, shared={"title": "Shared", "scales": ["one", "like"]})
    assert len(Scale.load(same).runs) == 3


def test_runs_of_one_name_in_two_parts_are_told_apart_by_their_digest(both: Scale):
    assert both.run(*SHORT, seed=0).learner.updates == 100_000
    assert both.run(*SHORT, seed=2).learner.updates == 70_000
    for study in both.parts.values():
        [run] = [run for run in study.all_runs() if run.seed == 1]
        assert both.run(*SHORT, seed=1, digest=run.run_id[-8:]) == run
    words = r"run push-v3/stale/gipo-1-1/seed1: several parts have one; choose by --digest: \w{8}, \w{8}"
    with pytest.raises(GipoError, match=words):
        both.run(*SHORT, seed=1)


def test_the_published_success_of_a_run_is_that_of_its_task_in_its_part(tmp_path: Path):
    path = CONFIGS / "libero-smoke.yaml"
    task = "libero_spatial_0"
    known = yaml.safe_load(path.read_text()) | {"published_success": {task: 0.5}}
    both = write(tmp_path, one=ONE, known=known, both={"title": "Both", "scales": ["one", "known"]})
    assert [Scale.load(both).published_success(run) for run in Scale.load(both).runs.values()] == [None, None, 0.5, 0.5]
    smoke = Scale.load(path)
    assert {smoke.published_success(run) for run in smoke.runs.values()} == {None}


def test_a_run_that_changed_since_is_refused(both: Scale):
    with pytest.raises(GipoError, match=r"seed0: its digest is \w{8} and not 12345678; the config has changed"):
        both.run(*SHORT, seed=0, digest="12345678")
    with pytest.raises(GipoError, match=r"reference policies of push-v3: its digest is \w{8} and not 12345678"):
        both.baseline("push-v3", "12345678")


def test_a_run_that_no_part_has_is_named(both: Scale, tmp_path: Path):
    with pytest.raises(GipoError, match="no run of push-v3, stale, gipo-1-1 and seed 9 in scale both"):
        both.run(*SHORT, seed=9)
    with pytest.raises(GipoError, match="no seed 9 in this study; it has: 0, 1"):
        Scale.load(tmp_path / "one.yaml").run(*SHORT, seed=9)
    with pytest.raises(GipoError, match="no task 'reach-v3' with reference policies in scale both"):
        both.baseline("reach-v3")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"title": "T", "scales": ["one", "huge"]}, "unknown scale 'huge'; known: both, one, whole"),
        ({"title": "T", "scales": ["one", "one"]}, "scales names 'one' twice"),
        ({"title": "T", "scales": ["both"]}, "scale 'both' is made of scales itself; name its parts instead"),
        ({"title": "T", "scales": ["whole"]}, "scale 'whole' is made of scales itself"),
        ({"title": "T", "scales": []}, "scales = "),
        ({"scales": ["one"]}, "title is missing"),
        ({"title": "T", "scales": ["one"], "seeds": [0]}, "unknown key seeds"),
        ({"title": "T", "scales": ["../one"]}, "scales.0 = '../one'"),
    ],
)
def test_a_mistake_in_a_list_of_scales_is_one_line(tmp_path: Path, content: object, words: str):
    path = write(tmp_path, one=ONE, both={"title": "Both", "scales": ["one"]}, whole=content)
    with pytest.raises(GipoError, match=words) as error:
        Scale.load(path)
    assert "\n" not in str(error.value)


def test_a_mistake_in_a_part_names_the_file_of_the_part(tmp_path: Path):
    path = write(tmp_path, one=ONE | {"seedz": []}, whole={"title": "T", "scales": ["one"]})
    with pytest.raises(GipoError, match=r"one\.yaml: unknown key seedz"):
        Scale.load(path)


def test_scales_that_have_a_figure_are_found_and_broken_ones_passed_over(tmp_path: Path):
    assert scale.with_figure("lagsweep") == ["arena-pilot", "metaworld-mini", "paper", "smoke"]
    assert scale.with_figure("fig3") == ["libero", "libero-smoke"]
    write(tmp_path, broken={"title": 3}, one=ONE)
    assert scale.with_figure("fig2", tmp_path) == ["one"]


def test_an_unknown_scale_is_named_with_those_that_there_are(tmp_path: Path):
    with pytest.raises(GipoError, match="unknown scale 'huge'; known: arena, arena-knobs, arena-pace, "):
        scale.config("huge")
    with pytest.raises(GipoError, match="does not run from a checkout"):
        scale.config("smoke", tmp_path)
