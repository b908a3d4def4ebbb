"""More episodes of a trained policy, against those that its run played itself."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from scipy.stats import norm
from typer.testing import CliRunner

from gipo import evaluate as evaluation
from gipo.cli import cli
from gipo.engines import lockstep
from gipo.errors import GipoError
from gipo.evaluate import evaluate, summary
from gipo.files import read_json
from gipo.runs.directory import RunDirectory
from gipo.runs.finished import FinishedRun
from gipo.study import Study
from small_study import STUDY

EPISODES = 7  # in groups of two; the run itself played three


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = Study.model_validate(STUDY).run("door-open-v3", "stale", "gipo-1-1", 5)
    path = tmp_path_factory.mktemp("runs") / spec.run_id
    lockstep.train(spec, path, tell=lambda line: None)
    return path


def play(run: Path, out: Path, action="most-probable", workers: int = 0, tell=print, episodes: int = EPISODES):
    results = evaluate(run, out, episodes, action, workers, "cpu", Path("nowhere"), tell)
    return results, pd.read_csv(out.with_suffix(".csv"), float_precision="round_trip")


@pytest.fixture(scope="module")
def played(run: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return play(run, tmp_path_factory.mktemp("played") / "out.json")[1]


def test_the_first_episodes_are_those_of_the_run(run: Path, played: pd.DataFrame):
    own = FinishedRun.read(run).evaluation()
    own = own[own["update"] == own["update"].max()].reset_index(drop=True)
    columns = ["episode", "return", "success_any", "success_last"]
    pd.testing.assert_frame_equal(played[columns].head(len(own)), own[columns], check_dtype=False, check_exact=True)
    assert played["episode"].tolist() == list(range(EPISODES))
    assert played["seed"].nunique() == EPISODES
    assert set(played["task"]) == {"door-open-v3"}


@pytest.mark.slow
def test_processes_play_the_same(run: Path, played: pd.DataFrame, tmp_path: Path):
    pd.testing.assert_frame_equal(play(run, tmp_path / "out.json", workers=2)[1], played)


def test_a_stopped_evaluation_goes_on(run: Path, played: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Stops(evaluation.Player):
        def play(self, episodes: range):
            if episodes.start == 4:
                raise KeyboardInterrupt
            return super().play(episodes)

    out, lines, groups = tmp_path / "out.json", [], []
    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "Player", Stops)
        with pytest.raises(KeyboardInterrupt):
            play(run, out)
    play_group = evaluation.Player.play
    monkeypatch.setattr(evaluation.Player, "play", lambda self, group: groups.append(group) or play_group(self, group))
    pd.testing.assert_frame_equal(play(run, out, tell=lines.append)[1], played, check_exact=True)
    assert groups == [range(4, 6), range(6, 7)]
    assert lines == [f"4 of {EPISODES} episodes are in {out.with_suffix('.csv')} already"]


def test_sampled_actions_are_others_and_the_same_again(run: Path, played: pd.DataFrame, tmp_path: Path):
    first = play(run, tmp_path / "a.json", "sampled")[1]
    pd.testing.assert_frame_equal(first, play(run, tmp_path / "b.json", "sampled")[1])
    assert (first["return"] != played["return"]).any()


def test_another_evaluation_is_not_mixed_with_it(run: Path, tmp_path: Path):
    play(run, tmp_path / "out.json", episodes=1)
    with pytest.raises(GipoError, match=r"out\.json holds another evaluation, .*'most-probable'.*: name another file"):
        play(run, tmp_path / "out.json", "sampled", episodes=1)


def test_a_policy_that_was_changed_is_refused(run: Path, tmp_path: Path):
    copy = tmp_path / Path(*run.parts[-4:])
    shutil.copytree(run, copy)
    with RunDirectory(copy).policy.open("r+b") as file:
        file.seek(1000)
        file.write(b"?")
    with pytest.raises(GipoError, match=r"policy\.pt"):
        play(copy, tmp_path / "out.json")


def test_intervals_are_wilsons_for_each_task_and_for_all():
    table = pd.DataFrame(
        {
            "task": ["a"] * 10 + ["b"] * 30,
            "return": range(40),
            "success_any": [True] * 9 + [False] + [True] * 30,
            "success_last": [False] * 40,
        }
    )
    results = {result["task"]: result for result in summary(table)}
    z, n, p = norm.ppf(0.975), 10, 0.9
    centre, half = (p + z * z / (2 * n)) / (1 + z * z / n), z / (1 + z * z / n)
    half *= (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    assert results["a"]["success_any"] == pytest.approx({"share": p, "low": centre - half, "high": centre + half})
    assert results["b"]["success_any"]["high"] == 1
    assert results["all"]["episodes"] == 40
    assert results["all"]["success_any"]["share"] == pytest.approx(39 / 40)
    assert results["all"]["success_last"]["low"] == 0


def test_the_command_says_and_writes_the_results(run: Path, tmp_path: Path):
    out = tmp_path / "new" / "evaluation.json"
    done = CliRunner().invoke(cli, ["evaluate", str(run), str(out), "--episodes", "2"])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("door-open-v3: 2 episodes, return ")
    found = read_json(out)
    assert found["about"]["episodes"] == found["results"][0]["episodes"] == 2
    assert found["machine"]["cores"]
