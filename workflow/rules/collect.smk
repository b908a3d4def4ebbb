"""Run directories to tidy tables, one set for the main grid and one for each sweep, and to MLflow."""


rule tables:
    input:
        lambda wildcards: finished(GRIDS[wildcards.scale][wildcards.grid]),
        lambda wildcards: [
            f"{baseline}/{name}"
            for name in ("episodes.parquet", "manifest.json")
            for baseline in GRIDS[wildcards.scale][
                wildcards.grid
            ].baseline_directories(Path("results"))
        ],
    output:
        tables_of("{scale}", "{grid}"),
    wildcard_constraints:
        scale=any_of(PARTS),
    container:
        image("report")
    resources:
        runtime=analysis_minutes,
    params:
        code=code_digest("gipo.analysis.collect", *CATALOGUE),
        sweep=lambda wildcards: wildcards.grid.replace("tables", "").replace(
            "sweeps/", "--sweep "
        ),
    shell:
        "gipo collect {CONFIGS:q}/{wildcards.scale}.yaml results results/{wildcards.scale} {params.sweep}"


rule branches:
    """Branches of world models beside the simulator's."""
    input:
        lambda wildcards: [
            f"results/runs/{run.run_id}/{name}"
            for run in PARTS[wildcards.scale].imagining_runs()
            for name in ("spec.json", "manifest.json")
        ],
    output:
        bound("{scale}", "branches", "branches/branches.parquet"),
    wildcard_constraints:
        scale=any_of(IMAGINING),
    container:
        image("report")
    resources:
        runtime=analysis_minutes,
    params:
        code=code_digest("gipo.analysis.branches", *CATALOGUE),
    shell:
        "gipo branches {CONFIGS:q}/{wildcards.scale}.yaml results results/{wildcards.scale}"


rule store:
    """Every finished run of every scale, where the store was lost; `gipo follow` and `track` add to it what is new."""
    output:
        "results/mlflow.db",
    container:
        image("report")
    shell:
        "gipo store results --configs {CONFIGS:q}"


rule track:
    input:
        all_finished(),
        store=ancient(RECORDS),
    output:
        "results/{scale}/tracked.json",
    wildcard_constraints:
        scale=re.escape(SCALE),
    container:
        image("report")
    resources:
        runtime=analysis_minutes,
    params:
        code=code_digest("gipo.tracking.follow", *CATALOGUE),
    shell:
        "gipo track {CONFIG:q} results {output}"
