"""The report: one HTML file with the scorecard, the figures and where they came from, readable without the code."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from gipo.analysis import design
from gipo.analysis.claims import NOT_TESTED, VERDICTS
from gipo.analysis.collect import Tables
from gipo.config import read_yaml
from gipo.errors import GipoError
from gipo.figures import SWEEPS, of_study, scorecard
from gipo.files import atomic_path
from gipo.report import details, embed, summary

TEMPLATE = "report.html"

SWEEP_WORDS = {
    "lag": "replay lifetime at a fixed inflow of data",
    "sigma": "GIPO's sigmas",
    "ranking": "all configurations on stale data",
    "vtrace": "V-trace and GAE, both with recomputed targets",
}
"""What a sweep varies."""

HEADLINES = {"metaworld": "stale-gipo-over-ppo", "libero": "libero-steps"}
"""The claim that stands above the others, by suite."""


def assemble(sources: Path, pictures: Path, scale_config: Path, command: str, out: Path) -> None:
    """Write the report; equal inputs give equal bytes.

    Args:
        sources: ``results/<scale>`` with ``tables/``, ``scorecard.csv`` and, where the study has sweeps, ``sweeps/``.
        pictures: folder of the built figures, ``<name>.svg``, ``.png`` and ``.csv``.
        scale_config: the study's config; its ``title`` is shown.
        command: what re-makes a target, with ``{target}`` for its name: ``snakemake --config scale=laptop {target}``.
        out: the HTML file.

    Raises:
        GipoError: An input is missing or damaged.
    """
    runs = Tables.read(sources / "tables").runs
    sweeps = {name: Tables.read(path).runs for name in SWEEPS.values() if (path := sources / "sweeps" / name).is_dir()}
    every_run = pd.concat([runs, *sweeps.values()]).drop_duplicates("run_id")
    suite = design.suite(runs)
    shown = [name for name in of_study(suite, sweeps) if name != "scorecard"]
    claims = scorecard.table(sources)
    page = _template().render(
        title=_title(scale_config),
        command=lambda target: command.replace("{target}", target),
        verdicts=_verdicts(claims),
        tested=_by_section(claims[claims["verdict"] != NOT_TESTED]),
        untested=_by_section(claims[claims["verdict"] == NOT_TESTED]),
        headline=_entry(claims[claims["id"] == HEADLINES[suite]].iloc[0]),
        figures=[embed.figure(name, pictures) for name in shown],
        scale=summary.scale(runs, every_run),
        sweeps=[(SWEEP_WORDS[name], summary.design(sweep)) for name, sweep in sweeps.items()],
        cost=summary.cost(every_run),
        slurm=summary.slurm(sources.parent / "slurm"),
        settings=summary.settings(runs),
        details=details.by_topic(),
        origin=summary.origin(every_run),
        runs=summary.run_rows(every_run),
    )
    with atomic_path(out) as path:
        path.write_text(page, encoding="utf-8")


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gipo", "report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    css = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    environment.globals["css"] = Markup(css)
    environment.filters["code"] = details.html
    return environment.get_template(TEMPLATE)


def _title(scale_config: Path) -> str:
    try:
        return str(read_yaml(scale_config)["title"])
    except (KeyError, TypeError) as error:
        raise GipoError(f"cannot read the title of the study from {scale_config}: {error!r}") from error


def _verdicts(claims: pd.DataFrame) -> list[dict[str, object]]:
    """Each verdict with its mark and how many claims have it."""
    return [
        {"verdict": verdict, "mark": scorecard.MARKS[verdict], "count": int((claims["verdict"] == verdict).sum())}
        for verdict in VERDICTS
    ]


def _by_section(claims: pd.DataFrame) -> list[tuple[str, list[dict[str, str]]]]:
    """Entries under the headings of the paper's parts, in the order of the scorecard."""
    groups = claims.groupby("section", sort=False)
    return [(str(section), [_entry(row) for _, row in rows.iterrows()]) for section, rows in groups]


def _entry(row: pd.Series) -> dict[str, str]:
    """A scorecard row for the template."""
    words = {str(column): str(row[column]) for column in row.index}
    words |= {"measured": scorecard.measured_words(row), "mark": scorecard.MARKS[row["verdict"]]}
    return words | {"n": "" if pd.isna(row["n"]) else f"{row['n']:,}"}
