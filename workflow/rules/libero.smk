"""LIBERO: what its runs need from elsewhere, and the runs, each on Ray with as many processes as it has actors and more.

Models and assets are inputs that are only looked for: what they contain is fixed by names and checksums, not by dates.
A machine without network has them copied into results/pretrained and results/assets, or is told what to copy.
"""


rule pretrained:
    output:
        f"results/pretrained/{{repository}}/{{revision}}/{SUMS}",
    localrule: True
    container:
        image("libero")
    shell:
        "gipo pretrained {wildcards.repository} {wildcards.revision} results/pretrained"


rule libero_assets:
    output:
        directory("results/assets/libero"),
    localrule: True
    container:
        image("libero")
    shell:
        "gipo libero-assets {output}"


rule train_libero:
    input:
        lambda wildcards: ancient(needs(wildcards)),
    output:
        spec="results/runs/{task}/{regime}/{method}/seed{seed}-{digest}/spec.json",
        metrics="results/runs/{task}/{regime}/{method}/seed{seed}-{digest}/metrics.parquet",
        evaluation="results/runs/{task}/{regime}/{method}/seed{seed}-{digest}/evaluation.parquet",
        policy="results/runs/{task}/{regime}/{method}/seed{seed}-{digest}/policy.pt",
        engine="results/runs/{task}/{regime}/{method}/seed{seed}-{digest}/engine.json",
        provenance="results/runs/{task}/{regime}/{method}/seed{seed}-{digest}/provenance.json",
        manifest="results/runs/{task}/{regime}/{method}/seed{seed}-{digest}/manifest.json",
    log:
        "results/runs/{task}/{regime}/{method}/seed{seed}-{digest}/errors.log",
    wildcard_constraints:
        task=any_of(tasks_of("train_libero")),
    priority: earlier_seeds_first
    container:
        image("libero")
    threads: lambda wildcards: requests.cores_of(run_of(wildcards))
    resources:
        mem_mb=lambda wildcards, attempt: attempt
        * requests.memory_mb(
            run_of(wildcards), gpus=requests.gpus_of(run_of(wildcards))
        ),
        runtime=lambda wildcards, threads, attempt: requests.minutes(
            run_of(wildcards), threads, attempt, SITE.max_minutes if SITE else None
        ),
        gpu=lambda wildcards: requests.gpus_of(run_of(wildcards)),
        checkpoint_seconds=60,
        evaluation_simulators=lambda wildcards, threads: requests.evaluation_simulators(
            run_of(wildcards), threads
        ),
    params:
        code=code_of,
        device=lambda wildcards, resources: "cuda" if resources.gpu else "cpu",
        learners=lambda wildcards, resources: requests.learners(
            run_of(wildcards), resources.gpu
        ),
    shell:
        "gipo train {CONFIG:q} $(dirname {output.spec}) --task {wildcards.task} --regime {wildcards.regime}"
        " --method {wildcards.method} --seed {wildcards.seed} --digest {wildcards.digest}"
        " --device {params.device} --learners {params.learners}"
        " --evaluation-simulators {resources.evaluation_simulators}"
        " --checkpoint-seconds {resources.checkpoint_seconds} --quiet 2>> {log}"
