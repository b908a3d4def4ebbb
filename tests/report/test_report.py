import base64
import itertools
import re
import shutil
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from mlflow.utils.search_utils import SearchUtils

from factories import make_spec
from gipo import figures
from gipo.analysis.verdicts import KINDS, NOT_RUN
from gipo.errors import GipoError
from gipo.report import Part, assemble, details, metrics
from gipo.runs.code import code_of
from gipo.stages import StudyFolder, csv_bytes
from scales import put

pytestmark = pytest.mark.slow  # builds every figure once

COMMAND = "snakemake {target} --config scale=small"
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Elements of a page in order, and whether each is closed where it should be."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data if self.open[-1:] not in (["style"], ["script"]) else ""

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def part(folder: StudyFolder, name: str = "small", title: str = "A small study", suite: str = "metaworld") -> Part:
    """A part of the runs in its tables, or of two runs where there are none."""
    sweeps = figures.SWEEPS.values() if suite == "metaworld" else ()
    tables = [pd.read_parquet(path) for path in folder.path.glob("**/runs.parquet")]
    runs = sorted(pd.concat(tables)["run_id"].unique()) if tables else ["one/run", "another/run"]
    return Part(name, title, suite, folder, figures.of_study(suite, sweeps), runs)


def write(folder: StudyFolder, out: Path, title: str = "A small study") -> str:
    assemble(title, [part(folder)], COMMAND, StudyFolder(out))
    return (out / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def html(finished: StudyFolder, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write(finished, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


@pytest.fixture
def editable(finished: StudyFolder, tmp_path: Path) -> StudyFolder:
    return StudyFolder(shutil.copytree(finished.path, tmp_path / "editable"))


def test_nothing_is_loaded_from_elsewhere(page: Page, html: str) -> None:
    assert not {"link", "iframe", "object", "embed"} & {tag for tag, _ in page.elements}
    assert all("src" not in attributes for attributes in page.all("script"))
    sources = [attributes[key] for _, attributes in page.elements for key in ("src", "srcset") if key in attributes]
    assert sources
    assert all(source and source.startswith("data:image/") for source in sources)
    assert all((link["href"] or "").startswith(("#", "data:", "https://arxiv.org/")) for link in page.all("a"))
    [style] = re.findall(r"<style>(.*?)</style>", html, flags=re.DOTALL)
    assert not re.search(r"url\(|@import|&(amp|quot|#)", style)


def test_it_stays_small(html: str) -> None:
    assert len(html.encode()) < 6_500_000


def test_the_page_goes_from_the_answer_to_the_details_and_has_every_claim(page: Page, finished: StudyFolder) -> None:
    sections = [attributes["id"] for tag, attributes in page.elements if tag == "section"]
    assert sections == ["answer", "limits", "scorecard", "figures", "run", "details", "glossary", "provenance"]
    rows = finished.read_csv("scorecard.csv")
    ran = pd.concat([rows[(rows["verdict"] != NOT_RUN) & (rows["kind"] == kind)] for kind in KINDS])
    shown = [a["id"] for a in page.all("tr") if (a.get("id") or "").startswith("claim-")]
    assert shown == [f"claim-{name}" for name in ran["id"]]
    for row in rows.itertuples():
        assert row.claim in page.text
        assert row.verdict in page.text


def test_every_figure_is_there_with_words_command_and_data(page: Page, finished: StudyFolder) -> None:
    names = [name for name in figures.of_study("metaworld", figures.SWEEPS.values()) if name != "scorecard"]
    assert [attributes["id"] for attributes in page.all("figure")] == names
    assert len(page.all("img")) == len(names) + 2  # the halves of the one picture
    assert all(attributes["alt"] for attributes in page.all("img"))
    for name in names:
        assert figures.module(name).caption(finished.read_csv(f"figures/{name}.csv")) in page.text
        assert f"snakemake {name} --config scale=small" in page.text
    [table] = [a["href"] for a in page.all("a") if a.get("download") == "table1.csv"]
    assert table
    assert base64.b64decode(table.partition(",")[2]) == finished.read_bytes("figures/table1.csv")


def test_every_implementation_detail_is_there(page: Page) -> None:
    for row in details.rows():
        for words in (row.detail.title, row.detail.here, f"{row.path}:{row.line} {row.name}"):
            assert words.replace("`", "") in page.text


def test_headings_do_not_skip_a_level(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(lower <= higher + 1 for higher, lower in itertools.pairwise(levels))
    assert levels[0] == 1


def test_links_within_the_page_lead_somewhere(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    targets = {(link["href"] or "")[1:] for link in page.all("a") if (link["href"] or "").startswith("#")}
    assert targets
    assert targets <= set(ids)


def test_tables_have_headers(page: Page) -> None:
    assert all("scope" in attributes for attributes in page.all("th"))


def test_what_was_run_and_where_it_came_from(page: Page) -> None:
    for words in (
        "2 tasks × 2 regimes × 4 methods × 3 seeds",
        "door-open-v3, handle-press-v3",
        "No-Clip, PPO-Clip, SAPO, GIPO (1, 1)",
        "0123456789abcdef0123456789abcdef01234567",
        code_of(make_spec("door-open-v3", "stale", "gipo-1-1", 0)),
        "10c4" * 16,
        "torch 2.13.0",
        "A run here has 5 % of the paper's learner updates",
    ):
        assert words in page.text


def test_the_same_inputs_give_the_same_bytes(finished: StudyFolder, html: str, tmp_path: Path) -> None:
    assert write(finished, tmp_path / "again") == html


def test_text_of_the_user_is_escaped(editable: StudyFolder, page: Page, tmp_path: Path) -> None:
    evil = "<script>alert('x')</script> & <b>co</b>"
    rows = editable.read_csv("scorecard.csv")
    rows.loc[[0, len(rows) - 1], ["claim", "note", "reference"]] = evil
    put(editable, "scorecard.csv", csv_bytes(rows, 8))
    written = Page(write(editable, tmp_path / "page", title=evil))
    assert written.all("script") == page.all("script")
    assert written.all("b") == page.all("b")
    assert written.text.count(evil) >= 8


def test_a_study_without_verdicts(editable: StudyFolder, tmp_path: Path) -> None:
    rows = editable.read_csv("scorecard.csv").assign(verdict=NOT_RUN, measured=float("nan"))
    put(editable, "scorecard.csv", csv_bytes(rows, 8))
    text = Page(write(editable, tmp_path / "page")).text
    assert text.count("Not run. Claim: With stale data") == 2
    assert "in the paper" not in text[: text.index("GIPO, Gaussian Importance")]


@pytest.mark.parametrize(
    ("verdict", "answer"),
    [
        ("reproduced", "Yes."),
        ("contradicted", "No."),
        ("inconclusive", "Open."),
        ("cannot tell", "This study cannot tell."),
    ],
)
def test_the_first_paragraph_answers_the_question_from_the_scorecard(
    verdict: str, answer: str, editable: StudyFolder, tmp_path: Path
) -> None:
    rows = editable.read_csv("scorecard.csv", keep_default_na=False, na_values={"n": [""]})
    numbers = {"measured": 0.312, "low": 0.105, "high": 0.52, "n": 24, "detectable": 0.2964, "verdict": verdict}
    rows.loc[rows["id"] == "stale-gipo-over-ppo", list(numbers)] = list(numbers.values())
    put(editable, "scorecard.csv", csv_bytes(rows, 8))
    text = " ".join(Page(write(editable, tmp_path / "page")).text.split())
    start = text.index("Does GIPO beat PPO-Clip and SAPO on stale data?")
    paragraph = text[start : text.index("GIPO, Gaussian Importance", start)]
    assert f"stale data? {answer} Claim: With stale data, GIPO (1,1) reaches a higher normalised score" in paragraph
    assert "than PPO-Clip. Measured: 0.312 [0.105, 0.520] (IQM difference, n = 24 runs); in the paper 0.55" in paragraph
    assert ("A difference of 0.3 would have been seen with 80 % probability." in text) == (verdict == "cannot tell")
    assert "Scale small: 2 tasks × 2 regimes × 4 methods × 3 seeds" in text


def test_a_claim_leads_to_its_figure_its_data_and_its_runs(html: str) -> None:
    [row] = re.findall(r'<tr role="row" id="claim-d95-gipo">.*?</tr>', html, flags=re.DOTALL)
    assert re.findall(r'href="#(.*?)"', row) == ["fig8", "data-fig8", "runs-stale-gipo-1-1"]
    assert re.search(r"Judged so since: 2026-\d\d-\d\d \d\d:\d\d UTC, commit [0-9a-f]{10}\.", row)
    [group] = re.findall(r'<tr class="section" id="runs-stale-gipo-1-1">.*?</tbody>', html, flags=re.DOTALL)
    shown = re.findall(r"[\w.-]+/stale/gipo-1-1/seed\d-[0-9a-f]{8}", group)
    assert len(shown) == group.count("<tr>") > 0


def test_the_filter_of_a_group_of_runs_finds_them_in_mlflow(html: str) -> None:
    words = re.findall(r"<code>(tags\.regime.*?)</code>", html)
    parsed = [SearchUtils.parse_search_filter(unescape(word)) for word in words]
    assert [[part["key"] for part in parts] for parts in parsed] == [["regime", "method"]] * len(words)
    assert ["stale", "gipo-1-1"] in [[part["value"] for part in parts] for parts in parsed]


def test_every_claim_leads_to_rows(page: Page, finished: StudyFolder) -> None:
    downloads = {a["id"] for a in page.all("a") if "download" in a}
    assert "data-scorecard" in downloads
    targets = {link["href"][1:] for link in page.all("a") if link.get("href", "").startswith("#data-")}  # type: ignore[union-attr, index]
    assert targets <= downloads


def test_the_words_the_symbols_and_every_logged_number_are_explained(page: Page) -> None:
    text = " ".join(page.text.split())
    glossary = metrics.glossary()
    for meaning in (*glossary.words.values(), *glossary.symbols.values()):
        assert meaning.replace("*", "").replace("`", "") in text
    for columns in metrics.tables().values():
        assert all(one.meaning in text and one.formula in text for one in columns.values())


def test_a_scale_that_gives_no_verdicts_says_so_at_the_top(finished: StudyFolder, tmp_path: Path) -> None:
    out = StudyFolder(tmp_path)
    assemble("A small study", [replace(part(finished), verdicts=False)], COMMAND, out)
    text = Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert text.index("No verdicts. Scale small tests the software") < text.index("The claims")


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("scorecard.csv", r"scorecard\.csv is missing"),
        ("figures/fig2.svg", r"fig2\.svg is missing"),
        ("figures/iqm.csv", r"iqm\.csv is missing"),
        ("tables/runs.parquet", r"runs\.parquet is missing"),
        ("manifests/figures/fig2.json", r"fig2\.csv stands in no manifest"),
    ],
)
def test_a_missing_input_is_named_and_no_report_is_written(
    missing: str, message: str, editable: StudyFolder, tmp_path: Path
) -> None:
    of_study = part(editable)
    (editable.path / missing).unlink()
    with pytest.raises(GipoError, match=message):
        assemble("A small study", [of_study], COMMAND, StudyFolder(tmp_path / "page"))
    assert not (tmp_path / "page").exists()


def test_large_pictures_are_embedded_as_png_and_large_tables_compressed(
    finished: StudyFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("gipo.report.embed.LARGEST_SVG", 0)
    monkeypatch.setattr("gipo.report.embed.LARGEST_CSV", 0)
    page = Page(write(finished, tmp_path / "page"))
    assert all((image["src"] or "").startswith("data:image/png;base64,iVBORw0KGgo") for image in page.all("img")[2:])
    assert {a["download"] for a in page.all("a") if "download" in a} >= {"fig1.csv.gz", "table1.csv.gz"}


@pytest.fixture
def half(finished: StudyFolder, tmp_path: Path) -> list[Part]:
    """A study that has finished but for a picture, and one of another suite of which one run of two has finished."""
    root = shutil.copytree(finished.path, tmp_path / "results" / "small")
    (root / "figures" / "fig7.svg").unlink()
    done = tmp_path / "results" / "runs" / "one" / "run"
    done.mkdir(parents=True)
    (done / "manifest.json").touch()
    return [
        part(StudyFolder(root)),
        part(StudyFolder(tmp_path / "results" / "vla"), "vla", "A study to come", "libero"),
    ]


def test_what_is_finished_makes_a_page_that_says_what_is_not(half: list[Part], tmp_path: Path) -> None:
    both = StudyFolder(tmp_path / "results" / "both")
    assemble("Both", half, COMMAND, both, partial=True)
    page = Page((both.path / "report-partial.html").read_text(encoding="utf-8"))
    assert "LIBERO, scale vla: not finished yet, 1 of 2 training runs are there." in page.text
    assert "MetaWorld, scale small: not drawn yet: fig7." in page.text
    assert "Not run yet: scale vla." in page.text
    shown = [attributes["id"] for attributes in page.all("figure")]
    assert "small-fig2" in shown
    assert "small-fig7" not in shown
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert all(lower <= higher + 1 for higher, lower in itertools.pairwise(levels))


def test_results_of_runs_that_the_study_no_longer_has_are_not_what_is_finished(half: list[Part]) -> None:
    """As after a change of its config: the page would show the old study under the new one's name."""
    study, _ = half
    assert study.is_finished
    assert not replace(study, run_ids=[*study.run_ids, "one/more"]).is_finished
    assert not replace(study, run_ids=study.run_ids[1:]).is_finished


def test_without_being_asked_for_so_far_a_page_is_whole_or_not_there(half: list[Part], tmp_path: Path) -> None:
    with pytest.raises(GipoError, match=r"vla/scorecard\.csv is missing: `make reproduce SCALE=vla` makes it again"):
        assemble("Both", half, COMMAND, StudyFolder(tmp_path / "both"))
    assert not (tmp_path / "both").exists()


def test_there_is_no_page_of_nothing(half: list[Part], tmp_path: Path) -> None:
    with pytest.raises(GipoError, match="nothing is finished yet of vla"):
        assemble("Both", half[1:], COMMAND, StudyFolder(tmp_path / "both"), partial=True)
