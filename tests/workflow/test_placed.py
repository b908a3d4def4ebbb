"""An objective of the user's own, placed in the arena by the documented command."""

import pandas as pd
import pytest
import yaml

from checkout import Checkout
from users_method import METHOD

pytestmark = pytest.mark.slow


def write_tiny_arena(checkout: Checkout) -> None:
    """The arena with two of its regimes and methods, one seed, and with runs of the smoke scale's size."""
    path = checkout.root / "workflow" / "config" / "arena.yaml"
    arena, smoke = (yaml.safe_load(path.with_stem(name).read_text()) for name in ("arena", "smoke"))
    sizes = ("environment", "network", "replay", "learner", "evaluation", "diagnostics", "baselines", "statistics")
    methods = {name: arena["methods"][name] for name in ("ppo-clip", "gipo-1-1")}
    regimes = {name: arena["regimes"][name] for name in ("fresh", "stale")}
    tiny = arena | {name: smoke[name] for name in (*sizes, "gridworld", "verdicts")}
    tiny |= {"methods": methods, "seeds": [0], "sweeps": {"arena": {"methods": methods, "regimes": regimes}}}
    path.write_text(yaml.safe_dump(tiny))


def test_a_method_is_placed(edited: Checkout):
    write_tiny_arena(edited)
    (edited.root / "my_module.py").write_text(METHOD)
    command = ("gipo", "arena", "add", "my_module:half")
    refused = edited.run(*command)
    assert refused.returncode == 1
    assert "run `make reproduce SCALE=arena` first" in refused.stderr

    made = edited.run("snakemake", "arena", "--config", "scale=arena")
    assert made.returncode == 0, made.stderr
    taken = edited.run("gipo", "arena", "add", "ppo_clip")
    assert taken.returncode == 1
    assert "'ppo-clip' is one of the arena's own objectives" in taken.stderr
    placed = edited.run(*command)
    assert placed.returncode == 0, placed.stderr
    table = pd.read_csv(edited.root / "results" / "arena-half-placed" / "arena.csv")
    area = table[table["statistic"] == "area"].set_index("method")
    own = "half: my_module:half"
    assert set(area.index) == {"ppo-clip", "gipo-1-1", own}
    assert (area["seeds"] == 1).all()
    published = pd.read_csv(edited.root / "results" / "arena" / "figures" / "arena.csv")
    same = published[published["statistic"] == "area"].set_index("method")["value"]
    pd.testing.assert_series_equal(area.loc[same.index, "value"], same)  # the others stand where they stood
    scores = table[(table["statistic"] == "score") & (table["method"] == own)]
    assert len(scores) == 2
    listed = placed.stdout.splitlines()
    assert [line.split()[:2] for line in listed if line.startswith("half ")] == [["half", "1"]]
    assert (edited.root / "results" / "arena-half-placed" / "arena.png").stat().st_size > 10_000

    again = edited.run(*command)
    assert again.stdout == placed.stdout
    assert " 0 training runs" in again.stderr or "Nothing to be done" in again.stderr

    edited.edit("workflow/config/arena.yaml", "updates: 200", "updates: 210")
    other = edited.run(*command)
    assert other.returncode == 1
    assert "has other settings than that of the published one" in other.stderr
    assert "training run" not in other.stderr  # said before any is made


def test_an_unknown_objective_is_one_line(edited: Checkout):
    unknown = edited.run("gipo", "arena", "add", "nowhere:none")
    assert unknown.returncode == 1
    assert len(unknown.stderr.splitlines()) == 1
