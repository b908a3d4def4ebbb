"""The scorecard of the paper's claims, and the page that holds it all."""

REPORT_FILES = ["report.html", "style.css", "details/*.yaml"]


rule claims:
    input:
        lambda wildcards: all_tables(wildcards.scale),
        rules.weights.output,
        rules.gridworld.output,
    output:
        "results/{scale}/scorecard.csv",
    wildcard_constraints:
        scale=any_of(PARTS),
    container:
        image("report")
    params:
        code=code_digest(
            "gipo.analysis.claims",
            *CATALOGUE,
            data=[PACKAGE / "analysis" / "claims.yaml", PACKAGE / "paper.yaml"],
        ),
        resamples=resamples_of,
    shell:
        "gipo scorecard results/{wildcards.scale} {output} --resamples {params.resamples}"


rule join_scorecards:
    input:
        [f"results/{part}/scorecard.csv" for part in PARTS],
    output:
        "results/{scale}/scorecard.csv",
    wildcard_constraints:
        scale=any_of({SCALE} - set(PARTS)),
    container:
        image("report")
    params:
        code=code_digest("gipo.analysis.joined", *CATALOGUE),
    shell:
        "gipo join-scorecards {CONFIG:q} results/{wildcards.scale} {output}"


rule report:
    input:
        [f"results/{part}/scorecard.csv" for part in PARTS],
        [all_tables(part) for part in PARTS],
        [
            f"results/{folder}/figures/{figure}.{kind}"
            for folder, figures in FIGURES.items()
            for figure in figures
            for kind in ("svg", "png", "csv")
        ],
    output:
        "results/{scale}/report.html",
    wildcard_constraints:
        scale=re.escape(SCALE),
    container:
        image("report")
    params:
        code=code_digest(
            "gipo.report",
            *CATALOGUE,
            data=[
                PACKAGE / "paper.yaml",
                *(
                    path
                    for pattern in REPORT_FILES
                    for path in (PACKAGE / "report").glob(pattern)
                ),
            ],
        ),
        titles=[STUDIES.title, *(study.title for study in PARTS.values())],
    shell:
        "gipo report {CONFIG:q} results/{wildcards.scale} {output}"
        " && rm -f results/{wildcards.scale}/report-so-far.html"
