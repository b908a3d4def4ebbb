"""The rules that build Apptainer images; images.smk says which there are, and when they are built."""


rule image:
    input:
        parent,
    output:
        "results/images/{image}.sif",
    wildcard_constraints:
        image=any_of(IMAGES),
    localrule: True
    params:
        name=lambda wildcards: IMAGES[wildcards.image],
        on=lambda wildcards, input: f"--on {input}" if input else "",
    shell:
        "{BUILD} {params.name} {output} {params.on}"


rule images:
    input:
        [image(name) for name in PARENTS if name != "base"],
    localrule: True
