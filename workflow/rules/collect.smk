"""Run directories to tidy tables, and to MLflow."""


rule tables:
    input:
        [f"{run}/{name}" for run in RUNS for name in ("metrics.parquet", "evaluation.parquet", "provenance.json")],
        [f"{baseline}/episodes.parquet" for baseline in BASELINES],
    output:
        TABLES,
    params:
        code=code_digest("gipo.analysis.collect"),
    shell:
        "gipo collect {CONFIG} results {RESULTS}/tables"


rule track:
    input:
        [f"{run}/{name}" for run in RUNS for name in ("metrics.parquet", "evaluation.parquet", "provenance.json")],
    output:
        "results/{scale}/tracked.json",
    params:
        code=code_digest("gipo.runs.tracking"),
    shell:
        "gipo track {CONFIG} results {output}"
