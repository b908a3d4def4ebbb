"""Training runs and the two reference policies, each in a directory named by its content.

Checkpoints lie in the run directory but are no outputs: Snakemake deletes those before every attempt, and an interrupted
run must find its checkpoint.
"""

CODE = {method: code_digest(*training_modules(objective.name)) for method, objective in STUDY.methods.items()}


rule train:
    output:
        "results/runs/{task}/{regime}/{method}/seed{seed}-{digest}/spec.json",
        "results/runs/{task}/{regime}/{method}/seed{seed}-{digest}/metrics.parquet",
        "results/runs/{task}/{regime}/{method}/seed{seed}-{digest}/evaluation.parquet",
        "results/runs/{task}/{regime}/{method}/seed{seed}-{digest}/policy.pt",
        "results/runs/{task}/{regime}/{method}/seed{seed}-{digest}/provenance.json",
    params:
        code=lambda wildcards: CODE[wildcards.method],
    threads: 1
    resources:
        mem_mb=4000,
    shell:
        "gipo train {CONFIG} $(dirname {output[0]}) --task {wildcards.task} --regime {wildcards.regime}"
        " --method {wildcards.method} --seed {wildcards.seed}"


rule baseline:
    output:
        "results/baselines/{task}-{digest}/episodes.parquet",
    params:
        code=code_digest("gipo.envs.baselines"),
    shell:
        "gipo baseline {CONFIG} {wildcards.task} {output}"
