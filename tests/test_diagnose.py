"""`gipo diagnose` against numbers by hand, and against the same samples in other shapes and files."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gipo import objectives
from gipo.analysis.methods import identify
from gipo.diagnose import batch, diagnose, picture, show, table
from gipo.errors import GipoError
from pictures import overhang
from printed import blocks, commands

RHO = np.array([1.0, 1.5, 0.5, 2.0])
SMALL = {
    "log_pi": np.log(RHO) - 1,
    "log_mu": np.full(4, -1.0),
    "advantage": np.array([1.0, 2.0, -1.0, -3.0]),
    "gap": np.array([0, 0, 4, 8]),
}
"""PPO-Clip's multipliers are 1, 0, 0, 2."""
OF_ACTIONS = ["gmpo", "gspo", "vespo"]


def written(folder: Path, arrays: dict[str, Any], suffix: str = ".npz") -> Path:
    path = folder / f"batch{suffix}"
    if suffix == ".npz":
        np.savez(path, **arrays)
    elif suffix == ".csv":
        pd.DataFrame(arrays).to_csv(path, index=False)
    else:
        pd.DataFrame(arrays).to_parquet(path)
    return path


def numbers(path: Path, old_gap: float | None = None) -> pd.DataFrame:
    """All that the command writes of a batch, a row per method."""
    samples = batch.read(path).samples
    old_gap = table.usual_old_gap(samples) if old_gap is None else old_gap
    return table.of_objectives(samples, old_gap).assign(**table.of_batch(samples, old_gap)).set_index("method")


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".parquet"])
def test_a_small_batch_by_hand(tmp_path: Path, suffix: str) -> None:
    found = numbers(written(tmp_path, SMALL, suffix))
    of_batch = {"samples": 4, "zero_advantage": 0, "d95": math.log(2), "rho_q50": math.sqrt(1.5), "outside_clip": 3 / 4}
    of_batch |= {"gap_mean": 3, "gap_q50": 2, "old_gap": 4, "old_frac": 1 / 2}
    ppo = {"multiplier_mean": 3 / 4, "multiplier_q50": 1 / 2, "ess_eff": 3**2 / 5 / 4, "ess_eff_old": 2**2 / 4 / 2}
    ppo |= {"dead": 1 / 2, "suppressed": 0, "near_zero": 1 / 2, "zero_gradient": 1 / 2, "old_share": 6 / 7}
    assert found.loc["ppo-clip", [*of_batch, *ppo]].to_dict() == pytest.approx(of_batch | ppo, abs=1e-6)
    m = [1, 1.381631, 0.393225, 1.572897]  # rho exp(-(log rho)^2 / 2)
    gipo = {
        "multiplier_mean": sum(m) / 4,
        "ess_eff": sum(m) ** 2 / sum(x**2 for x in m) / 4,
        "multiplier_q50": 1.190815,
    }
    gipo |= {"ess_eff_old": (m[2] + m[3]) ** 2 / (m[2] ** 2 + m[3] ** 2) / 2, "dead": 0, "near_zero": 0}
    gipo |= {"old_share": (m[2] + 3 * m[3]) / (m[0] + 2 * m[1] + m[2] + 3 * m[3])}
    assert found.loc["gipo-1-1", list(gipo)].to_dict() == pytest.approx(gipo, rel=1e-5)


def test_an_advantage_of_0_leaves_no_gradient_but_no_dead_sample(tmp_path: Path) -> None:
    found = numbers(written(tmp_path, SMALL | {"advantage": np.array([0.0, 2, -1, -3])}))
    assert found.loc["ppo-clip", ["dead", "zero_gradient", "zero_advantage"]].tolist() == [1 / 2, 3 / 4, 1 / 4]
    assert found.loc["gipo-1-1", ["dead", "zero_gradient"]].tolist() == [0, 1 / 4]


def test_old_samples_begin_where_the_user_says(tmp_path: Path) -> None:
    found = numbers(written(tmp_path, SMALL), old_gap=4.5).loc["ppo-clip"]
    assert found[["old_frac", "old_share"]].tolist() == pytest.approx([1 / 4, 6 / 7])


def test_every_objective_of_the_package_has_a_row(tmp_path: Path) -> None:
    found = numbers(written(tmp_path, SMALL))
    assert set(found["objective"]) == set(objectives.names())
    assert (found["left_out"] == "").all()
    pairs = zip(found["objective"], found["parameters"].map(json.loads), strict=True)
    assert found.index.tolist() == [identify(*pair) for pair in pairs]
    assert found.index.is_unique


