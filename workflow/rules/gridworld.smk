"""The exact studies that need no training: gridworld (figure 4) and trust weights (figure 1)."""

GRIDWORLD = ["policies", "case_study", "family", "family_claims"]


rule gridworld:
    output:
        expand("results/{{scale}}/gridworld/{name}.csv", name=GRIDWORLD),
    wildcard_constraints:
        scale=any_of(PARTS),
    container:
        image("report")
    params:
        code=code_digest("gipo.gridworld"),
        settings=lambda wildcards: PARTS[wildcards.scale].gridworld.model_dump(),
    shell:
        "gipo gridworld {CONFIGS:q}/{wildcards.scale}.yaml results/{wildcards.scale}/gridworld"


rule weights:
    output:
        "results/{scale}/weights.csv",
    wildcard_constraints:
        scale=any_of(PARTS),
    container:
        image("report")
    params:
        code=code_digest("gipo.trust_weights"),
    shell:
        "gipo weights {output}"
