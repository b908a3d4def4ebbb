"""The guide: which objective for how stale data, as far as the arena can tell."""

from __future__ import annotations

import pandas as pd

from gipo.analysis import numbers
from gipo.analysis.collect import Tables
from gipo.figures import arena, style, words
from gipo.stages import StudyFolder

HEAD = """\
# Which objective for how stale data

Made by `gipo guide docs/which-objective.md reports/arena`, from real runs: {objectives} objectives on {task}, {runs}
per objective and lifetime, each run with about {env_steps} env steps and {updates} updates. Each objective has the
values of its own source, and none was tuned. [The figure](../reports/arena/figures/arena.png) and
[its numbers](../reports/arena/figures/arena.csv).

## By how stale the data are

Find your row by the mean version gap, that is the learner updates between the policy that collected a sample and the
one that learns from it, as a share of all your updates; or by D0.95, the 95th percentile of |log ρ|. *Level with the
best*: the 95 % interval of the difference in score holds 0. Numbers are final scores.
"""

LIMITS = """\
## What this cannot tell

- It is one task, a small network and short training. On another task the order may be another one.
- At equal env steps a shorter lifetime is a smaller replay: the data are fresher, but fewer and more alike.
- A score counts up to 1, the scripted expert's return in so short an episode. Objectives that reach it cannot be told
  apart by it; the figure has success rates beside.
- The best of {objectives} is flattered by luck; whoever is level with it may be the better choice.
- Values of a source were chosen for its own problem, mostly language models. A tuned objective may do better.
- Lag is the replay's alone here: actors and learner compute the same probabilities. Objectives made for engines that
  disagree, such as IcePop, find nothing of that to mend.
- Env steps are equal for all, and updates too. Whether it helps to wait for fresher data, by fewer
  updates, [another study](../reports/README.md) asks.

## Your own

`gipo arena add my_module:my_method` runs your objective in all of these rows and places it among the others;
[own-method.md](own-method.md#a-method) has an example of one.
"""


def markdown(study: StudyFolder) -> str:
    """The page of a study.

    Args:
        study: results of scale ``arena``.

    Raises:
        GipoError: the figure or the tables are missing or damaged.
    """
    return page(study.read_csv("figures/arena.csv"), arena.discarding(Tables.read(study, "sweeps/arena")))


def page(table: pd.DataFrame, discarding: pd.DataFrame) -> str:
    """The page, from the figure's numbers and those of `arena.discarding`."""
    facts = {
        "objectives": table["method"].nunique(),
        "task": table["task"].iloc[0],
        "runs": words.runs(table[table["statistic"] == "area"]),
        "env_steps": f"{table['env_steps'].mean():,.0f}",
        "updates": f"{table['updates'].mean():,.0f}",
    }
    rows = [_row(table, lifetime) for lifetime in sorted(table["lifetime"].dropna().unique())]
    by_lag = ["| mean version gap | D0.95 | best here | level with the best | behind |", "|---|---|---|---|---|", *rows]
    return "\n".join(
        (HEAD.format(**facts), *by_lag, "", *_overall(table), *_discarding(discarding), LIMITS.format(**facts))
    )


def _row(table: pd.DataFrame, lifetime: float) -> str:
    here = table[table["lifetime"] == lifetime]
    scores = here[here["statistic"] == "score"].set_index("method")["value"].sort_values(ascending=False)
    behind = here[here["statistic"] == "behind"].set_index("method")
    tails = here[(here["statistic"] == "d95") & (here["method"] == arena.REFERENCE)]["value"]
    tail = f"{tails.iloc[0]:.2g}" if len(tails) else ""
    best, *others = scores.index
    names = {method: f"{style.label(method)} {scores[method]:.2f}" for method in scores.index}
    worse = [method for method in others if behind.loc[method, "high"] < 0]
    level = [method for method in others if method not in worse]
    cells = (
        f"{lifetime / 2:.1%} ({lifetime / 2 * table['updates'].mean():,.0f} updates)",
        *(tail, names[best], ", ".join(names[m] for m in level), ", ".join(names[m] for m in worse)),
    )
    return f"| {' | '.join(cells)} |"


def _overall(table: pd.DataFrame) -> list[str]:
    """Section on all lifetimes together."""
    lives = table[table["statistic"] == "half_life"].set_index("method")["value"]
    longest = table["lifetime"].max()
    lines = [
        "## Over all lifetimes",
        "",
        "Score is the mean over the logarithm of the lifetime. Half-life is the lifetime, as a share of all updates,",
        "at which half of an objective's highest score is lost with older data.",
        "",
        f"| objective | score | rank | less that of {style.label(arena.REFERENCE)} | half-life |",
        "|---|---|---|---|---|",
    ]
    for method, found in arena.overall(table).items():
        life = f"over {longest:.2g}" if lives[method] >= longest else numbers.words(lives[method])
        cells = (style.label(method), found["area"], found["rank"], found.get("against", ""), life)
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _discarding(table: pd.DataFrame) -> list[str]:
    """Section on learning from the newest data alone."""
    shares = sorted(table["newest"].unique(), reverse=True)[1:]
    rows = table.set_index(["newest", "method"]).sort_index()
    lines = [
        "## Discard the old data, or learn from all?",
        "",
        "To sample from the newest share of a replay is to have a smaller replay, so these are the same runs: score",
        "with all data, of the longest lifetime, and what learning from the newest share alone adds to it, at equal",
        "env steps and updates.",
        "",
        f"| objective | all data | {' | '.join(f'newest {share:.1%}' for share in shares)} |",
        f"|---|---|{'---|' * len(shares)}",
    ]
    for method in rows.loc[1.0]["value"].sort_values(ascending=False, kind="stable").index:
        cells = [numbers.words(*rows.loc[(share, method), ["value", "low", "high"]]) for share in (1.0, *shares)]
        lines.append(f"| {style.label(method)} | {' | '.join(cells)} |")
    added = rows.loc[shares]
    helps, hurts = added[added["low"] > 0], added[added["high"] < 0]
    lines += [
        "",
        f"Of {len(added)} differences, {len(helps)} are above 0 with their whole interval, {len(hurts)} below.",
    ]
    return [*lines, ""]
