"""Figures show what methods are, whatever a study calls them, and runs of any suite in the catalogue."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from gipo import figures
from gipo.analysis.collect import SCHEMAS
from gipo.figures import fig6, fig9, iqm, ranking, style, table1
from gipo.stages import StudyFolder
from gipo.tables import table_bytes
from pictures import overhang

GIPO = {"name": "gipo", "parameters": {"sigma_pos": 1.0, "sigma_neg": 1.0}}


def renamed(
    results: StudyFolder, labels: dict[str, tuple[str, dict]], out: StudyFolder, grid: str = "tables", **spec: object
) -> None:
    """Write tables in which methods have other labels and objectives, and all runs other settings."""
    files = {}
    for name, schema in SCHEMAS.items():
        table = results.read_table(f"{grid}/{name}.parquet", schema)
        if name == "runs":
            specs = [json.loads(text) | spec for text in table["spec"]]
            for one, label in zip(specs, table["method"], strict=True):
                one["objective"] = labels[label][1] if label in labels else one["objective"]
            table["spec"] = [json.dumps(one) for one in specs]
        if name != "baselines":
            table["method"] = table["method"].map(lambda label: labels[label][0] if label in labels else label)
        files[f"{grid}/{name}.parquet"] = table_bytes(table, schema)
    out.write_stage(grid, files)


@pytest.fixture
def disguised(results: StudyFolder, tmp_path: Path) -> StudyFolder:
    """PPO-Clip under the label of GIPO (1, 1), GIPO (1, 1) as foo, SAPO as gipo-0-5, No-Clip as a tight PPO-Clip."""
    labels = {
        "ppo-clip": ("gipo-1-1", {"name": "ppo_clip", "parameters": {}}),
        "gipo-1-1": ("foo", GIPO),
        "sapo": ("gipo-0-5", {"name": "sapo", "parameters": {}}),
        "no-clip": ("sapo", {"name": "ppo_clip", "parameters": {"eps": 0.1}}),
    }
    out = StudyFolder(tmp_path / "r")
    renamed(results, labels, out)
    renamed(results, labels, out, "sweeps/ranking")
    renamed(results, {"gipo-1-1": ("foo", GIPO)}, out, "sweeps/sigma")
    return out


def test_the_papers_values_stand_beside_the_method_they_are_of(disguised: StudyFolder):
    rows = fig6.table(disguised, resamples=20)
    quoted = rows[(rows["statistic"] == "near_zero_old") & (rows["panel"] == "window")].set_index("method")["paper"]
    assert quoted.dropna().to_dict() == {"gipo-1-1: ppo-clip": 0.118, "foo: gipo-1-1": 0.001, "gipo-0-5: sapo": 0.002}
    rows = table1.table(disguised, resamples=20)
    quoted = rows[(rows["regime"] == "stale") & rows["source"].str.contains("one run")].set_index("method")["paper"]
    assert quoted.to_dict() == {"gipo-1-1: ppo-clip": 0.375, "foo: gipo-1-1": 1.338}


def test_the_champion_is_gipo_whatever_its_label(disguised: StudyFolder):
    table = iqm.table(disguised, resamples=20)
    assert set(table.loc[table["panel"] == "improvement", "method"]) == {"foo: gipo-1-1"}
    assert set(fig9.table(disguised, resamples=20).query("statistic == 'best_sigma'")["method"]) == {"foo: gipo-1-1"}


def test_numbers_and_intervals_do_not_depend_on_labels(disguised: StudyFolder, results: StudyFolder):
    estimates = ["value", "low", "high"]
    for module in (iqm, ranking):
        named, plain = (module.table(folder, resamples=50).query("panel == 'iqm'") for folder in (disguised, results))
        named = named[named["method"] == "foo: gipo-1-1"]
        pd.testing.assert_frame_equal(
            named[estimates].reset_index(drop=True),
            plain[plain["method"] == "gipo-1-1"][estimates].reset_index(drop=True),
        )


@pytest.mark.parametrize("name", ["fig2", "table1", "fig5", "fig6", "fig7", "fig8", "iqm", "ranking", "fig9"])
def test_any_label_draws_with_nothing_cut_off(name: str, disguised: StudyFolder):
    style.apply()
    module = figures.module(name)
    table = module.table(disguised, resamples=20)
    figure = module.draw(table)
    assert overhang(figure) < 0.01
    words = [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]
    shown = "GIPO (σ, σ)" if name == "fig9" else "foo: GIPO (1, 1)"  # equal sigmas share a legend entry there
    assert any(shown in text for text in words)


def test_every_figure_has_a_title_and_what_it_is_about_as_data():
    titles = {name: (figures.module(name).TITLE, figures.module(name).SUBTITLE) for name in figures.NAMES}
    assert len({title for title, _ in titles.values()}) == len(figures.NAMES)
    assert all(subtitle[0].isupper() and not subtitle.endswith(".") for _, subtitle in titles.values())


TOY = """
from gipo.suites import Suite, SweepKind
SUITE = Suite("toy", "Toy", ("b", "a"), "success", "toy-claim", ("fig2",), {"speed": SweepKind("lagsweep", "speed")},
              task_titles={"b": "Task B"})
"""
SCRIPT = """
import sys; from pathlib import Path
import gipo.suites; gipo.suites.__path__.append(sys.argv[1])
from gipo import figures
from gipo.analysis import cells, results
from gipo.stages import StudyFolder
assert {"fig1", "fig2", "fig4", "fig5", "iqm", "scorecard"} <= set(figures.of_study("toy", []))
assert figures.of_study("toy", ["speed"])[-2:] == ["lagsweep", "scorecard"]
assert "fig2" in figures.of_study("metaworld", []) and not {"fig3", "fig6", "lagsweep"} & {*figures.of_study("toy", [])}
assert cells.Cell(suite="toy", quantity="score", regime="stale", sweep="speed").suite == "toy"
table = figures.module("iqm").table(StudyFolder(Path(sys.argv[2])), resamples=20)
words = figures.module("iqm").caption(table)
assert words.startswith("Success rate, 2 tasks") and "paper" not in words
assert figures.module("iqm").draw(table)
"""


def test_a_suite_more_in_the_catalogue_has_figures_without_an_edit(results: StudyFolder, tmp_path: Path):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "toy.py").write_text(TOY)
    renamed(results, {}, StudyFolder(tmp_path / "r"), suite="toy")
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "toy"), str(tmp_path / "r")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
