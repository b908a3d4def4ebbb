"""Training runs and the two reference policies, each in a directory named by its content.

A run learns in one thread; with more (`snakemake --set-threads train=3`) the others collect meanwhile, to the same result.
With a GPU (--set-resources train:device=cuda) it learns there. Where and how fast it is made is no parameter of a run:
what a cluster made is not made again on a laptop.
Checkpoints and the kept copy lie in the run directory but are no outputs: Snakemake deletes those before every attempt,
and an interrupted run must find its checkpoint, a finished one its results.
"""


rule train:
    output:
        spec="results/runs/{task}/{regime}/{method}/seed{seed}-{digest}/spec.json",
        metrics="results/runs/{task}/{regime}/{method}/seed{seed}-{digest}/metrics.parquet",
        evaluation="results/runs/{task}/{regime}/{method}/seed{seed}-{digest}/evaluation.parquet",
        policy="results/runs/{task}/{regime}/{method}/seed{seed}-{digest}/policy.pt",
        provenance="results/runs/{task}/{regime}/{method}/seed{seed}-{digest}/provenance.json",
        manifest="results/runs/{task}/{regime}/{method}/seed{seed}-{digest}/manifest.json",
    log:
        "results/runs/{task}/{regime}/{method}/seed{seed}-{digest}/errors.log",
    wildcard_constraints:
        task=any_of(tasks_of("train")),
    priority: earlier_seeds_first
    container:
        image("metaworld")
    threads: 1
    resources:
        mem_mb=lambda wildcards, threads, attempt: attempt
        * requests.memory_mb(
            run_of(wildcards), threads, gpus=SITE is not None and SITE.device == "cuda"
        ),
        runtime=lambda wildcards, threads, attempt: requests.minutes(
            run_of(wildcards), threads, attempt, SITE.longest_run if SITE else None
        ),
        device="cpu",
        checkpoint_seconds=60,
    params:
        code=code_of,
    shell:
        "gipo train {CONFIG:q} $(dirname {output.spec}) --task {wildcards.task} --regime {wildcards.regime}"
        " --method {wildcards.method} --seed {wildcards.seed} --digest {wildcards.digest} --workers $(( {threads} - 1 ))"
        " --device {resources.device} --checkpoint-seconds {resources.checkpoint_seconds} --quiet 2>> {log}"


rule baseline:
    output:
        episodes="results/baselines/{task}-{digest}/episodes.parquet",
        manifest="results/baselines/{task}-{digest}/manifest.json",
    container:
        image("metaworld")
    params:
        code=lambda wildcards: code_digest(
            *baseline_modules(STUDIES.suite_of(wildcards.task))
        ),
    shell:
        "gipo baseline {CONFIG:q} {wildcards.task} $(dirname {output.episodes}) --digest {wildcards.digest}"
