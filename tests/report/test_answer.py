"""The answer of a study, as its page and as a terminal have it."""

import html
import re

import pytest
from typer.testing import CliRunner

from checkout import ROOT
from gipo.cli import cli


@pytest.mark.parametrize("name", sorted(path.parent.name for path in ROOT.glob("reports/*/report.html")))
def test_the_command_says_what_the_published_page_says(name: str):
    page = (ROOT / "reports" / name / "report.html").read_text(encoding="utf-8")
    question = re.search(r'<section id="answer">\s*<h2>(.*?)</h2>', page)
    sentences = re.findall(r'<p class="answer">(.*?)</p>', page, re.DOTALL)
    done = CliRunner().invoke(cli, ["answer", str(ROOT / "reports" / name)])
    assert done.exit_code == 0, done.output
    assert question
    assert done.output.splitlines() == [question[1], *(html.unescape(re.sub("<.*?>", "", s)) for s in sentences)]
    assert len(sentences) == 2


def test_a_folder_that_is_not_there_is_named():
    done = CliRunner().invoke(cli, ["answer", "reports/nothing"])
    assert "reports/nothing" in str(done.exception)
