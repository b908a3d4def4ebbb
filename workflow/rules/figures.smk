"""One rule for every figure, and one target by its name."""

SOURCES = {
    "fig1": [f"{RESULTS}/weights.csv"],
    "fig4": [f"{RESULTS}/gridworld/{name}.csv" for name in GRIDWORLD],
    "scorecard": [f"{RESULTS}/scorecard.csv"],
}


rule figure:
    input:
        lambda wildcards: SOURCES.get(wildcards.figure, TABLES),
    output:
        report("results/{scale}/figures/{figure}.svg", category="Figures", labels={"figure": "{figure}"}),
        "results/{scale}/figures/{figure}.png",
        "results/{scale}/figures/{figure}.csv",
    params:
        code=lambda wildcards: code_digest(f"gipo.figures.{wildcards.figure}", "gipo.figures"),
        resamples=STUDY.statistics.resamples,
    shell:
        "gipo figure {wildcards.figure} {RESULTS} {RESULTS}/figures --resamples {params.resamples}"


for name in FIGURES:

    rule:
        name:
            name
        localrule: True
        input:
            f"{RESULTS}/figures/{name}.svg",
