"""The scorecard of the paper's claims, and the page that holds it all."""


rule claims:
    input:
        TABLES,
        SOURCES["fig1"],
        SOURCES["fig4"],
    output:
        "results/{scale}/scorecard.csv",
    params:
        code=code_digest("gipo.analysis.claims", data=[PACKAGE / "analysis" / "claims.yaml"]),
        resamples=STUDY.statistics.resamples,
    shell:
        "gipo scorecard {RESULTS} {output} --resamples {params.resamples}"


rule report:
    input:
        rules.claims.output,
        TABLES,
        expand("results/{{scale}}/figures/{figure}.svg", figure=FIGURES),
    output:
        "results/{scale}/report.html",
    params:
        code=code_digest("gipo.report", data=[PACKAGE / "report" / "report.html", PACKAGE / "report" / "style.css"]),
    shell:
        "gipo report {CONFIG} {RESULTS} {output}"
