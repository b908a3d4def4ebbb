"""GIPO reproduction: scale config -> runs -> tables -> figures -> scorecard -> report.

    snakemake                              everything at scale laptop, up to the report
    snakemake -n -q rules --config scale=paper  how many jobs the paper's MetaWorld study has
    snakemake --profile slurm              the full reproduction, both suites, on a cluster
    snakemake --sdm apptainer              the same in pinned images, which are built first
    snakemake fig4                         one figure again (fig1 ... fig9 iqm arena ..., see docs/one-figure.md)
    snakemake fig3 --config scale=libero-smoke  LIBERO's own: fig3 success

A scale is a file in workflow/config: a study, or a list of scales that make one report. Science is set there, machines
in profiles. What belongs to a study lies in results/<name of its scale>, whichever scale it is a part of.
"""

from snakemake.utils import min_version

min_version("9.27")


include: "workflow/rules/start.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/images.smk"
include: "workflow/rules/hooks.smk"


report: "workflow/report/workflow.rst"


wildcard_constraints:
    scale=any_of(FIGURES),
    task=any_of(labels("task")),
    regime=any_of(labels("regime")),
    method=any_of(labels("method")),
    grid=any_of({grid for grids in GRIDS.values() for grid in grids}),
    figure=any_of({figure for figures in FIGURES.values() for figure in figures}),
    seed=r"\d+",
    digest="[0-9a-f]{8}",
    revision="[^/]+",


localrules:
    all,


onstart:
    announce(workflow.persistence.dag)
    build_missing(workflow.persistence.dag)
    follow_runs(workflow.persistence.dag)


onsuccess:
    end_following()


onerror:
    end_following()
    report_partial(workflow.persistence.dag)


rule all:
    default_target: True
    input:
        bound(SCALE, "report", "report.html"),
        derived,
        all_finished(),
        f"results/{SCALE}/tracked.json",
        RECORDS,


include: "workflow/rules/containers.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/libero.smk"
include: "workflow/rules/gridworld.smk"
include: "workflow/rules/collect.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/report.smk"


for (
    one
) in workflow.rules:  # what can be made of finished runs comes before further runs
    if one.name not in TRAINING:
        one.priority = len(SEEDS) + 1
