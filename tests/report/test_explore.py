"""Curves that can be explored: what Bokeh is given, and what it does in a browser."""

import json
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from bokeh.document import Document
from bokeh.models import GlyphRenderer, HoverTool, Line
from bokeh.models.widgets import Toggle

from gipo.figures import style
from gipo.report import explore

METHODS = ["ppo-clip", "gipo-1-1", "</script><b>: sapo"]


@pytest.fixture
def table() -> pd.DataFrame:
    """Two tasks, two regimes, three methods with a label that would end a script; the last one has a single seed."""
    rows = []
    for t, task in enumerate(("door-open-v3", "push-v3")):
        for r, regime in enumerate(("stale", "fresh")):
            for m, method in enumerate(METHODS):
                for update in (0, 10, 20):
                    mean = t + 10 * r + 100 * m + update / 100
                    band = {"low": mean - 1, "high": mean + 1} if m < 2 else {"low": float("nan"), "high": float("nan")}
                    where = {"task": task, "regime": regime, "method": method, "update": update}
                    rows.append(where | {"mean_return": mean} | band)
    return pd.DataFrame(rows)


def read(text: str) -> Document:
    return Document.from_json(json.loads(text)["doc"])


def test_the_same_table_gives_the_same_text_whatever_was_made_before(table: pd.DataFrame):
    first = explore.document("fig2", table)
    explore.document("success_curves", table.rename(columns={"mean_return": "success"}))
    assert explore.document("fig2", table) == first


def test_every_curve_is_there_with_its_numbers(table: pd.DataFrame):
    document = read(explore.document("fig2", table))
    lines = [curve for curve in document.select({"type": GlyphRenderer}) if isinstance(curve.glyph, Line)]
    found = {tuple(curve.data_source.data["y"]) for curve in lines}
    expected = table.groupby(["task", "regime", "method"])["mean_return"].apply(tuple)
    assert found == set(expected)
    assert len(list(document.select({"type": HoverTool}))) == 12


def test_a_method_is_switched_in_every_panel_at_once(table: pd.DataFrame):
    document = read(explore.document("fig2", table))
    toggles = list(document.select({"type": Toggle}))
    assert {toggle.label for toggle in toggles} == {style.label(method) for method in METHODS}
    switched = [
        {change.args["other"] for change in toggle.js_property_callbacks["change:active"]} for toggle in toggles
    ]
    assert [len(curves) for curves in switched] == [8, 8, 8]  # line and band in four panels
    assert len(set.union(*switched)) == 24


def test_no_label_ends_the_script_that_holds_it(table: pd.DataFrame):
    assert "<" not in explore.document("fig2", table)
    assert "</script" not in explore.library().lower()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on PATH")
def test_a_browser_draws_it_and_hides_what_is_switched_off(table: pd.DataFrame, tmp_path: Path):
    act = """
    const wait = () => new Promise((done) => setTimeout(done, 500));
    const item = JSON.parse(document.querySelector("#data").textContent);
    Bokeh.embed.embed_item(item, "here").then(async () => {
      await wait();
      const models = Array.from(Bokeh.documents[0]._all_models.values());
      const seen = () => models.filter((model) => model.type == "GlyphRenderer" && model.visible).length;
      const before = seen();
      models.find((model) => model.type == "Toggle").active = false;
      await wait();
      document.title = `${before} then ${seen()}`;
    });
    """
    page = tmp_path / "page.html"
    data = explore.document("fig2", table)
    page.write_text(
        f'<body><div id="here"></div><script type="application/json" id="data">{data}</script>'
        f"<script>{explore.library()}</script><script>{act}</script>"
    )
    browser = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom"]
    done = subprocess.run([*browser, page.as_uri()], capture_output=True, text=True, timeout=120)
    assert "<title>24 then 16</title>" in done.stdout
