"""One rule for every figure, and one target by its name."""

SOURCES = {
    "fig1": ["results/{scale}/weights.csv"],
    "fig4": rules.gridworld.output,
    "scorecard": ["results/{scale}/scorecard.csv"],
}


def tables_of(grid):
    """Tidy tables of the main grid (tables) or of a sweep (sweeps/<name>)."""
    return [f"results/{SCALE}/{grid}/{name}.parquet" for name in TABLES]


def sources(wildcards):
    """What a figure is drawn from."""
    if sweep := SWEEPS.get(wildcards.figure):
        return tables_of(f"sweeps/{sweep}")
    return SOURCES.get(wildcards.figure, tables_of("tables"))


rule figure:
    input:
        sources,
    output:
        report(
            "results/{scale}/figures/{figure}.svg",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        "results/{scale}/figures/{figure}.png",
        "results/{scale}/figures/{figure}.csv",
    params:
        code=lambda wildcards: code_digest(
            f"gipo.figures.{wildcards.figure}", "gipo.figures"
        ),
        resamples=STUDY.statistics.resamples,
    shell:
        "gipo figure {wildcards.figure} results/{wildcards.scale} results/{wildcards.scale}/figures"
        " --resamples {params.resamples}"


def pictures(name):
    """Files of a named target; an error where this scale lacks the figure's sweep."""
    if name not in FIGURES:
        raise WorkflowError(
            f"scale {SCALE!r} has no sweep {SWEEPS[name]!r}, which {name} shows; "
            "metaworld-mini and paper have it (--config scale=...)"
        )
    return multiext(f"results/{SCALE}/figures/{name}", ".svg", ".png", ".csv")


for name in NAMES:

    rule:
        name:
            name
        input:
            lambda wildcards, name=name: pictures(name),
        localrule: True
