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
from gipo.evaluate import Player, evaluate, line, summary
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


def test_a_run_is_played_whatever_its_folder_is_called(run: Path, played: pd.DataFrame, tmp_path: Path):
    moved = shutil.copytree(run, tmp_path / "mine")
    pd.testing.assert_frame_equal(play(moved, tmp_path / "out.json")[1], played)


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
    assert read_json(out)["counts"] == {"asked": EPISODES, "played": 4, "failed": 0, "skipped": 3}
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
    results = {result["task"]: result for result in summary(table, "libero_goal")}
    z, n, p = norm.ppf(0.975), 10, 0.9
    centre, half = (p + z * z / (2 * n)) / (1 + z * z / n), z / (1 + z * z / n)
    half *= (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    assert results["a"]["success_any"] == pytest.approx({"share": p, "low": centre - half, "high": centre + half})
    assert results["b"]["success_any"]["high"] == 1
    assert results["libero_goal"]["episodes"] == 40
    assert results["libero_goal"]["success_any"]["share"] == pytest.approx(39 / 40)
    assert results["libero_goal"]["success_last"]["low"] == 0


@pytest.mark.parametrize(
    ("successes", "episodes", "interval"),
    [
        (97, 100, (0.9155, 0.9897)),
        # R. G. Newcombe, Statistics in Medicine 17, 857 (1998), table I, method 3
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_intervals_are_the_published_ones(successes: int, episodes: int, interval: tuple[float, float]):
    solved = [episode < successes for episode in range(episodes)]
    table = pd.DataFrame({"task": "a", "return": 0.0, "success_any": solved, "success_last": solved})
    [result] = summary(table, "suite")
    found = tuple(result["success_last"][end] for end in ("low", "high"))
    assert found == pytest.approx(interval, abs=5e-5)
    assert f"{successes / episodes:.3f} [{found[0]:.3f}, {found[1]:.3f}]" in line(result)


class Breaks(Player):
    """A player whose simulator breaks off in some episodes."""

    episodes: tuple[int, ...] = ()
    error: Exception = ValueError("huge value in QACC")

    def __setattr__(self, name, value):
        if name == "suite":
            play_all = value.evaluate
            value.evaluate = lambda actor, update, episodes: self.checked(episodes) or play_all(actor, update, episodes)
        super().__setattr__(name, value)

    def checked(self, episodes: range) -> None:
        if set(episodes) & set(self.episodes):
            raise self.error


def test_an_episode_that_breaks_off_is_counted_and_its_neighbour_is_played_alone(
    run: Path, played: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(evaluation, "Player", Breaks)
    monkeypatch.setattr(Breaks, "episodes", (3,))
    found, table = play(run, tmp_path / "out.json")
    assert found["counts"] == {"asked": EPISODES, "played": EPISODES - 1, "failed": 1, "skipped": 0}
    [result] = found["results"]
    assert (result["episodes"], result["failed"]) == (EPISODES - 1, 1)
    rest = played[played["episode"] != 3]
    assert result["return"] == pytest.approx(rest["return"].mean())
    assert table["error"].dropna().to_dict() == {3: "ValueError: huge value in QACC"}
    pd.testing.assert_series_equal(table["return"].dropna(), rest["return"])
    monkeypatch.setattr(Breaks, "episodes", range(EPISODES))
    assert play(run, tmp_path / "out.json")[0] == found


def test_where_every_episode_breaks_off_the_error_is_told(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(evaluation, "Player", Breaks)
    monkeypatch.setattr(Breaks, "episodes", range(EPISODES))
    with pytest.raises(GipoError, match="could be played: ValueError: huge value in QACC"):
        play(run, tmp_path / "out.json")
    assert read_json(tmp_path / "out.json")["counts"] == {"asked": EPISODES, "played": 0, "failed": 2, "skipped": 5}
    monkeypatch.setattr(Breaks, "error", MemoryError())
    with pytest.raises(MemoryError):
        play(run, tmp_path / "other.json")


def test_the_command_says_and_writes_the_results(run: Path, tmp_path: Path):
    out = tmp_path / "new" / "evaluation.json"
    done = CliRunner().invoke(cli, ["evaluate", str(run), str(out), "--episodes", "2"])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("door-open-v3: 2 episodes, return ")
    assert done.output.endswith("2 episodes were asked for: 2 played, 0 failed, 0 skipped\n")
    found = read_json(out)
    assert found["about"]["episodes"] == found["results"][0]["episodes"] == 2
    assert found["machine"]["cores"]