def actions(seed: int = 0) -> dict[str, np.ndarray]:
    """24 actions of 4 dimensions, with an advantage and a gap each."""
    rng = np.random.default_rng(seed)
    log_pi, log_mu = -rng.exponential(size=(2, 24, 4))
    gap = rng.integers(0, 9, (24, 1))
    return {"log_pi": log_pi, "log_mu": log_mu, "advantage": rng.normal(size=(24, 1)), "gap": gap}


@pytest.mark.parametrize("shape", [(2, 12), (3, 2, 4), (24, 1)])
def test_the_shape_of_the_batch_does_not_matter(tmp_path: Path, shape: tuple[int, ...]) -> None:
    expected = numbers(written(tmp_path, actions()))
    shaped = {name: array.reshape(*shape, -1) for name, array in actions().items()}
    same(numbers(written(tmp_path, shaped)), expected)


def test_for_most_objectives_each_dimension_is_a_sample_of_its_own(tmp_path: Path) -> None:
    expected = numbers(written(tmp_path, actions()))
    flat = {name: np.broadcast_to(array, (24, 4)).ravel() for name, array in actions().items()}
    found = numbers(written(tmp_path, flat))
    same(found.query("objective not in @OF_ACTIONS"), expected.query("objective not in @OF_ACTIONS"))
    assert found.loc["gspo", "dead"] != expected.loc["gspo", "dead"]


def test_a_log_ratio_is_as_good_as_the_pair_where_no_probability_is_needed(tmp_path: Path) -> None:
    pair = actions()
    expected = numbers(written(tmp_path, pair))
    ratio = {"log_ratio": pair["log_pi"] - pair["log_mu"], "advantage": pair["advantage"], "gap": pair["gap"]}
    found = numbers(written(tmp_path, ratio))
    same(found.drop("dppo-tv"), expected.drop("dppo-tv"))
    assert found.loc["dppo-tv", "left_out"] == "DPPOTV needs log_mu"
    same(numbers(written(tmp_path, ratio | {"log_mu": pair["log_mu"]})), expected)


def test_without_gaps_all_but_the_old_samples_are_as_before(tmp_path: Path) -> None:
    pair = actions()
    expected = numbers(written(tmp_path, pair)).drop("decoupled-ppo")
    del pair["gap"]
    found = numbers(written(tmp_path, pair))
    assert found.loc["decoupled-ppo", "left_out"] == "DecoupledPPO needs gap"
    found = found.drop("decoupled-ppo")
    old = ["near_zero_old", "old_share", "ess_eff_old"]
    assert found[old].isna().all(axis=None)
    kept = found.columns.difference(old)
    assert {"d95", "dead", "ess_eff"} < set(kept)
    same(found[kept], expected[kept])


def test_one_advantage_of_all_tokens_is_that_of_the_response_and_several_are_not(tmp_path: Path) -> None:
    expected = numbers(written(tmp_path, actions()))
    mask = np.ones((24, 4))
    mask[0, 2:], mask[5] = 0, 0
    tokens = actions() | {"advantage": np.repeat(actions()["advantage"], 4, axis=1)}
    same(numbers(written(tmp_path, tokens)), expected)
    expected = numbers(written(tmp_path, actions() | {"mask": mask}))
    same(numbers(written(tmp_path, tokens | {"mask": mask, "advantage": tokens["advantage"] * mask})), expected)
    tokens["advantage"][3, 1] += 1
    found = numbers(written(tmp_path, tokens))
    assert found.index[found["left_out"] != ""].tolist() == ["gspo", "gmpo", "vespo"]
    assert "one advantage for an action" in found.loc["gspo", "left_out"]


NUMBERS = st.floats(-20, 20).map(lambda x: round(x, 3))
ROWS = st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, st.integers(0, 50)), min_size=1, max_size=12)
PADDING = st.lists(st.tuples(*[st.sampled_from([0.0, 1e9, math.nan, math.inf, -math.inf])] * 4), max_size=5)


