"""Results against the replay lifetime."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import trim_mean

from gipo.analysis.collect import Tables
from gipo.figures import lagsweep, style
from gipo.stages import StudyFolder
from pictures import overhang
from windows import windowed


def test_the_table_has_windowed_values_by_lifetime(results: StudyFolder):
    table = lagsweep.table(results, resamples=50)
    tables = Tables.read(results, "sweeps/lag")
    cells = table.set_index(["statistic", "regime", "method"])
    assert list(table["lifetime"].unique()) == [0.02, 0.2, 0.874]
    score = windowed(tables.evaluations, "score")
    for regime in ("lag-0.02", "lag-0.2", "lag-0.874"):
        for method in ("ppo-clip", "gipo-1-1"):
            expected = trim_mean(score[regime, method], 0.25)
            assert cells.loc[("score", regime, method), "value"] == pytest.approx(expected)
            for statistic in ("d95", "near_zero"):
                expected = windowed(tables.metrics, statistic)[regime, method].mean()
                assert cells.loc[(statistic, regime, method), "value"] == pytest.approx(expected)
    old = table[table["statistic"] == "ess_eff_old"].set_index("lifetime")["value"]
    assert np.isnan(old[0.02]).all()
    assert (old[0.2] > 0).all()


def test_the_caption_says_what_was_kept_equal(results: StudyFolder):
    words = lagsweep.caption(lagsweep.table(results, resamples=50))
    for part in (
        *("1 task x 2 seeds per method and lifetime", "237,312 to 237,326 env steps and 5,000 updates"),
        *("from 4,736 to 206,976 transitions", "95 %, percentile", "Not in the paper"),
    ):
        assert part in words
    assert "NaN" not in words  # ESS_Eff_Old is undefined below K, and said to be


@pytest.mark.parametrize(
    ("regimes", "methods", "seeds"),
    [
        (["lag-0.01", "lag-0.05", "lag-0.3", "lag-1.0"], ["no-clip", "ppo-clip", "sapo", "gipo-1-1"], 2),
        (["lag-0.02", "lag-0.05"], ["gipo-1-1"], 1),
        (["lag-0.5"], ["ppo-clip", "gipo-1-1"], 2),
    ],
    ids=["four lifetimes", "all below K, one seed", "one lifetime"],
)
def test_any_sweep_can_be_drawn(
    regimes: list[str], methods: list[str], seeds: int, sweep_of: Callable[..., StudyFolder]
):
    style.apply()
    grid = {"tasks": ["door-open-v3"], "regimes": regimes, "methods": methods, "seeds": seeds}
    table = lagsweep.table(sweep_of("lag", **grid), resamples=20)
    assert overhang(lagsweep.draw(table)) < 0.01
    assert lagsweep.caption(table)
