import ast
import copy
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from checkout import ROOT
from gipo.errors import GipoError
from gipo.report import details
from gipo.report.details import Detail, Row, Switch
from gipo.runs.spec import EvaluationSpec, LearnerSpec, StoreSpec
from gipo.study import Study

ROWS = details.rows()
DETAILS = [row.detail for row in ROWS]

STUDY = {
    "title": "A study",
    "tasks": ["door-open-v3"],
    "regimes": {"fresh": 0.0855, "stale": 0.874},
    "methods": {
        "no-clip": {"name": "no_clip"},
        "ppo-clip": {"name": "ppo_clip", "parameters": {"eps": 0.2}},
        "sapo": {"name": "sapo", "parameters": {"tau_pos": 1.0, "tau_neg": 2.0}},
        "gipo-1-1": {"name": "gipo", "parameters": {"sigma_pos": 1.0, "sigma_neg": 1.0}},
    },
    "seeds": [0],
}
ENTRY: dict[str, Any] = {
    "id": "made-up",
    "topic": "Targets",
    "title": "A detail",
    "paper": "one",
    "code": "two",
    "here": "three",
    "symbol": "gipo.targets:gae",
}


def write(tmp_path: Path, *entries: object) -> Path:
    path = tmp_path / "details.yaml"
    path.write_text(yaml.safe_dump(list(entries)))
    return tmp_path


def test_the_markdown_in_the_repository_is_the_generated_one() -> None:
    stored = (ROOT / "IMPLEMENTATION.md").read_text(encoding="utf-8")
    assert stored == details.markdown(), "out of date; write it again with: gipo details IMPLEMENTATION.md"


@pytest.mark.parametrize("row", ROWS, ids=[row.detail.id for row in ROWS])
def test_a_link_leads_to_the_definition_of_its_symbol(row: Row) -> None:
    line = (ROOT / row.path).read_text(encoding="utf-8").splitlines()[row.line - 1]
    name = row.name.rpartition(".")[2]
    assert re.match(rf" *((def|class) {name}\b|{name} *[:=])", line), line


@pytest.fixture
def moved_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package's sources, in which symbols are looked up."""
    package = shutil.copytree(details.PACKAGE, tmp_path / "gipo", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(details, "PACKAGE", package)
    return package


def test_a_blank_line_in_a_source_file_makes_no_link_stale_and_the_page_follows_it(moved_sources: Path) -> None:
    source = moved_sources / "targets.py"
    source.write_text("\n" + source.read_text(encoding="utf-8"), encoding="utf-8")
    assert details.markdown() == (ROOT / "IMPLEMENTATION.md").read_text(encoding="utf-8")
    before = {row.detail.id: row.line for row in ROWS if row.path.endswith("/targets.py")}
    after = {row.detail.id: row.line for row in details.rows() if row.path.endswith("/targets.py")}
    assert before
    assert after == {name: line + 1 for name, line in before.items()}


def test_a_renamed_symbol_is_named(moved_sources: Path) -> None:
    source = moved_sources / "targets.py"
    source.write_text(source.read_text(encoding="utf-8").replace("def gae(", "def advantages("), encoding="utf-8")
    with pytest.raises(GipoError, match=r"module 'gipo\.targets' has no 'gae'"):
        details.rows()


@pytest.mark.parametrize("detail", DETAILS, ids=[detail.id for detail in DETAILS])
def test_switches_are_keys_of_a_scale_config_and_their_values_are_allowed(detail: Detail) -> None:
    config = copy.deepcopy(STUDY)
    defaults = Study.model_validate(STUDY).model_dump()
    for switch in detail.switches:
        *parents, last = switch.key.split(".")
        if switch.value is None:
            section = defaults
            for name in parents:
                section = section[name]
            assert last in section
            continue
        section = config
        for name in parents:
            section = section.setdefault(name, {})
        section[last] = switch.value
        Study.model_validate(config)


@pytest.mark.parametrize("detail", DETAILS, ids=[detail.id for detail in DETAILS])
def test_a_source_that_is_not_followed_says_something(detail: Detail) -> None:
    stated = {"P": detail.paper, "C": detail.code, "script": detail.code, "AcceRL": detail.code}
    for source in detail.differs:
        assert stated[source] != "not stated"
        assert source in ("P", "C") or source in detail.code


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("updates", f"{LearnerSpec().updates:,}"),
        ("policy-start", f"{LearnerSpec().policy_start}; "),
        ("gradient-clip", f"norm {LearnerSpec().gradient_clip} "),
        ("reward-scale", f"{LearnerSpec().reward_scale},"),
        ("capacity", f"{StoreSpec().capacity:,}"),
        ("segments", f"{StoreSpec().segment_length} steps"),
        ("replay-warmup", f"{StoreSpec().warmup_steps:,} "),
        ("evaluation-episodes", f"{EvaluationSpec().episodes} episodes every {EvaluationSpec().every:,} updates"),
    ],
)
def test_the_numbers_are_the_defaults(name: str, value: str) -> None:
    [detail] = [detail for detail in DETAILS if detail.id == name]
    assert value in detail.here


