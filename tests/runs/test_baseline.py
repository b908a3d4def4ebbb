"""A measured baseline is what its manifest says, or it is refused by name with a way out."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from factories import write_baseline, write_run
from gipo.errors import GipoError
from gipo.runs.baseline import Baseline
from gipo.runs.current import check_code
from gipo.tables import BASELINES, read_table


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_baseline(tmp_path, "door-open-v3")


def refused(path: Path, message: str) -> None:
    with pytest.raises(GipoError, match=f"{message}.*; delete the directory, then make reproduce makes it again"):
        Baseline.read(path).episodes()


def test_a_whole_one_is_read(path: Path):
    episodes = Baseline.read(path).episodes()
    assert episodes.groupby("policy")["episode"].apply(list).to_dict() == {
        policy: [0, 1, 2, 3, 4] for policy in ("expert", "random")
    }


@pytest.mark.parametrize("name", ["episodes.parquet", "manifest.json"])
@pytest.mark.parametrize("damage", [lambda data: data[:-10], lambda data: data[:-9] + b"~" + data[-8:], lambda _: b""])
def test_a_damaged_file_is_named(path: Path, name: str, damage: Callable[[bytes], bytes]):
    (path / name).write_bytes(damage((path / name).read_bytes()))
    refused(path, f"{path / name}")


@pytest.mark.parametrize("name", ["episodes.parquet", "manifest.json"])
def test_a_missing_file_is_named(path: Path, name: str):
    (path / name).unlink()
    refused(path, str(path))


def test_another_tasks_is_refused(path: Path, tmp_path: Path):
    other = write_baseline(tmp_path, "button-press-v3")
    shutil.copyfile(other / "episodes.parquet", path / "episodes.parquet")
    refused(path, f"{path / 'episodes.parquet'} (was changed|has)")
    shutil.copyfile(other / "manifest.json", path / "manifest.json")
    refused(path, f"{path} holds another baseline, button-press-v3-")


@pytest.mark.parametrize(
    "change",
    [lambda table: pd.concat([table, table]), lambda table: table.iloc[:5], lambda table: table.assign(task="other"),
     lambda table: table.assign(policy="expert"), lambda table: table.assign(**{"return": float("nan")})],
)  # fmt: skip
def test_rows_that_were_not_measured_are_refused_with_a_manifest_of_their_own(
    path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]
):
    made = Baseline.read(path).manifest
    table = change(read_table(path / "episodes.parquet", BASELINES))
    facts = made.model_dump(include={"task", "episodes", "spec_digest", "code_digest"})
    Baseline.write(path, table, **facts)
    refused(path, f"{path / 'episodes.parquet'} has not 5 episodes of each policy")


def test_todays_code_made_runs_and_baselines_or_they_are_refused_by_name(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    runs = [write_run(tmp_path / "runs")]
    check_code(runs, [path], "metaworld")
    with monkeypatch.context() as patch:
        patch.setattr("gipo.runs.current.code_of", lambda spec: "0" * 64)
        with pytest.raises(GipoError, match=rf"{runs[0]} was made by other code.*make reproduce trains it again"):
            check_code(runs, [path], "metaworld")
    monkeypatch.setattr("gipo.runs.current.code_digest", lambda *modules: "0" * 64)
    with pytest.raises(GipoError, match=rf"{path} was made by other code.*make reproduce makes it again"):
        check_code(runs, [path], "metaworld")
