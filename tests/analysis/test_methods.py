"""Methods are their objective, parameters and learner; labels are the user's words."""

import itertools
import json
from pathlib import Path

import pandas as pd
import pytest

from factories import make_spec, write_baseline, write_run
from gipo.analysis import methods
from gipo.analysis.collect import Tables, collect
from gipo.errors import GipoError
from gipo.stages import StudyFolder


def runs(**specs: dict) -> pd.DataFrame:
    """Table of runs, one of each label; `specs` are the objectives and what the learner does otherwise."""
    rows = []
    for label, spec in specs.items():
        full = make_spec("door-open-v3", "stale", "sapo", 0).model_dump(mode="json")
        full["objective"] = {"name": spec["name"], "parameters": spec.get("parameters", {})}
        full["learner"] |= spec.get("learner", {})
        rows.append({"method": label, "spec": json.dumps(full)})
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("objective", "parameters", "identity"),
    [
        ("ppo_clip", {}, "ppo-clip"),
        ("ppo_clip", {"eps": 0.2}, "ppo-clip"),
        ("ppo_clip", {"eps": 0.1}, "ppo-clip[eps=0.1]"),
        ("gipo", {}, "gipo-1-0.5"),  # the released code's sigmas
        ("gipo", {"sigma_pos": 0.5, "sigma_neg": 0.5, "kernel": "gaussian"}, "gipo-0.5-0.5"),
        ("gipo", {"sigma_pos": 1, "sigma_neg": 1.0, "kernel": "cauchy"}, "gipo-1-1[kernel=cauchy]"),
        ("mine.module:mine", {"b": 2.0, "a": "x, y=1"}, 'mine.module:mine[a="x, y=1", b=2]'),
    ],
)
def test_an_id_says_what_is_not_the_default_and_always_the_sigmas(objective: str, parameters: dict, identity: str):
    assert methods.identify(objective, parameters) == identity
    assert methods.read(identity).id == methods.read(f"a label: {identity}").id == identity


def test_ids_of_different_methods_differ():
    sigmas = (0.5, 1.0, 1.0000001, 1e-3, 123456.78)
    ids = {methods.identify("gipo", {"sigma_pos": a, "sigma_neg": b}) for a, b in itertools.product(sigmas, sigmas)}
    ids |= {methods.identify("m:own", {"x": value}) for value in (1.0, "1", 0.1, 0.1 + 1e-12, "true")}
    assert len(ids) == len(sigmas) ** 2 + 5


@pytest.mark.parametrize("sigma", [1e-3, 0.5, 1.0, 1 / 3, 250.0, 5e5])
def test_sigmas_can_be_read_again(sigma: float):
    name = f"x: {methods.identify('gipo', {'sigma_pos': sigma, 'sigma_neg': 2 * sigma})}"
    assert methods.read(name).sigmas == (sigma, 2 * sigma)
    assert methods.read(name).objective == "gipo"


def test_a_label_stands_in_the_name_where_it_is_not_the_id():
    half = {"name": "gipo", "parameters": {"sigma_pos": 0.5, "sigma_neg": 0.5}}
    found = methods.names(runs(**{"gipo-05-05": half, "gipo-1-1": {"name": "ppo_clip"}, "sapo": {"name": "sapo"}}))
    assert found == {"gipo-05-05": "gipo-05-05: gipo-0.5-0.5", "gipo-1-1": "gipo-1-1: ppo-clip", "sapo": "sapo"}


def test_a_learner_unlike_the_others_makes_another_method():
    vtrace = {"estimator": "vtrace", "refresh_every": 40}
    found = methods.names(
        runs(
            **{"sapo": {"name": "sapo"}, "ppo-clip": {"name": "ppo_clip"}},
            free={"name": "sapo", "learner": {"kl_coefficient": 0.0}},
            both={"name": "sapo", "learner": vtrace},
        )
    )
    assert found["free"] == "free: sapo[learner.kl_coefficient=0]"
    assert found["both"] == "both: vtrace-sapo"  # V-trace needs refreshed targets
    assert (found["sapo"], found["ppo-clip"]) == ("sapo", "ppo-clip")


def test_of_two_learners_the_default_is_the_usual_one():
    found = methods.names(runs(a={"name": "sapo", "learner": {"kl_coefficient": 0.5}}, b={"name": "sapo"}))
    assert found == {"a": "a: sapo[learner.kl_coefficient=0.5]", "b": "b: sapo"}


def test_one_label_for_two_objectives_is_refused():
    table = pd.concat([runs(mine={"name": "sapo"}), runs(mine={"name": "no_clip"})])
    with pytest.raises(GipoError, match="method 'mine' stands for different objectives"):
        methods.names(table)


def test_tables_have_names_where_their_files_have_labels(tmp_path: Path):
    run = write_run(tmp_path / "runs", method="gipo-01-1")
    spec = json.loads((run / "spec.json").read_text())
    assert spec["objective"]["parameters"] == {"sigma_pos": 1.0, "sigma_neg": 1.0}
    collect([run], [write_baseline(tmp_path / "baselines", "door-open-v3")], StudyFolder(tmp_path))
    tables = Tables.read(StudyFolder(tmp_path))
    for table in (tables.runs, tables.metrics, tables.evaluations):
        assert set(table["method"]) == {"gipo-01-1: gipo-1-1"}
