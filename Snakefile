"""GIPO reproduction: scale config -> runs -> tables -> figures -> scorecard -> report.

    snakemake                              everything at scale laptop, up to the report
    snakemake --config scale=paper -n      what the paper's scale would run
    snakemake --sdm apptainer              the same in pinned images, which are built first
    snakemake fig4                         one figure again (fig1 ... fig9 table1 iqm ranking vtrace lagsweep scorecard)
    snakemake --config scale=libero-smoke fig3  LIBERO's own: fig3 success

A scale is a file in workflow/config; science is set there, machines in profiles.
"""

from snakemake.utils import min_version

min_version("9.27")


include: "workflow/rules/start.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/images.smk"


report: "workflow/report.rst"


wildcard_constraints:
    scale=any_of([SCALE]),
    task=any_of(labels("task")),
    regime=any_of(labels("regime")),
    method=any_of(labels("method")),
    grid=any_of(GRIDS),
    figure=any_of(FIGURES),
    seed=r"\d+",
    digest="[0-9a-f]{8}",
    revision="[^/]+",


localrules:
    all,


rule all:
    default_target: True
    input:
        f"results/{SCALE}/report.html",
        f"results/{SCALE}/tracked.json",
        "results/mlflow.db",


include: "workflow/rules/containers.smk"


if STUDY.suite == "libero":

    include: "workflow/rules/libero.smk"

else:

    include: "workflow/rules/train.smk"


include: "workflow/rules/gridworld.smk"
include: "workflow/rules/collect.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/report.smk"
