"""The report: one HTML file with the scorecard, the figures and where they came from, readable without the code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from gipo import suites
from gipo.analysis import claims, joined
from gipo.analysis.collect import Tables
from gipo.analysis.verdicts import JUDGED, KINDS, MEASURED, NOT_RUN
from gipo.figures import picture_bytes, scorecard, style
from gipo.files import atomic_path
from gipo.report import details, embed, explore, metrics, picture, summary
from gipo.report.answer import QUESTION, answers, entry
from gipo.report.links import figure_anchor, of_claim
from gipo.report.part import Part
from gipo.report.videos import films
from gipo.stages import StudyFolder, csv_bytes

__all__ = ["Part", "assemble", "template"]

TEMPLATE = "report.html"
PARTIAL = "report-partial.html"


def assemble(title: str, parts: Sequence[Part], command: str, out: StudyFolder, partial: bool = False) -> None:
    """Write the report; equal inputs give equal bytes.

    Args:
        title: of the page.
        parts: the studies, in order of precedence.
        command: what re-makes a target, with ``{target}`` for its name: ``snakemake {target} --config scale=laptop``.
        out: folder of the scale, for ``report.html`` with its manifest.
        partial: leave out parts of which nothing is finished and figures that are not drawn, and say so; the page is
            ``report-partial.html``, without a manifest, as nothing of it stays.

    Raises:
        GipoError: an input is missing or damaged; with `partial`: nothing is finished.
    """
    shown = [part for part in parts if not partial or part.is_partial or part.is_finished]
    scorecards = {part.name: claims.read_scorecard(part.folder) if part in shown else None for part in parts}
    judged = joined.join(scorecards, {part.name: part.suite for part in parts}, claims.load())
    several, runs = len(parts) > 1, out.path.parent / "runs"
    views = {part.name: _view(part, partial, several, out.path) for part in shown}
    for part in shown:
        views[part.name]["state"] = part.progress(runs)["state"] if part.is_partial else ""
    every_run = pd.concat([view["every_run"] for view in views.values()]).drop_duplicates("run_id")
    scores = csv_bytes(judged, 8)
    links = {claim.id: of_claim(claim, views, several) for claim in claims.load()}
    judged = judged.assign(links=judged["id"].map(links))
    ran = judged[judged["verdict"] != NOT_RUN]
    measured = ran[ran["kind"] == MEASURED]
    page = template(TEMPLATE).render(
        title=title,
        command=lambda target: " ".join(command.replace("{target}", target).split()),
        partial=partial,
        parts=list(views.values()),
        missing=[part.progress(runs) for part in parts if part not in shown],
        picture=_picture(shown, judged),
        verdicts=_verdicts(judged),
        decided=[_entry(row) for _, row in measured[measured["verdict"].isin(JUDGED)].iterrows()],
        measured=_by_section(measured),
        not_counted=[(kind, _by_section(ran[ran["kind"] == kind])) for kind in KINDS if kind != MEASURED],
        not_run=_by_section(judged[judged["verdict"] == NOT_RUN]),
        scorecard=embed.download("scorecard.csv", scores),
        question=QUESTION,
        plots=explore.library(),
        answers=answers(judged, parts),
        totals=summary.totals(every_run),
        unseen=[suites.get(name).title for name in suites.names() if name not in {part.suite for part in parts}],
        slurm=summary.slurm(out.path.parent / "slurm"),
        details=details.by_topic(),
        glossary=metrics.glossary(),
        logged=metrics.tables(),
        origin=summary.origin(every_run),
        runs=summary.run_groups(every_run),
    )
    if not partial:
        out.write_stage("report", {"report.html": page.encode()}, out.inputs_from(part.folder for part in parts))
        return
    with atomic_path(out.path / PARTIAL) as path:
        path.write_text(page, encoding="utf-8")


def _view(part: Part, partial: bool, several: bool, page: Path) -> dict[str, Any]:
    """A part that has run, for the template; `page` is the folder of the page."""
    runs, sweeps = Tables.read(part.folder).runs, part.sweeps()
    every_run = pd.concat([runs, *sweeps.values()]).drop_duplicates("run_id")
    suite = suites.get(part.suite)
    shown = [name for name in part.figures if name != "scorecard"]
    drawn = [name for name in shown if not partial or part.folder.has(f"figures/{name}")]
    return {
        "name": part.name,
        "title": part.title,
        "suite": suite,
        "verdicts": part.verdicts,
        "every_run": every_run,
        "figures": [embed.figure(name, part.folder) for name in drawn],
        "anchors": {name: figure_anchor(part.name, name, several) for name in drawn},
        "films": films(part.folder, suite, page),
        "not_drawn": [name for name in shown if name not in drawn],
        "scale": summary.scale(runs, every_run),
        "sweeps": [(suite.sweeps[name].words, summary.design(sweep)) for name, sweep in sweeps.items()],
        "cost": summary.cost(every_run),
        "settings": summary.settings(runs),
    }


def _picture(parts: Sequence[Part], judged: pd.DataFrame) -> list[dict[str, str]]:
    """The two halves of the one picture of the page, of the first part that has scores; none if none has."""
    for part in parts:
        if "iqm" in part.figures and part.folder.has("figures/iqm"):
            scores = picture.scores(part.folder)
            style.apply()
            return [
                {"source": embed.picture(picture_bytes(half, "svg", metadata={"Date": None})), "alt": words}
                for half, words in picture.halves(scores, judged)
            ]
    return []


def template(name: str) -> jinja2.Template:
    """A page, or a part of one, with the styles and filters that all have."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gipo", "report/page"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    css = Path(__file__).with_name("page").joinpath("style.css").read_text(encoding="utf-8")
    environment.globals["css"] = Markup(css)
    environment.filters["code"] = details.html
    environment.filters["emphasised"] = metrics.html
    return environment.get_template(name)


def _verdicts(judged: pd.DataFrame) -> list[dict[str, object]]:
    """Each verdict with its mark and how many measured claims have it."""
    return [
        {"verdict": verdict, "mark": scorecard.MARKS[verdict], "count": count}
        for verdict, count in scorecard.counts(judged).items()
    ]


def _by_section(judged: pd.DataFrame) -> list[tuple[str, list[dict[str, Any]]]]:
    """Entries under the headings of the paper's parts, in the order of the scorecard."""
    groups = judged.groupby("section", sort=False)
    return [(str(section), [_entry(row) for _, row in rows.iterrows()]) for section, rows in groups]


def _entry(row: pd.Series) -> dict[str, Any]:
    """A scorecard row for the template, with its links."""
    return entry(row) | {"links": row["links"]}
