"""One rule for every figure, and one target by its name."""

SOURCES = {
    "fig1": rules.weights.output,
    "fig4": rules.gridworld.output,
    "field": rules.gridworld.output,
    "scorecard": bound("{scale}", "scorecard", "scorecard.csv"),
}
OF_EVERY_CONFIGURATION = ("fig6", "fig7", "fig8")  # with those of the sweeps


rule figure:
    input:
        sources,
    output:
        report(
            "results/{scale}/figures/{figure}.svg",
            caption="../report/figure.rst",
            category=category,
            labels={"figure": "{figure}"},
        ),
        "results/{scale}/figures/{figure}.png",
        "results/{scale}/figures/{figure}.csv",
        "results/{scale}/manifests/figures/{figure}.json",
    container:
        image("report")
    resources:
        runtime=analysis_minutes,
    params:
        code=lambda wildcards: code_digest(
            f"gipo.figures.{wildcards.figure}",
            "gipo.figures",
            *CATALOGUE,
            data=[PACKAGE / "paper.yaml"],
        ),
        resamples=resamples_of,
    shell:
        "gipo figure {wildcards.figure} results/{wildcards.scale} --resamples {params.resamples}"


for name in NAMES:

    rule:
        name:
            name
        input:
            lambda wildcards, name=name: pictures(name),
        localrule: True