@settings(max_examples=25)
@given(ROWS, PADDING, st.randoms(use_true_random=False), st.sampled_from([(-1,), (1, -1)]))
def test_a_mask_is_as_good_as_dropping_the_samples(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], padding: list[Any], chance: Any, shape: tuple[int, ...]
) -> None:
    """As samples of their own, and as the tokens of one response."""
    folder = tmp_path_factory.mktemp("batch")
    if len(shape) > 1:
        rows = [(*row[:2], rows[0][2], row[3]) for row in rows]
    order = [True] * len(rows) + [False] * len(padding)
    chance.shuffle(order)
    both = {True: iter(rows), False: iter(padding)}
    names = ("log_pi", "log_mu", "advantage", "gap")

    def arrays(listed: list[Any]) -> dict[str, np.ndarray]:
        columns = zip(*listed, strict=True)
        return {name: np.array(column).reshape(shape) for name, column in zip(names, columns, strict=True)}

    expected = numbers(written(folder, arrays(rows)))
    masked = arrays([next(both[counts]) for counts in order]) | {"mask": np.array(order).reshape(shape)}
    same(numbers(written(folder, masked)), expected)
    assert (expected["left_out"] == "").all()


def changed(**arrays: Any) -> Callable[[Path], Path]:
    """Writes the small batch with other arrays; None for none."""
    content = {name: array for name, array in (SMALL | arrays).items() if array is not None}
    return lambda folder: written(folder, content)


def raw(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


RAGGED = np.array([np.ones(2), np.ones(3)], dtype=object)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda folder: folder / "none.npz", ["cannot read", "none.npz", "No such file"]),
        (raw("batch.pt", b""), ["batch.pt", "expected a file .npz, .parquet or .csv"]),
        (raw("batch.npz", b"not a zip"), ["batch.npz is no npz", "zip file"]),
        (raw("batch.npz", b"\x93NUMPY"), ["batch.npz is no npz"]),
        (raw("batch.parquet", b"PAR1"), ["batch.parquet is no parquet"]),
        (raw("batch.csv", b""), ["batch.csv is no csv", "Empty"]),
        (raw("batch.csv", b"\x93NUMPY"), ["batch.csv is no csv"]),
        (raw("batch.csv", b"log_ratio,advantage\n1,2\n1,2,3\n"), ["batch.csv is no csv", "Expected 2 columns, got 3"]),
        (raw("batch.csv", b"log_ratio,advantage\n1,much\n"), ["batch.csv is no csv", "'much'"]),
        (raw("batch.csv", b"log_ratio,advantage,mask\n"), ["holds no samples"]),
        (raw("batch.csv", b"log_ratio,advantage,mask\n1,1,yes\n"), ["'mask' holds str"]),
        (raw("batch.csv", b"log_ratio,log_ratio,advantage\n1,1,1\n"), ["batch.csv", "log_ratio", "2 times"]),
        (
            changed(advantage=None, advantages=np.ones(4)),
            ["'advantage' is missing", "mean 'advantages'?", "has log_pi"],
        ),
        (changed(log_mu=None, log_old=np.ones(4)), ["'log_mu' is missing", "(or log_ratio)"]),
        (changed(log_pi=None, log_mu=None), ["'log_pi' is missing", "it has advantage, gap"]),
        (changed(log_ratio=np.ones(4)), ["log_pi and log_ratio"]),
        (changed(log_pi=RAGGED), ["'log_pi' holds objects", "pad"]),
        (changed(advantage=np.array(["1"] * 4)), ["'advantage' holds <U1, expected numbers"]),
        (changed(advantage=np.ones(4, complex)), ["'advantage' holds complex128"]),
        (changed(advantage=np.ones(3)), ["advantage [3, 1]", "shapes do not broadcast"]),
        (changed(advantage=np.ones((4, 1))), ["log_pi [4]", "advantage [4, 1]", "[rows, 1]"]),
        (changed(mask=np.ones((2, 4))), ["mask [2, 4]", "shapes do not broadcast"]),
        (
            changed(log_pi=np.array([-1, math.nan, -1, -math.inf])),
            ["'log_pi' is nan at [1, 0]", "2 of 4", "not within"],
        ),
        (changed(advantage=np.array([1, 1, 1e31, 1])), ["'advantage' is 1e+31 at [2, 0]"]),
        (changed(gap=np.array([0, 1, math.nan, 3])), ["'gap' is nan at [2, 0]"]),
        (changed(gap=np.array([0, -7, 0, 0])), ["'gap' is -7 at [1, 0]", "learner updates"]),
        (changed(mask=np.array([1, 0.5, 1, 1])), ["'mask' has 0.5", "expected 0"]),
        (changed(mask=np.array([1, math.nan, 1, 1])), ["'mask' has nan"]),
        (changed(mask=np.zeros(4, bool)), ["'mask' is 0 for all 4 samples"]),
        (changed(**{name: np.ones((0, 4)) for name in SMALL}), ["holds no samples", "[0, 4]"]),
    ],
)
def test_a_mistake_is_named_in_one_line(write: Callable[[Path], Path], words: list[str], tmp_path: Path) -> None:
    with pytest.raises(GipoError) as error:
        diagnose(write(tmp_path), None, tmp_path / "out.csv", tmp_path / "out.png")
    assert str(error.value).count("\n") == 0
    for word in words:
        assert word in str(error.value)
    assert not list(tmp_path.glob("out.*"))


