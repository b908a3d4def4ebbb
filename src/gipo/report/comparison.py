"""The page of two studies side by side: verdicts, what was run, effects and claims, in one file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gipo.analysis import claims, numbers
from gipo.analysis.comparison import Comparison
from gipo.analysis.verdicts import CONTRADICTED, JUDGED, MEASURED, NOT_RUN, REPRODUCED, VERDICTS
from gipo.figures import panels, picture_bytes, scorecard, style, words
from gipo.figures.effects import VIEWS
from gipo.figures.style import Look
from gipo.files import atomic_path
from gipo.report import differences, embed, template
from gipo.report.answer import entry
from gipo.stages import StudyFolder, csv_bytes

EFFECTS = (
    *("panel", "regime", "view", "method", "rival", "value", "low", "high"),
    *("tasks", "seeds", "resamples", "note"),
)
"""Columns of figures/effects.csv that are drawn, or said of what is."""
MEASURES = ("window", "success")
"""Measures of `gipo.figures.effects` that are drawn."""


def write(found: Comparison, out: Path) -> None:
    """Write the page; equal studies give equal bytes.

    Args:
        found: the two studies.
        out: HTML file.

    Raises:
        GipoError: a table is missing or damaged, or one of the studies has no runs of its own.
    """
    folders = (found.first, found.second)
    names = _names(*folders)
    cards = [claims.read_scorecard(folder) for folder in folders]
    judged = [{str(row["id"]): entry(row) for _, row in card.iterrows()} for card in cards]
    by_id = found.claims.set_index("id", drop=False)
    ids = dict.fromkeys(name for entries in judged for name in entries)
    rows = [_row(by_id.loc[name].to_dict(), [entries.get(name) for entries in judged]) for name in ids]
    counts = [scorecard.counts(card) for card in cards]
    are_drawn = all(folder.has("figures/effects") for folder in folders)
    effects = [_differences(folder) for folder in folders] if are_drawn else []
    page = template("comparison.html").render(
        title=" beside ".join(names),
        names=names,
        found=found,
        answer=_answer(rows),
        counts=[
            {"verdict": verdict, "mark": scorecard.MARKS[verdict], "counts": [count[verdict] for count in counts]}
            for verdict in VERDICTS
        ],
        settings=differences.rows(*folders),
        effects=list(_effects(effects, names)) if effects else [],
        intervals=[words.intervals(table) for table in effects],
        groups=_groups(rows),
        not_run=[row["claim"] for row in rows if row["verdicts"] == {NOT_RUN}],
        csv=embed.download("both.csv", csv_bytes(found.claims, 8)),
    )
    with atomic_path(out) as path:
        path.write_text(page, encoding="utf-8")


def _names(*folders: StudyFolder) -> list[str]:
    """The names of two studies, or their paths where both have the same."""
    names = [folder.path.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [folder.path.as_posix() for folder in folders]


def _row(row: dict[Any, Any], sides: list[dict[str, Any] | None]) -> dict[str, Any]:
    """A claim with what each study says of it, None where one has no such claim."""
    known = [side for side in sides if side]
    return {
        **row,
        "sides": sides,
        "rules": list(dict.fromkeys((side["rule"], side["needs"]) for side in known)),
        "verdicts": {side["verdict"] if side else NOT_RUN for side in sides},
        "is_measured": len(known) == len(sides) and all(side["measured"] for side in known),
    }


def _answer(rows: list[dict[str, Any]]) -> dict[str, int]:
    """How many claims changed their verdict and in which way, and how many results agree."""
    changed = [row["verdicts"] for row in rows if row["changed"]]
    trained = [row for row in rows if row["is_measured"] and row["kind"] == MEASURED]
    others = [row for row in rows if row["is_measured"] and row["kind"] != MEASURED]
    return {
        "claims": len(rows),
        "changed": len(changed),
        "run_in_one": sum(NOT_RUN in pair for pair in changed),
        "judged_in_one": sum(NOT_RUN not in pair and not pair <= set(JUDGED) for pair in changed),
        "judged_otherwise": sum(pair <= set(JUDGED) for pair in changed),
        "opposed": sum(pair == {REPRODUCED, CONTRADICTED} for pair in changed),
        "trained": len(trained),
        "agree": sum(not row["apart"] for row in trained),
        "others": len(others),
        "others_equal": sum(row["measured_first"] == row["measured_second"] for row in others),
    }


def _groups(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The claims that were run under headings: those that changed first, of them those that both studies judge."""
    same = [row for row in rows if not row["changed"] and row["verdicts"] != {NOT_RUN}]
    changed = [row for row in rows if row["changed"]]
    changed.sort(key=lambda row: (NOT_RUN in row["verdicts"], not row["verdicts"] <= set(JUDGED)))
    return {
        "Another verdict": changed,
        "The same verdict, but no number lies in both intervals": [row for row in same if row["apart"]],
        "The same verdict": [row for row in same if not row["apart"]],
    }


def _differences(folder: StudyFolder) -> pd.DataFrame:
    """How far GIPO is ahead of each other method, in the measures that are drawn."""
    rows = folder.read_csv("figures/effects.csv", EFFECTS)
    return rows[(rows["panel"] == "difference") & rows["view"].isin(MEASURES)]


def _effects(tables: list[pd.DataFrame], names: list[str]) -> Iterator[dict[str, Any]]:
    """For each regime and measure a picture of every study, all on one axis."""
    both = pd.concat(tables)
    looks = style.looks([*both["method"], *both["rival"]])
    rivals = {name: look for name, look in looks.items() if name in set(both["rival"])}
    style.apply()
    for regime in style.order_regimes(both["regime"]):
        for measure in MEASURES:
            shown = [table[(table["regime"] == regime) & (table["view"] == measure)] for table in tables]
            ends = pd.concat(shown)[["low", "high"]]
            limits = min(ends["low"].min(), 0), max(ends["high"].max(), 0)
            yield {
                "title": f"{regime.capitalize()} data: {VIEWS[measure][1]}",
                "pictures": [_picture(name, rows, rivals, limits) for name, rows in zip(names, shown, strict=True)],
            }


def _picture(name: str, rows: pd.DataFrame, rivals: dict[str, Look], limits: tuple[float, float]) -> dict[str, str]:
    """Differences to each rival in one study, on an axis that both studies share, with words for who sees none."""
    left = 0.25 + 0.075 * max(len(style.label(rival)) for rival in rivals)
    width, height = left + 3.65, 1.0 + 0.27 * len(rivals)
    figure = Figure(figsize=(width, height))
    ax = figure.add_axes((left / width, 0.6 / height, 1.85 / width, 1 - 0.9 / height))
    panels.estimates(ax, rows.set_index("rival"), rivals)
    panels.name_rows(ax, rivals)
    ax.axvline(0, color=style.MUTED, lw=1, zorder=1)
    margin = 0.05 * (limits[1] - limits[0])
    ax.set_xlim(limits[0] - margin, limits[1] + margin)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.set_title(name)
    said = ["not run"]
    if len(rows):
        champion = style.label(rows["method"].iloc[0])
        ax.set_xlabel(f"{champion} minus the other, {words.runs(rows)}", size=9)
        found = rows[["rival", "value", "low", "high"]].itertuples(index=False)
        said = [f"{champion} minus {style.label(rival)} {numbers.words(*estimate)}" for rival, *estimate in found]
    source = embed.picture(picture_bytes(figure, "svg", metadata={"Date": None}))
    return {"source": source, "alt": f"{name}: {'; '.join(said)}"}
