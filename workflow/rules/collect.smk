"""Run directories to tidy tables, and to MLflow."""

FINISHED = [
    f"{run}/{name}"
    for run in RUNS
    for name in ("metrics.parquet", "evaluation.parquet", "provenance.json")
]


rule tables:
    input:
        FINISHED,
        [f"{baseline}/episodes.parquet" for baseline in BASELINES],
    output:
        expand(
            "results/{{scale}}/tables/{name}.parquet",
            name=["runs", "metrics", "evaluations", "baselines"],
        ),
    params:
        code=code_digest("gipo.analysis.collect"),
    shell:
        "gipo collect {CONFIG} results results/{wildcards.scale}/tables"


rule track:
    input:
        FINISHED,
    output:
        "results/{scale}/tracked.json",
    params:
        code=code_digest("gipo.runs.tracking"),
    shell:
        "gipo track {CONFIG} results {output}"