def test_ragged_columns_of_a_parquet_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "batch.parquet"
    pd.DataFrame({"log_ratio": [[1.0], [1.0, 2.0]], "advantage": [1.0, 2.0]}).to_parquet(path)
    with pytest.raises(GipoError, match="'log_ratio' holds ndarray, expected numbers: pad"):
        batch.read(path)


def test_options_that_say_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GipoError, match="has no gap"):
        diagnose(changed(gap=None)(tmp_path), 4.0, None, None)
    with pytest.raises(GipoError, match=r"picture\.gif: expected a file \.png or \.svg"):
        diagnose(changed()(tmp_path), None, None, tmp_path / "picture.gif")


def test_the_terminal_has_every_objective_in_80_letters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    many = {name: np.repeat(array, 1000, axis=0) for name, array in actions().items()}
    many["log_pi"] *= 9  # multipliers from nothing to 1e13
    diagnose(written(tmp_path, many | {"masks": np.ones(1)}), None, None, None)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("not used") and "did you mean 'mask'" in line for line in lines)
    assert max(map(len, lines[8:])) <= 80
    firsts = [line.split()[0] for line in lines if line]
    methods = numbers(tmp_path / "batch.npz").index
    assert [firsts.count(method) for method in methods] == [2] * len(methods)
    ppo = next(line.split() for line in lines if line.startswith("ppo-clip "))
    assert float(ppo[1]) == pytest.approx(numbers(tmp_path / "batch.npz").loc["ppo-clip", "multiplier_mean"], rel=5e-3)


def test_without_gaps_the_terminal_says_nothing_of_old_samples(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    diagnose(changed(gap=None)(tmp_path), None, None, None)
    out = capsys.readouterr().out
    assert "left out: decoupled-ppo (DecoupledPPO needs gap)" in out
    assert "from old" not in out
    assert "–" not in out


def test_only_nothing_is_written_as_0_and_only_all_as_100() -> None:
    shares = {0.0: "0", 1e-9: "<0.1", 0.123: "12.3", 0.9999: ">99.9", 1.0: "100", math.nan: "–"}
    assert [show.percent(share) for share in shares] == list(shares.values())


@pytest.mark.parametrize("scale", [0, 1, 9])
@pytest.mark.parametrize("left_out", [(), ("gap",)])
def test_nothing_of_the_picture_is_cut_off(tmp_path: Path, scale: float, left_out: tuple[str, ...]) -> None:
    arrays = actions() | {"log_pi": actions()["log_mu"] + scale * (actions()["log_pi"] - actions()["log_mu"])}
    found = numbers(written(tmp_path, {name: array for name, array in arrays.items() if name not in left_out}))
    figure = picture.draw(found.iloc[0].to_dict(), found.reset_index())
    assert overhang(figure) < 0.02
    left, middle, right = figure.axes
    labels = [label.get_text() for label in left.get_yticklabels()]
    shown = found[found["left_out"] == ""]
    assert len(labels) == len(shown)
    row = labels.index("PPO-Clip")
    assert middle.patches[row].get_width() == pytest.approx(found.loc["ppo-clip", "zero_gradient"])
    effective = [
        line.get_xdata()[0] for line in right.lines if line.get_ydata()[0] == row and line.get_mfc() != "white"
    ]
    assert effective == pytest.approx([found.loc["ppo-clip", "ess_eff"]])


def test_a_page_says_how_to_dump_and_diagnose_a_batch(tmp_path: Path) -> None:
    page = "docs/diagnose.md"
    for block in blocks():
        if (block.place, block.language) == (page, "python"):
            subprocess.run([sys.executable, "-c", block.text], cwd=tmp_path, check=True)
    printed = [
        command.words
        for command in commands()
        if command.place == page and command.words[2:] and command.words[0] == "gipo"
    ]
    assert len(printed) == 2
    for words in printed:
        done = subprocess.run([sys.executable, "-m", *words], cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert "gipo-1-1" in done.stdout
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    written_numbers = pd.read_csv(tmp_path / "table.csv", keep_default_na=False).set_index("method")
    same(written_numbers.astype(numbers(tmp_path / "batch.npz", 4).dtypes), numbers(tmp_path / "batch.npz", 4))