def test_every_topic_and_method_has_rows() -> None:
    assert all(rows for _, rows in details.by_topic())
    assert {method for detail in DETAILS for method in detail.methods} == {"all", "No-Clip", "PPO-Clip", "SAPO", "GIPO"}


def test_texts_are_one_line_with_paired_backticks() -> None:
    texts = [text for detail in DETAILS for text in (detail.title, detail.paper, detail.code, detail.here)]
    texts += [switch.gives for detail in DETAILS for switch in detail.switches]
    assert all(text.count("`") % 2 == 0 and "\n" not in text for text in texts)


def test_every_line_of_a_table_has_five_cells() -> None:
    lines = [line for line in details.markdown().splitlines() if line.startswith("|")]
    assert len(lines) == len(ROWS) + 2 * len(details.TOPICS)
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {6}


def test_markup_in_a_text_is_escaped(tmp_path: Path) -> None:
    path = write(tmp_path, ENTRY | {"here": "a|b *c* d_e <f> `g|h_i`"})
    assert r"a\|b \*c\* d\_e \<f> `g\|h_i`<br>[`gae`](src/gipo/targets.py)" in details.markdown(path)
    assert details.html("a<b> `c<d>` & `e`") == "a&lt;b&gt; <code>c&lt;d&gt;</code> &amp; <code>e</code>"


def test_rows_come_in_the_order_of_the_topics(tmp_path: Path) -> None:
    first = ENTRY | {"id": "later", "topic": "Evaluation"}
    assert [row.detail.id for row in details.rows(write(tmp_path, first, ENTRY))] == ["made-up", "later"]


@pytest.mark.parametrize(
    ("symbol", "code"),
    [
        ("gipo.replay:Segments.rewards", "rewards: Tensor"),
        ("gipo.objectives.gipo:KERNELS", "KERNELS: dict"),
        ("gipo.envs.sawyer:GOAL_SEED", "GOAL_SEED ="),
        ("gipo.figures:build", "def build("),
    ],
)
def test_a_symbol_may_be_a_field_a_variable_or_lie_in_a_package(symbol: str, code: str, tmp_path: Path) -> None:
    [row] = details.rows(write(tmp_path, ENTRY | {"symbol": symbol}))
    assert (ROOT / row.path).read_text(encoding="utf-8").splitlines()[row.line - 1].strip().startswith(code)


def test_the_value_of_a_switch_is_written_as_yaml() -> None:
    for value in (True, 10, 0.0003, "vtrace"):
        setting = Switch(key="learner.some_key", value=value).setting
        assert yaml.safe_load(setting) == {"learner.some_key": value}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"symbol": "gipo.targets:gea"}, r"'made-up': module 'gipo.targets' has no 'gea'"),
        ({"symbol": "gipo.objectives:GIPO.wieght"}, r"'made-up': module 'gipo.objectives' has no 'GIPO.wieght'"),
        ({"symbol": "gipo.nowhere:gae"}, r"'made-up': there is no module 'gipo.nowhere'"),
        ({"symbol": "torch:Tensor"}, r"'made-up': symbol = 'torch:Tensor'"),
        ({"topic": "Weather"}, r"'made-up': topic = 'Weather'"),
        ({"papre": "one"}, r"'made-up': unknown key papre"),
        ({"switches": [{"key": "Learner gamma"}]}, r"'made-up': switches.0.key = 'Learner gamma'"),
        ({"methods": ["REINFORCE"]}, r"'made-up': methods.0 = 'REINFORCE'"),
    ],
)
def test_a_mistake_is_named_with_its_row(change: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(GipoError, match=message):
        details.rows(write(tmp_path, ENTRY | change))


def test_a_missing_key_and_a_doubled_id_are_named(tmp_path: Path) -> None:
    with pytest.raises(GipoError, match="'made-up': here is missing"):
        details.rows(write(tmp_path, {key: value for key, value in ENTRY.items() if key != "here"}))
    with pytest.raises(GipoError, match="more than one detail has the id 'made-up'"):
        details.rows(write(tmp_path, ENTRY, ENTRY))


@pytest.mark.parametrize("text", ["a: b", "- [", "just words"])
def test_a_file_that_is_no_list_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "details.yaml").write_text(text)
    with pytest.raises(GipoError, match=r"details\.yaml"):
        details.rows(tmp_path)
    with pytest.raises(GipoError, match=r"no details in .*missing"):
        details.rows(tmp_path / "missing")


def test_nothing_that_is_described_gets_imported() -> None:
    command = "import sys; from gipo.report import details; details.markdown(); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert not {"torch", "mujoco", "metaworld", "gipo.learner"} & set(ast.literal_eval(done.stdout))
