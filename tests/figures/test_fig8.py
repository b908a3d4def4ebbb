from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from gipo.analysis.collect import Tables
from gipo.figures import fig8, style
from gipo.stages import StudyFolder
from pictures import overhang


@pytest.fixture(scope="module")
def table(results: StudyFolder) -> pd.DataFrame:
    return fig8.table(results, resamples=20)


def correlations(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["panel"] == "correlation"].set_index("regime")


def with_lags(
    sources: StudyFolder, gaps: dict[tuple[str, str], float], tails: dict[tuple[str, str], float]
) -> StudyFolder:
    """Give every (regime, method) a mean gap in updates and a D0.95; seeds lie evenly around both."""
    tables = Tables.read(sources)
    keys = list(zip(tables.metrics["regime"], tables.metrics["method"], strict=True))
    seeds = tables.metrics["seed"] - tables.metrics["seed"].mean()
    tables.metrics["gap_mean"] = [gaps[key] for key in keys] + seeds
    tables.metrics["d95"] = [tails[key] for key in keys] + 0.01 * seeds
    tables.write(sources, "tables", {})
    return sources


def test_points_are_the_windowed_values_of_runs_and_their_means(table: pd.DataFrame, results: StudyFolder):
    metrics = Tables.read(results).metrics
    door = metrics[metrics["task"] == "door-open-v3"]
    late = door[door["env_steps"] >= 0.8 * door.groupby("run_id")["env_steps"].transform("max")]
    key = ["regime", "method"]
    expected = late.groupby([*key, "seed"])[["gap_mean", "d95"]].mean()
    runs = table[table["panel"] == "run"].set_index([*key, "seed"]).sort_index()
    np.testing.assert_allclose(runs["gap_share"], expected["gap_mean"] / 5000)
    np.testing.assert_allclose(runs["d95"], expected["d95"])
    means = table[table["panel"] == "configuration"].set_index(key).sort_index()
    np.testing.assert_allclose(means["d95"], expected["d95"].groupby(key).mean())
    assert len(means) == 2 * 4


def test_r_and_p_are_those_of_the_configurations(results_of: Callable[..., StudyFolder]):
    cells = [(regime, method) for regime in ("fresh", "stale") for method in ("no-clip", "sapo", "gipo-1-1")]
    x, y = [200, 300, 500, 1500, 2000, 2600], [0.1, 0.4, 0.2, 1.0, 2.5, 0.9]
    sources = results_of(tasks=["door-open-v3"], methods=["no-clip", "sapo", "gipo-1-1"], seeds=3)
    with_lags(sources, dict(zip(cells, x, strict=True)), dict(zip(cells, y, strict=True)))
    table = fig8.table(sources, resamples=20)
    rows = correlations(table)
    for regime, part in (("all", slice(None)), ("fresh", slice(3)), ("stale", slice(3, None))):
        r, n = np.corrcoef(x[part], y[part])[0, 1], len(x[part])
        p = 2 * t.sf(abs(r) * np.sqrt((n - 2) / (1 - r**2)), n - 2)
        assert rows.loc[regime, ["r", "p", "n"]].tolist() == pytest.approx([r, p, n])
        assert rows.loc[regime, "low"] <= r <= rows.loc[regime, "high"]
    caption = fig8.caption(table)
    assert "Within stale: r = " in caption
    assert "clusters of lag" not in caption


def test_two_lags_are_called_clusters_and_one_has_no_r(table: pd.DataFrame):
    rows = correlations(table)
    assert rows.loc["all", "r"] > 0.99  # made-up D0.95 depend on the regime alone
    assert rows.loc[["fresh", "stale"], "r"].isna().all()
    caption = fig8.caption(table)
    assert "only 2 clusters of lag" in caption
    assert "Within stale its 4 share one lag" in caption


def test_the_picture_says_r_beside_the_authors(table: pd.DataFrame):
    words = next(text.get_text() for text in fig8.draw(table).axes[0].texts if "this study" in text.get_text())
    row = correlations(table).loc["all"]
    assert f"this study: r = {row['r']:.3f}" in words
    assert "n = 8" in words
    assert "paper: r = 0.793, p = 0.002" in words


def test_without_door_open_and_with_one_regime_it_draws_and_quotes_nothing(results_of: Callable[..., StudyFolder]):
    style.apply()
    sources = results_of(tasks=["push-v3"], regimes=["fresh"], methods=["ppo-clip", "sapo", "gipo-1-1"], seeds=1)
    table = fig8.table(sources, resamples=20)
    assert overhang(fig8.draw(table)) < 0.01
    caption = fig8.caption(table)
    assert "push-v3" in caption
    assert "1 task x 1 seed per large point" in caption
    assert "r undefined, n = 3. They all have one lag" in caption
    assert "[C]" not in caption


def test_caption_carries_n_interval_and_source(table: pd.DataFrame):
    caption = fig8.caption(table)
    for part in ("door-open-v3", "1 task x 3 seeds", "95 %, percentile", "r = 0.793, p = 0.002 [C]"):
        assert part in caption
