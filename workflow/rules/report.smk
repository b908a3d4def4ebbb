"""The scorecard of the paper's claims, and the page that holds it all."""

REPORT_FILES = ("report.html", "style.css", "details.yaml")


rule claims:
    input:
        [tables_of(grid) for grid in GRIDS],
        rules.weights.output,
        rules.gridworld.output,
    output:
        "results/{scale}/scorecard.csv",
    container:
        image("report")
    params:
        code=code_digest(
            "gipo.analysis.claims",
            data=[PACKAGE / "analysis" / "claims.yaml", PACKAGE / "paper.yaml"],
        ),
        resamples=STUDY.statistics.resamples,
    shell:
        "gipo scorecard results/{wildcards.scale} {output} --resamples {params.resamples}"


rule report:
    input:
        rules.claims.output,
        [tables_of(grid) for grid in GRIDS],
        expand(
            "results/{{scale}}/figures/{figure}.{kind}",
            figure=FIGURES,
            kind=["svg", "png", "csv"],
        ),
    output:
        "results/{scale}/report.html",
    container:
        image("report")
    params:
        code=code_digest(
            "gipo.report",
            data=[
                PACKAGE / "paper.yaml",
                *(PACKAGE / "report" / name for name in REPORT_FILES),
            ],
        ),
        title=STUDY.title,
    shell:
        "gipo report {CONFIG:q} results/{wildcards.scale} {output}"
