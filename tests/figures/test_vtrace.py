"""V-trace against GAE, with and without a trust weight."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import trim_mean

from gipo.analysis.collect import Tables
from gipo.errors import GipoError
from gipo.figures import style, vtrace
from gipo.stages import StudyFolder
from pictures import overhang

FOUR = ("no-clip", "gipo-1-1", "vtrace-no-clip", "vtrace-gipo-1-1")


def test_the_table_has_every_cell_of_the_two_by_two(results: StudyFolder):
    table = vtrace.table(results, resamples=50)
    iqm = table[table["panel"] == "iqm"].set_index("method")
    assert list(iqm.index) == list(FOUR)
    assert list(iqm["estimator"]) == ["gae", "gae", "vtrace", "vtrace"]
    np.testing.assert_array_equal(iqm["refresh_every"], [np.nan, np.nan, 100, 100])
    evaluations = Tables.read(results, "sweeps/vtrace").evaluations
    late = evaluations[evaluations["env_steps"] >= 0.8 * evaluations["env_steps"].max()]
    scores = late.groupby(["method", "seed", "update"])["score"].mean().groupby(["method", "seed"]).mean()
    for method in FOUR:
        assert iqm.loc[method, "value"] == pytest.approx(trim_mean(scores[method], 0.25))
        curve = table[(table["panel"] == "efficiency") & (table["method"] == method)]
        assert curve["x"].is_monotonic_increasing
        assert curve["value"].iloc[-1] == pytest.approx(
            evaluations[(evaluations["method"] == method) & (evaluations["update"] == 5000)]["score"].mean()
        )
    for row in table[table["panel"] == "improvement"].itertuples():
        pairs = scores["vtrace-gipo-1-1"].to_numpy()[:, None] - scores[row.method].to_numpy()
        assert row.value == pytest.approx((pairs > 0).mean())


def test_the_caption_says_who_beats_whom_and_how_targets_were_made(results: StudyFolder):
    words = vtrace.caption(vtrace.table(results, resamples=50))
    for part in (
        *("1 task x 2 seeds", "GAE: frozen once stored; V-trace: recomputed every 100 updates.", "[P C.1"),
        *("against No-Clip;", "against GIPO (1, 1);", "against No-Clip + V-trace.", "95 %, percentile"),
    ):
        assert part in words


@pytest.mark.parametrize(
    ("methods", "seeds"),
    [(FOUR, 3), (["gipo-1-1", "vtrace-gipo-1-1"], 1), (["no-clip", "vtrace-no-clip", "sapo"], 2)],
    ids=["all", "one objective, one seed", "without the combination"],
)
def test_any_part_of_it_can_be_drawn(methods: list[str], seeds: int, sweep_of: Callable[..., StudyFolder]):
    style.apply()
    grid = {"tasks": ["door-open-v3"], "regimes": ["stale"], "methods": methods, "seeds": seeds}
    table = vtrace.table(sweep_of("vtrace", **grid), resamples=20)
    assert overhang(vtrace.draw(table)) < 0.01
    assert ("Probability that a run" in vtrace.caption(table)) == ("vtrace-gipo-1-1" in methods)


def test_a_scale_without_the_sweep_is_an_error(tmp_path: Path):
    with pytest.raises(GipoError, match=r"sweeps/vtrace/runs\.parquet is missing"):
        vtrace.table(StudyFolder(tmp_path))
