"""The exact studies that need no training: gridworld (figure 4) and trust weights (figure 1)."""


rule gridworld:
    output:
        bound("{scale}", "gridworld", *(f"gridworld/{name}.csv" for name in GRIDWORLD)),
    wildcard_constraints:
        scale=any_of(PARTS),
    container:
        image("report")
    params:
        code=code_digest("gipo.gridworld.tables"),
        settings=lambda wildcards: PARTS[wildcards.scale].gridworld.model_dump(),
    shell:
        "gipo gridworld {CONFIGS:q}/{wildcards.scale}.yaml results/{wildcards.scale}"


rule weights:
    output:
        bound("{scale}", "weights", "weights.csv"),
    wildcard_constraints:
        scale=any_of(PARTS),
    container:
        image("report")
    params:
        code=code_digest("gipo.trust_weights"),
    shell:
        "gipo weights results/{wildcards.scale}"
